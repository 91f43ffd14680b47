"""Questions in two turns, and a score that needs no judge: whether each answer keeps to its number of words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets


def load(**_: Any) -> dict[str, datasets.Dataset]:
    """One doc a line of ``questions.jsonl``: ``id``, ``turns`` (two user messages) and ``most_words`` (for each)."""
    lines = (Path(__file__).parent / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


def within_limits(doc: dict[str, Any], results: Sequence[list[str]]) -> dict[str, float]:
    """Metrics of a dialogue; the filter ``take_turn`` with ``turn: all`` gives the answers of all turns."""
    kept = [len(answer.split()) <= most for answer, most in zip(results[0], doc["most_words"], strict=True)]
    return {f"turn_{number}": float(one) for number, one in enumerate(kept, start=1)}
