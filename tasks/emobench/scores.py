"""From an answer to the values that are aggregated over docs, called by lm-eval.

Beside each score stands what a constant letter reaches on the same docs in the same order of options: positions of
right answers are uneven, so a score below that says nothing about emotions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from string import ascii_uppercase
from typing import Any

from harness_ext.scoring.affect import INVALID, parse_option_json
from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.emobench import compat_letters
from harness_ext.scoring.options import likeliest

Doc = Mapping[str, Any]
Values = dict[str, Any]

UNDERSTANDING = ("perspective_taking", "personal_beliefs_and_experiences", "complex_emotions", "emotional_cues")
APPLICATION = ("Personal-Others", "Personal-Self", "Social-Others", "Social-Self")
QUESTION_TYPES = ("Action", "Response")


def _by(score: str, groups: Sequence[str], own: str, value: float) -> Values:
    """The score under the name of the doc's own group; undefined for the others."""
    return {f"{score}_{group}": value if group == own else nan for group in groups}


def _constants(doc: Doc) -> Values:
    gold = doc["gold"]
    return {"constant_A": 100.0 * (set(gold) == {"A"}), "constant_best": gold}


def _understanding(doc: Doc, score: str, value: float) -> Values:
    return (
        {"ei_score": value, score: value} | _constants(doc) | _by(score, UNDERSTANDING, doc["meta"]["category"], value)
    )


def _application(doc: Doc, value: float) -> Values:
    values = (
        {"ei_score": value, "acc": value} | _constants(doc) | _by("acc", APPLICATION, doc["meta"]["category"], value)
    )
    return values | _by("acc", QUESTION_TYPES, doc["meta"]["question_type"], value)


def _read(doc: Doc, response: str) -> tuple[list[float], Values]:
    """Which letters of a JSON answer are right, and what is reported about the reading itself."""
    keys, gold = doc["meta"]["keys"], doc["gold"]
    letters = parse_option_json(response, keys, doc["meta"]["options"])
    right = [100.0 * (letter == true) for letter, true in zip(letters, gold, strict=True)]
    return right, {"invalid": float(INVALID in letters), "compat": 100.0 * (compat_letters(response, keys) == [*gold])}


def _likeliest(doc: Doc, results: Sequence[tuple[float, bool]]) -> float:
    return 100.0 * float(ascii_uppercase[likeliest(results)] == doc["gold"])


@of_answer
def understanding(doc: Doc, results: Sequence[str]) -> Values:
    """Two letters; the doc is right if both are."""
    right, reading = _read(doc, results[0])
    values = _understanding(doc, "joint", min(right)) | {"emotion": right[0], "cause": right[1]}
    return values | {"joint_compat": reading["compat"], "invalid": reading["invalid"]}


def understanding_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """The likeliest letter of one half of the question."""
    return _understanding(doc, "acc", _likeliest(doc, results))


@of_answer
def application(doc: Doc, results: Sequence[str]) -> Values:
    """One letter."""
    (right,), reading = _read(doc, results[0])
    values = _application(doc, right)
    return values | {"acc_compat": reading["compat"], "invalid": reading["invalid"]}


def application_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """The likeliest letter."""
    return _application(doc, _likeliest(doc, results))
