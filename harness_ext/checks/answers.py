"""Scores of answers that need no model: the gold answer of each doc, none at all, and one answer to every doc."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness_ext.checks.loading import Doc, Loaded, gold_indices
from harness_ext.checks.network import no_network
from harness_ext.models.dialogues.filter import has_dialogues
from harness_ext.models.dialogues.turns import transcript

Answer = Callable[[int, Doc], Any]
"""What is answered to a doc, given its number: a text, or a log-likelihood for each request."""

_RIGHT, _WRONG = -0.01, -200.0
_CONSTANTS = 6
"""Different gold texts that are given to every doc."""


@dataclass(frozen=True)
class Scores:
    """What one way to answer scores."""

    keys: list[frozenset[str]]
    """The metrics that each doc returned."""
    items: dict[tuple[str, str], list[Any]]
    """What each doc returned, by metric and filter."""
    values: dict[tuple[str, str], float]
    """Aggregated value of each metric under each filter; NaN where it is no number."""

    def of(self, metric: str) -> float:
        """The value under the first filter that has the metric; NaN without."""
        return next((value for (name, _), value in self.values.items() if name == metric), math.nan)


def score(loaded: Loaded, answer: Answer) -> Scores:
    """Answer, filter, score and aggregate as lm-eval's evaluator does."""
    task = loaded.task
    dialogues = has_dialogues(task)
    for number, (doc, asked) in enumerate(zip(loaded.docs, loaded.requests, strict=True)):
        said = answer(number, doc)
        if dialogues:
            said = transcript([said] * len(doc["turns"]))
        for one, response in zip(asked, said if isinstance(said, list) else [said] * len(asked), strict=True):
            one.resps = [response]
            one.filtered_resps = {}
    task._instances = [one for asked in loaded.requests for one in asked]
    items: dict[tuple[str, str], list[Any]] = {}
    keys = []
    with no_network():
        task.apply_filters()
        for name in loaded.requests[0][0].filtered_resps:
            for doc, asked in zip(loaded.docs, loaded.requests, strict=True):
                scored = task.process_results(doc, [one.filtered_resps[name] for one in asked])
                keys.append(frozenset(scored))
                for metric, value in scored.items():
                    items.setdefault((metric, name), []).append(value)
        return Scores(keys, items, {key: aggregated(task, key[0], values) for key, values in items.items()})


def aggregated(task: Any, metric: str, items: list[Any]) -> float:
    """A task's metric over the items of docs; NaN where it is no number."""
    aggregate = task.aggregation().get(metric)
    if aggregate is None:
        return math.nan
    value = aggregate(items)
    return float(value) if isinstance(value, (int, float)) or hasattr(value, "item") else math.nan


def oracle(loaded: Loaded) -> Answer:
    """The gold answer of each doc: where choices are scored by a soft label, the label itself."""

    def answer(number: int, doc: Doc) -> Any:
        if soft := _soft_label(loaded, number, doc):
            return [(math.log(share) if share > 0 else _WRONG, share == max(soft)) for share in soft]
        return _prefer(loaded, number, gold_indices(loaded.task, doc) if _chooses(loaded) else {0})

    return answer


def nothing(loaded: Loaded) -> Answer:
    """An empty answer; where likelihoods are compared, the gold answer is the least likely.

    Of a soft label the class with the least weight takes all.
    """

    def answer(number: int, doc: Doc) -> Any:
        if loaded.task.OUTPUT_TYPE == "generate_until":
            return ""
        if not _chooses(loaded):
            return _prefer(loaded, number, set())
        if soft := _soft_label(loaded, number, doc):
            return _prefer(loaded, number, {soft.index(min(soft))})
        return _prefer(loaded, number, set(range(len(loaded.task.doc_to_choice(doc)))) - gold_indices(loaded.task, doc))

    return answer


def constants(loaded: Loaded) -> Iterator[tuple[str, Answer]]:
    """Each answer that some doc has as its gold answer, given to every doc."""
    if loaded.task.OUTPUT_TYPE == "generate_until":
        for text in sorted(set(loaded.targets))[:_CONSTANTS]:
            yield repr(text), partial(_same, text)
    elif _chooses(loaded):
        for choice in range(max(len(loaded.task.doc_to_choice(doc)) for doc in loaded.docs)):
            yield f"choice {choice}", partial(_same_choice, loaded, choice)


def _same(text: str, _number: int, _doc: Doc) -> str:
    return text


def _same_choice(loaded: Loaded, choice: int, number: int, _doc: Doc) -> Any:
    return _prefer(loaded, number, {choice})


def _soft_label(loaded: Loaded, number: int, doc: Doc) -> list[float]:
    """The weights of the choices, where the doc has a soft label; else none."""
    soft = doc.get("soft_label")
    fits = _chooses(loaded) and isinstance(soft, list) and len(soft) == len(loaded.requests[number])
    return soft if fits and isinstance(soft, list) and any(soft) else []


def _chooses(loaded: Loaded) -> bool:
    return bool(loaded.task.OUTPUT_TYPE == "multiple_choice")


def _prefer(loaded: Loaded, number: int, likely: set[int]) -> Any:
    """The gold text, or a likelihood for each request: high for the likely ones."""
    if loaded.task.OUTPUT_TYPE == "generate_until":
        return loaded.targets[number]
    given = [(_RIGHT, True) if index in likely else (_WRONG, False) for index in range(len(loaded.requests[number]))]
    return [value for value, _ in given] if loaded.task.OUTPUT_TYPE == "loglikelihood_rolling" else given
