"""What MBTIBench computes of several leaves, and what samples say beyond their metrics (subsets, recalibration, …)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness_ext.leaderboards.table import Entry, lines
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.statistics.bootstrap import Drawn, weighted
from harness_ext.results.statistics.intervals import of_row
from harness_ext.scoring.soft_labels import metrics, order_bias, recalibrate

Floats = npt.NDArray[np.float64]

SUBSETS = ("kaggle", "pandora", "twitter", "no_trait_words")
"""Authors by source, and those whose posts do not give the type away."""

DIMENSIONS = ("E/I", "S/N", "T/F", "J/P")
MEANS = ("s_rmse", "s_mae", "parse_failure", "spearman", "s_rmse_worst")
"""The metrics of which the table shows the mean over the dimensions."""

_OF_SUBSETS = ("s_rmse", "s_mae", "s_rmse_9")
_SWAPPED = {"zero_shot": "swap", "zero_shot_ll": "swap_ll"}
"""Variants that are asked on the reversed scale, too."""


class Answer(NamedTuple):
    """One author's gold label and prediction in [0, 1], with what subsets are made of."""

    id: int
    gold: float
    predicted: float
    source: str
    trait_words: bool


def facts(doc: Mapping[str, Any]) -> tuple[str, bool]:
    """What subsets are made of: the author's source, and whether the posts name types or traits."""
    return str(doc.get("source")), bool(doc.get("trait_words"))


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """The means over the four dimensions that the table shows, where lm-eval's group does not give them."""
    told = {(Entry.of(row), row.metric) for row in rows if row.level == "group"}
    leaves = lines(row for row in rows if row.level == "task" and row.part in DIMENSIONS and not row.family)
    found: list[Row] = []
    drawn: dict[tuple[str, str, str, str], Drawn] = {}
    for (entry, line), metric in itertools.product(leaves.items(), MEANS):
        own = {row.part: row for row in line if row.metric == metric}
        if (entry, metric) in told or own.keys() != set(DIMENSIONS):
            continue
        parts = [one for name in DIMENSIONS if (one := of_row(own[name], runs))]
        if len(parts) < len(DIMENSIONS):
            continue
        mean = weighted(parts, [1 / len(parts)] * len(parts))
        interval = mean.interval
        first = own[DIMENSIONS[0]]
        about: dict[str, object] = {"task": f"mbtibench_{first.variant}", "part": "", "level": "group"}
        about |= {"value": interval.value, "low": interval.low, "high": interval.high, "task_hash": "", "identity": ""}
        about |= dict.fromkeys(("stderr", "chance"), math.nan)
        about |= {name: math.fsum(getattr(row, name) for row in own.values()) for name in ("n", "n_total")}
        found.append(first.model_copy(update=about))
        drawn[first.run, f"mbtibench_{first.variant}", first.metric, first.filter] = mean
    return Derived(found, (), drawn)


def details(rows: Sequence[Row], runs: Runs) -> Derived:
    """What the samples of one model's soft-label tasks say, and notes on those without samples.

    New metrics of a leaf: the others of :func:`harness_ext.scoring.soft_labels.metrics`; ``*_recal`` (see
    :func:`~harness_ext.scoring.soft_labels.recalibrate`); where both scales were asked, ``order_bias`` and
    ``s_rmse_both_orders`` (S-RMSE of the mean answer); and, with ``family`` naming the subset, ``s_rmse``, ``s_mae``
    and ``s_rmse_9`` of each subset.
    """
    known: dict[tuple[str, str, str], set[str]] = {}
    heads: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.level == "task" and row.part:
            known.setdefault((row.run, row.task, row.filter), set()).add(row.metric)
            if row.metric == "s_rmse":
                heads[row.run, row.task, row.filter] = row
    answers = {}
    notes = []
    for place, row in heads.items():
        if found := read_answers(row, runs):
            answers[place] = found
        else:
            notes.append(f"no details of {row.task}: there are no samples; run lm-eval with --log_samples.")
    added: list[Row] = []
    for place, own in answers.items():
        told = dict(_details(own))
        added += [_row(heads[place], name, value) for name, value in told.items() if name not in known[place]]
        added += _subsets(heads[place], own)
    return Derived([*added, *_order_bias(heads, answers)], notes)


def read_answers(row: Row, runs: Runs) -> list[Answer]:
    """The authors of one leaf of one run, none without samples; the answers to a questionnaire's items are averaged."""
    scores = runs.scores(row)
    found: dict[int, list[Answer]] = {}
    if scores is not None:
        for own_id, item, told in zip(scores.ids, scores.items["s_rmse"], scores.facts, strict=True):
            *_, gold, predicted = item  # before them, an author's number
            found.setdefault(int(own_id), []).append(Answer(int(own_id), gold, predicted, *told))
    return [
        answers[0]._replace(predicted=math.fsum(answer.predicted for answer in answers) / len(answers))
        for answers in found.values()
    ]


def _columns(answers: Sequence[Answer]) -> tuple[Floats, Floats]:
    return np.array([answer.gold for answer in answers]), np.array([answer.predicted for answer in answers])


def _details(answers: Sequence[Answer]) -> Iterator[tuple[str, float]]:
    gold, predicted = _columns(answers)
    yield from metrics(gold, predicted, gold > 0.5).items()
    ids = [answer.id for answer in answers]
    if len({number % 2 for number in ids}) == 2:
        for name, value in recalibrate(gold, predicted, ids).items():
            if isinstance(value, float):
                yield name, value


def _subsets(head: Row, answers: Sequence[Answer]) -> Iterator[Row]:
    for name in SUBSETS:
        own = [answer for answer in answers if _belongs(answer, name)]
        if own and len(own) < len(answers):
            gold, predicted = _columns(own)
            values = metrics(gold, predicted, gold > 0.5)
            for metric in _OF_SUBSETS:
                yield _row(head, metric, values[metric], family=name, n=len(own), n_total=len(own))


def _belongs(answer: Answer, subset: str) -> bool:
    return not answer.trait_words if subset == "no_trait_words" else answer.source == subset


def _order_bias(
    heads: Mapping[tuple[str, str, str], Row], answers: Mapping[tuple[str, str, str], Sequence[Answer]]
) -> Iterator[Row]:
    for place, row in heads.items():
        swapped = _SWAPPED.get(row.variant)
        for other, theirs in heads.items() if place in answers and swapped else ():
            same = all(getattr(row, name) == getattr(theirs, name) for name in _SETTINGS)
            if other in answers and theirs.variant == swapped and same:
                plain, turned = ({a.id: a.predicted for a in answers[key]} for key in (place, other))
                if plain.keys() == turned.keys():
                    joined = order_bias(plain, turned)
                    gold = {answer.id: answer.gold for answer in answers[place]}
                    both = metrics([gold[at] for at in joined["ids"]], joined["p_mean"], [0] * len(gold))
                    yield _row(row, "order_bias", joined["disagreement"])
                    yield _row(row, "s_rmse_both_orders", both["s_rmse"])


_SETTINGS = ("model", "method", "base", "part", "filter", "cap", "prompt_pack", "setting", "data", "chat_template_hash")


def _row(head: Row, metric: str, value: float, **changes: object) -> Row:
    about = {"metric": metric, "value": float(value), "higher_is_better": None}
    about |= dict.fromkeys(("stderr", "low", "high"), math.nan)
    return head.model_copy(update={**about, **changes})


def mean_over(rows: Iterable[Row], parts: Sequence[str]) -> dict[str, float]:
    """Mean over the parts of each metric that all of them have; NaN where one is undefined.

    >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="a", value=1, part="x")
    >>> mean_over([row, row.model_copy(update={"part": "y", "value": 2.0})], ["x", "y"])
    {'a': 1.5}
    """
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        values.setdefault(row.metric, {})[row.part] = row.value
    return {metric: sum(own.values()) / len(own) for metric, own in values.items() if own.keys() == set(parts)}
