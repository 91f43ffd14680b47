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
from harness_ext.results.statistics.bootstrap import Drawn, Units, weighted
from harness_ext.results.statistics.intervals import draw_all, of_row
from harness_ext.scoring.recalibration import recalibrate, recalibrated
from harness_ext.scoring.resampled import Resampled
from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.scoring.soft_label_metrics import FORMS
from harness_ext.scoring.soft_label_metrics import forms as soft_label_forms

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
    drawn: dict[tuple[str, ...], Drawn] = {}
    for (entry, line), metric in itertools.product(leaves.items(), MEANS):
        own = {row.part: row for row in line if row.metric == metric}
        if (entry, metric) in told or own.keys() != set(DIMENSIONS):
            continue
        parts = [one for name in DIMENSIONS if (one := of_row(own[name], runs))]
        if len(parts) < len(DIMENSIONS):
            continue
        mean = weighted(parts, [1 / len(parts)] * len(parts))
        row = _mean_row([own[name] for name in DIMENSIONS], mean)
        found.append(row)
        drawn[row.run, row.task, row.metric, row.filter, row.part] = mean
    return Derived(found, (), drawn)


def details(rows: Sequence[Row], runs: Runs) -> Derived:
    """What the samples of one model's soft-label tasks say, and notes on those without samples.

    New metrics of a leaf: the others of :func:`harness_ext.scoring.soft_labels.metrics`; ``*_recal`` (see
    :func:`~harness_ext.scoring.soft_labels.recalibrate`); where both scales were asked, ``order_bias`` and
    ``s_rmse_both_orders`` (S-RMSE of the mean answer); and, with ``family`` naming the subset, ``s_rmse``, ``s_mae``
    and ``s_rmse_9`` of each subset. Each with its interval, as have the means over the four dimensions.
    """
    known: dict[tuple[str, str, str], dict[str, Row]] = {}
    heads: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.level == "task" and row.part:
            known.setdefault((row.run, row.task, row.filter), {})[row.metric] = row
            if row.metric == "s_rmse":
                heads[row.run, row.task, row.filter] = row
    answers = {}
    notes = []
    for place, row in heads.items():
        if found := read_answers(row, runs):
            answers[place] = found
        else:
            notes.append(f"no details of {row.task}: there are no samples; run lm-eval with --log_samples.")
    added: list[_Number] = []
    told: list[_Number] = []
    for place, own in answers.items():
        forms = _details(own)
        new = _numbers(heads[place], own, {name: form for name, form in forms.items() if name not in known[place]})
        exact = _recalibrated(own)  # a resample has its lines from sums, which round otherwise
        added += [(row.model_copy(update={"value": exact.get(row.metric, row.value)}), one) for row, one in new]
        added += _subsets(heads[place], own)
        leaf = (row for name, row in known[place].items() if name in forms and name not in MEANS)  # they have theirs
        told += [(row, one) for row in leaf if (one := of_row(row, runs))]
    added += _order_bias(heads, answers)
    groups = {(Entry.of(row), row.metric) for row in rows if row.level == "group"}
    told = [(row, one) for row, one in told if (Entry.of(row), row.metric) not in groups]
    return Derived([*(row for row, _ in added), *_means([*added, *told])], notes)


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


_Number = tuple[Row, Drawn]


def _numbers(head: Row, answers: Sequence[Answer], forms: Mapping[str, Resampled], **about: object) -> list[_Number]:
    """A row for each metric of some authors, and what it is on their resamples, which all tasks share."""
    units = Units.of([f"id {answer.id}" for answer in answers])
    drawn = draw_all(list(forms.values()), units)
    found = zip(forms.items(), drawn, strict=True)
    return [(_row(head, name, one, **{"value": form.point, **about}), one) for (name, form), one in found]


def _details(answers: Sequence[Answer]) -> dict[str, Resampled]:
    gold, predicted = _columns(answers)
    found = soft_label_forms(gold, predicted, gold > 0.5)
    halves = _recalibrated(answers)
    return found | recalibrated(gold, predicted, [answer.id for answer in answers]) if halves else found


def _recalibrated(answers: Sequence[Answer]) -> dict[str, float]:
    """The errors after recalibration; none where all authors fall into one half."""
    ids = [answer.id for answer in answers]
    if len({number % 2 for number in ids}) < 2:
        return {}
    return {name: value for name, value in recalibrate(*_columns(answers), ids).items() if isinstance(value, float)}


def _subsets(head: Row, answers: Sequence[Answer]) -> Iterator[_Number]:
    for name in SUBSETS:
        own = [answer for answer in answers if _belongs(answer, name)]
        if own and len(own) < len(answers):
            wanted = {metric: FORMS[metric](*_columns(own)) for metric in _OF_SUBSETS}
            yield from _numbers(head, own, wanted, family=name, n=len(own), n_total=len(own))


def _means(numbers: Iterable[_Number]) -> Iterator[Row]:
    """The mean over the four dimensions of each metric that all of them have."""
    parts: dict[tuple[object, ...], dict[str, _Number]] = {}
    for row, one in numbers:
        if row.part in DIMENSIONS:
            parts.setdefault((Entry.of(row), row.metric, row.family), {})[row.part] = (row, one)
    for own in parts.values():
        if len(own) == len(DIMENSIONS):
            mean = weighted([own[name][1] for name in DIMENSIONS], [1 / len(DIMENSIONS)] * len(DIMENSIONS))
            yield _mean_row([own[name][0] for name in DIMENSIONS], mean)


def _mean_row(rows: Sequence[Row], mean: Drawn) -> Row:
    """A number of the group of all four dimensions."""
    first, found = rows[0], mean.interval
    about: dict[str, object] = {"task": f"mbtibench_{first.variant}", "part": "", "level": "group"}
    about |= {"value": found.value, "low": found.low, "high": found.high, "task_hash": "", "identity": ""}
    about |= dict.fromkeys(("stderr", "chance"), math.nan)
    about |= {name: math.fsum(getattr(row, name) for row in rows) for name in ("n", "n_total")}
    return first.model_copy(update=about)


def _belongs(answer: Answer, subset: str) -> bool:
    return not answer.trait_words if subset == "no_trait_words" else answer.source == subset


def _order_bias(
    heads: Mapping[tuple[str, str, str], Row], answers: Mapping[tuple[str, str, str], Sequence[Answer]]
) -> Iterator[_Number]:
    for place, row in heads.items():
        swapped = _SWAPPED.get(row.variant)
        for other, theirs in heads.items() if place in answers and swapped else ():
            same = all(getattr(row, name) == getattr(theirs, name) for name in _SETTINGS)
            if other in answers and theirs.variant == swapped and same:
                plain, turned = ({a.id: a.predicted for a in answers[key]} for key in (place, other))
                if plain.keys() == turned.keys():
                    own = sorted(answers[place])  # by id
                    theirs_by_id = np.array([turned[answer.id] for answer in own])
                    gold, mine = _columns(own)
                    wanted = {
                        "order_bias": nanmean(np.abs(mine - theirs_by_id)),
                        "s_rmse_both_orders": FORMS["s_rmse"](gold, (mine + theirs_by_id) / 2),
                    }
                    yield from _numbers(row, own, wanted)


_SETTINGS = ("model", "method", "base", "part", "filter", "cap", "prompt_pack", "setting", "data", "chat_template_hash")


def _row(head: Row, metric: str, one: Drawn, **changes: object) -> Row:
    found = one.interval
    about = {"metric": metric, "value": found.value, "low": found.low, "high": found.high}
    return head.model_copy(update={**about, "stderr": math.nan, "higher_is_better": None, **changes})
