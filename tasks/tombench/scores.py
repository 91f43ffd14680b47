"""From an answer to the values that are aggregated over docs, called by lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from harness_ext.scoring.affect import INVALID, parse_option
from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.options import likeliest
from harness_ext.scoring.tombench import GroupedItem, ability_of, compat_parse, family_of

Doc = Mapping[str, Any]
Values = dict[str, float | GroupedItem]


def _accuracy(doc: Doc, predicted: str) -> dict[str, float]:
    """Whether the letter is right, and beside it whether A would be: right answers sit in uneven places."""
    return {"acc": 100.0 * (predicted == doc["answer"]), "constant_A": 100.0 * (doc["answer"] == "A")}


def _emotion(doc: Doc, predicted: str) -> Values:
    found = _accuracy(doc, predicted)
    return {**found, "ability_macro": (ability_of(doc["ability"]), found["acc"])}


def _all(doc: Doc, predicted: str) -> Values:
    found = _accuracy(doc, predicted)
    macros = {"ability_macro": (family_of(doc["ability"]), found["acc"]), "task_macro": (doc["task"], found["acc"])}
    return {**found, **macros}


def _reading(doc: Doc, response: str, predicted: str) -> Values:
    return {
        "invalid": float(predicted == INVALID),
        "acc_compat": 100.0 * (compat_parse(response) == doc["answer"]),
    }


@of_answer
def emotion(doc: Doc, results: Sequence[str]) -> Values:
    """A letter, on the emotion items: means over the seven abilities."""
    predicted = parse_option(results[0], len(doc["options"]))
    return _emotion(doc, predicted) | _reading(doc, results[0], predicted)


@of_answer
def everything(doc: Doc, results: Sequence[str]) -> Values:
    """A letter, on all items: means over the six families of abilities and over the twenty files."""
    predicted = parse_option(results[0], len(doc["options"]))
    return _all(doc, predicted) | _reading(doc, results[0], predicted)


def emotion_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """The likeliest letter, on the emotion items."""
    return _emotion(doc, ascii_uppercase[likeliest(results)])


def everything_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """The likeliest letter, on all items."""
    return _all(doc, ascii_uppercase[likeliest(results)])
