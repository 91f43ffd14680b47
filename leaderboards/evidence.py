"""What the samples of a run say beyond its scores: intervals and soft labels, read when a figure asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness_ext.errors import HarnessExtError
from harness_ext.results import benches
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.samples import Run, Scores, TaskRun, load_run
from harness_ext.results.statistics.bootstrap import Interval
from harness_ext.results.statistics.intervals import task_interval
from harness_ext.scoring.resampled import NotResampledError

Floats = npt.NDArray[np.float64]

DRAWS = 2_000
"""Resamples of an interval that is drawn: more would not move a line by its width."""


class SoftLabels(NamedTuple):
    """Gold labels and predictions of the documents whose answers could be parsed, in [0, 1]."""

    gold: Floats
    predicted: Floats
    unparsed: int


class Runs:
    """The runs that numbers of a frame come from, each loaded once."""

    def __init__(self) -> None:
        self._loaded: dict[str, Run | None] = {}

    def task(self, row: Row) -> TaskRun | None:
        """The task's run that a number belongs to; None where its files have no samples or were changed since."""
        if row.run not in self._loaded:
            try:
                self._loaded[row.run] = load_run(Path(row.run))
            except HarnessExtError:
                self._loaded[row.run] = None
        run = self._loaded[row.run]
        task = run.tasks.get(row.task) if run else None
        return task if task and task.samples else None


class _Leaf(NamedTuple):
    """What one samples file says, by filter."""

    intervals: Mapping[str, Interval]
    soft_labels: Mapping[str, SoftLabels]


class Evidence:
    """Intervals and soft labels of the numbers in a frame; a file is read once for each metric."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._leaves: dict[tuple[str, str, str], _Leaf] = {}

    def bounds(self, row: Row) -> tuple[float, float]:
        """The 95 % interval of a number; NaN where there is none."""
        known = self._leaf(row).intervals.get(row.filter)
        return (known.low, known.high) if known else (float("nan"), float("nan"))

    def soft_labels(self, row: Row) -> SoftLabels | None:
        """The soft labels behind a number; None for tasks that have none."""
        return self._leaf(row).soft_labels.get(row.filter)

    def _leaf(self, row: Row) -> _Leaf:
        key = (row.run, row.task, row.metric)
        if key not in self._leaves:
            of_soft_labels = row.metric == benches.declared(row.bench).soft_labels
            self._leaves[key] = _read(self._runs.task(row), row.metric, of_soft_labels)
        return self._leaves[key]


def _read(task: TaskRun | None, metric: str, of_soft_labels: bool) -> _Leaf:
    try:
        scores = task.scores() if task else {}
    except HarnessExtError:
        scores = {}  # named among the files that could not be used
    intervals = {name: _interval(task, scores, (metric, name)) for name in scores} if task else {}
    labels = {name: _soft_labels(scored, metric) for name, scored in scores.items()} if of_soft_labels else {}
    return _Leaf(
        {name: interval for name, interval in intervals.items() if interval},
        {name: found for name, found in labels.items() if found},
    )


def _interval(task: TaskRun, scores: Mapping[str, Scores], measure: tuple[str, str]) -> Interval | None:
    if measure not in task.rows:
        return None
    try:
        return task_interval(task, scores, measure, draws=DRAWS)
    except NotResampledError:
        return None


def _soft_labels(scored: Scores, metric: str) -> SoftLabels | None:
    """Pairs of gold and prediction, of tasks that are scored by the distance between the two."""
    pairs = scored.items.get(metric, [])
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    failed = np.array(scored.items.get("parse_failure", [0.0] * len(pairs)), dtype=float) == 1
    gold, predicted = np.array(pairs, dtype=float).T
    used = ~failed & np.isfinite(gold) & np.isfinite(predicted)
    return SoftLabels(gold[used].clip(0, 1), predicted[used].clip(0, 1), int(failed.sum()))
