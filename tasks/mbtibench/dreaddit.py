"""Dreaddit downstream docs: does knowing the author's personality help to see stress in a post?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from harness_ext.data import fetch
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import json_lines, read_json_lines
from harness_ext.errors import DataError, InputError
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS, dimension_of
from harness_ext.tasks.mbtibench.docs import Docs, Record, place_system
from harness_ext.tasks.mbtibench.personality import (
    Estimates,
    Mode,
    estimates_from_rows,
    personality_lines,
    read_estimates,
)
from harness_ext.tasks.mbtibench.prompts import (
    DEFAULT,
    Message,
    Pack,
    build_dreaddit_personality,
    build_dreaddit_stress,
    load_pack,
)

Condition = Literal["none", "hard", "soft", "soft_inverted"]

_RELEASED = "soft--gpt-4o--zero-shot.db"


@reads("data", "prompt_pack", "system_role", "personality", "personality_hard")
def load_stress(condition: Condition, recorded: dict[str, Any] | None = None, **chosen: Any) -> Docs:
    """One doc for each post: is its author under very severe stress?

    Args:
        condition: what the prompt says about the author's personality: ``none``; ``hard``: the nearer pole of each
            dimension; ``soft``: percentages; ``soft_inverted``: percentages at the wrong poles, as released.
        recorded: filled with what the run used; it becomes part of the results file.
        chosen: ``data``, ``prompt_pack`` and ``system_role`` as of :func:`harness_ext.tasks.mbtibench.docs.load`;
            ``personality``: estimates for all conditions (see
            :func:`harness_ext.tasks.mbtibench.personality.read_estimates`), by default GPT-4o's released scores;
            ``personality_hard``: other estimates for ``hard``, where letters are derived from scores otherwise.

    Raises:
        InputError: an unknown choice, or letters where scores are needed.
        DataError: the data is missing, or an author has no estimate.

    >>> docs = load_stress("soft", data="sample")["test"]
    >>> docs[0]["mbti_lines"].splitlines()[0]
    '25.0% Extraversion, 75.0% Introversion'
    """
    posts, pack = _posts(chosen), load_pack(chosen.get("prompt_pack", DEFAULT))
    known = {"data": chosen.get("data", "real"), **_pack_facts(pack, chosen)}
    lines: dict[int, str] = {}
    if condition != "none":
        estimates = _estimates(condition, chosen)
        lines = _lines(condition, posts, estimates)
        known |= {"personality": estimates.name, "personality_sha256": estimates.sha256}
        if condition == "hard":
            known["letters_derived_from_scores"] = not estimates.letters
    if recorded is not None:
        recorded |= known

    def doc(record: Record) -> dict[str, Any]:
        shown = lines.get(record["id"])
        messages = build_dreaddit_stress(pack.content, record["posts"], shown)
        extra = {"label": record["label"], "condition": condition, "mbti_lines": shown or ""}
        return _doc(record, messages, pack, chosen) | extra

    return {"test": Dataset.from_list([doc(record) for record in posts])}


@reads("data", "prompt_pack", "system_role")
def load_personality(dimension: str, recorded: dict[str, Any] | None = None, **chosen: Any) -> Docs:
    """One doc for each post: which pole does its author lean to? There is no gold label.

    The samples that lm-eval logs for the four dimensions are what ``load_stress`` takes as ``personality``.
    """
    asked, pack = dimension_of(dimension), load_pack(chosen.get("prompt_pack", DEFAULT))
    if recorded is not None:
        recorded |= {"data": chosen.get("data", "real"), **_pack_facts(pack, chosen)}

    def doc(record: Record) -> dict[str, Any]:
        messages = build_dreaddit_personality(pack.content, "zero-shot", "soft", dimension, record["posts"])
        names = {key: value for key, value in asked._asdict().items() if key != "name"}
        return _doc(record, messages, pack, chosen) | {"dimension": dimension, **names}

    return {"test": Dataset.from_list([doc(record) for record in _posts(chosen)])}


def _posts(chosen: Mapping[str, Any]) -> list[Record]:
    data = chosen.get("data", "real")
    check_arguments("mbtibench_dreaddit", data=(data, DATA))
    if data == "sample":
        return _sample()
    records = read_json_lines("dreaddit", "test.jsonl")
    if any(record["label"] not in ("yes", "no") for record in records):
        raise DataError("test.jsonl: a label is neither yes nor no; fetch it again.")
    return records


def _sample() -> list[Record]:
    text = (resources.files("harness_ext.tasks.mbtibench") / "sample_dreaddit.jsonl").read_text(encoding="utf-8")
    return json_lines(text)


def sample_estimates() -> Estimates:
    """The invented personality scores of the bundled sample."""
    return estimates_from_rows([{"id": post["id"], **post["personality"]} for post in _sample()], "sample")


def _estimates(mode: Mode, chosen: Mapping[str, Any]) -> Estimates:
    given = (chosen.get("personality_hard") if mode == "hard" else None) or chosen.get("personality")
    if given:
        estimates = read_estimates(Path(given).expanduser())
    elif chosen.get("data") == "sample":
        estimates = sample_estimates()
    else:
        estimates = read_estimates(fetch("dreaddit", _RELEASED))
    if estimates.letters and mode != "hard":
        raise InputError(f"personality: {estimates.name} has letters, but {mode} shows scores; give scores too.")
    return estimates


def _lines(mode: Mode, posts: Sequence[Record], estimates: Estimates) -> dict[int, str]:
    missing = [post["id"] for post in posts if post["id"] not in estimates.by_id]
    if missing:
        raise DataError(f"personality: {estimates.name} lacks {len(missing)} authors, the first is id {missing[0]}.")
    dimensions = tuple(DIMENSIONS.values())
    return {post["id"]: personality_lines(estimates.by_id[post["id"]], dimensions, mode) for post in posts}


def _pack_facts(pack: Pack, chosen: Mapping[str, Any]) -> dict[str, str]:
    role = chosen.get("system_role", "text")
    return {"prompt_pack": pack.name, "prompt_pack_sha256": pack.sha256, "system_role": role}


def _doc(record: Record, messages: Sequence[Message], pack: Pack, chosen: Mapping[str, Any]) -> dict[str, Any]:
    system, turns = place_system(messages, chosen.get("system_role", "text"))
    return {
        "id": record["id"],
        "posts_text": record["posts"],
        "system": system,
        "user": turns[0],
        "turns": turns,
        "prompt_pack": pack.label,
    }
