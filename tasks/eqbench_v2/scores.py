"""From an answer to the values that are aggregated over docs, called by lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.eqbench import AnswerScore, DocItem, Mode, score_answer, sections

Doc = Mapping[str, Any]


def _reference(doc: Doc) -> dict[str, float]:
    return dict(zip(doc["emotions"], doc["reference"], strict=True))


def _both(doc: Doc, text: str, mode: Mode) -> tuple[AnswerScore, AnswerScore]:
    first, revised = (score_answer(part, _reference(doc), mode) for part in sections(text, doc["language"]))
    return first, revised


@of_answer
def revised(doc: Doc, results: Sequence[str]) -> dict[str, float | DocItem]:
    """First scores, critique and revised scores."""
    (first, again), (first_compat, again_compat) = (_both(doc, results[0], mode) for mode in ("strict", "compat"))
    item, item_compat = (*first, *again), (*first_compat, *again_compat)
    return {
        "eqbench": item,
        "eqbench_first": first.score,
        "eqbench_revised": again.score,
        "percent_parseable": item,
        "parse_failure": float(not (first.parsed or again.parsed)),
        "eqbench_compat": item_compat,
        "percent_parseable_compat": item_compat,
    }


@of_answer
def short(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """The four scores alone."""
    strict, compat = (score_answer(results[0], _reference(doc), mode) for mode in ("strict", "compat"))
    return {
        "eqbench": strict.score,
        "percent_parseable": 100.0 * strict.parsed,
        "parse_failure": float(not strict.parsed),
        "eqbench_compat": compat.score,
        "percent_parseable_compat": 100.0 * compat.parsed,
    }
