"""From an answer to the values that are aggregated over docs, called by lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.generation import rouge_l
from harness_ext.scoring.unlearning import first_answer, rouge_l_recall


@of_answer
def knowledge(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Overlap with the answer, up to where the model goes on with a question of its own; all in [0, 1]."""
    said = first_answer(results[0])
    return {
        "rougeL_f1": rouge_l(said, doc["answer"]) / 100,
        "rougeL_recall": rouge_l_recall(said, doc["answer"], stemmer=False),
        "rougeL_f1_stem": rouge_l(said, doc["answer"], stemmer=True) / 100,
        "parse_failure": float(not said.strip()),
    }
