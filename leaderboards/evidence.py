"""What the samples of the runs in a frame say beyond their scores: intervals, soft labels, and what a viewer shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness_ext.errors import HarnessExtError
from harness_ext.leaderboards.table import Entry
from harness_ext.leaderboards.viewer import MOST_BYTES, Viewer
from harness_ext.results.bootstrap import Interval, interval
from harness_ext.results.frame import Row
from harness_ext.results.resampled import NotResampledError, by_cluster, form
from harness_ext.results.samples import Scores, TaskRun, load_run

Floats = npt.NDArray[np.float64]
Leaf = tuple[str, str]
"""The path of a result file and a task in it."""

DRAWS = 2_000
"""Enough for the two digits of a plot; ``harness-ext compare`` draws more."""


class SoftLabels(NamedTuple):
    """Gold labels and predictions of the documents whose answers could be parsed, in [0, 1]."""

    gold: Floats
    predicted: Floats
    unparsed: int


class Evidence(NamedTuple):
    """What was read from samples files."""

    intervals: Mapping[tuple[str, str, str, str], Interval]
    """By result file, task, metric and filter; the first metric of each task only."""
    soft_labels: Mapping[tuple[str, str, str], SoftLabels]
    """By result file, task and filter."""
    viewer: Viewer


def gather(rows: Sequence[Row], *, show_samples: bool = False) -> Evidence:
    """Read the samples of every measured task in the rows, one file at a time; runs without samples have none.

    Args:
        rows: numbers of a frame.
        show_samples: let the viewer take samples of personal, harmful or unknown sources, too.
    """
    wanted: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.origin == "measured" and row.level == "task":
            wanted.setdefault(row.run, {}).setdefault(row.task, row)
    leaves = sum(map(len, wanted.values()))
    found = Evidence({}, {}, Viewer(share=MOST_BYTES // max(1, leaves), unlocked=show_samples))
    for path, tasks in wanted.items():
        try:
            run = load_run(Path(path))
        except HarnessExtError:
            continue  # moved or changed since it was read: its numbers stay, without what samples would add
        for task, row in tasks.items():
            if task in run.tasks and run.tasks[task].samples is not None:
                _read(run.tasks[task], row, found)
    return found


def _read(task: TaskRun, row: Row, found: Evidence) -> None:
    try:
        scores = task.scores()
    except HarnessExtError:
        return  # named among the files that could not be used
    for name, scored in scores.items():
        measure = (headline(task), name)
        if measure in task.rows and (bounds := _interval(task, measure, scored)) is not None:
            found.intervals[row.run, task.task, *measure] = bounds  # type: ignore[index]
        if (labels := _soft_labels(scored)) is not None:
            found.soft_labels[row.run, task.task, name] = labels  # type: ignore[index]
    docs = max(len(scored.numbers) for scored in scores.values())
    found.viewer.add(task, row, Entry.of(row).label, docs)


def headline(task: TaskRun) -> str:
    """The first metric of a task."""
    reported = [metric for metric, _ in task.rows]
    listed = [str(entry.get("metric")) for entry in task.config.get("metric_list") or []]
    return next((metric for metric in listed if metric in reported), reported[0])


def _interval(task: TaskRun, measure: tuple[str, str], scored: Scores) -> Interval | None:
    metric, _ = measure
    items = scored.items.get(metric, [])
    listed = {entry.get("metric"): entry.get("aggregation") for entry in task.config.get("metric_list") or []}
    aggregation = listed.get(metric)
    try:
        build = form(
            metric, [(items, task.rows[measure].value)], aggregation=None if aggregation is None else str(aggregation)
        )
        statistic = build(items)
    except NotResampledError:
        return None
    if len(set(scored.units)) < len(scored.units):
        statistic = by_cluster(statistic, scored.units)
    return interval(statistic, draws=DRAWS)


def _soft_labels(scored: Scores) -> SoftLabels | None:
    """Pairs of gold and prediction, of tasks that are scored by the distance between the two."""
    pairs = scored.items.get("s_rmse", [])
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    failed = np.array(scored.items.get("parse_failure", [0.0] * len(pairs)), dtype=float) == 1
    gold, predicted = np.array(pairs, dtype=float).T
    used = ~failed & np.isfinite(gold) & np.isfinite(predicted)
    return SoftLabels(gold[used].clip(0, 1), predicted[used].clip(0, 1), int(failed.sum()))


def bounds(intervals: Mapping[tuple[str, str, str, str], Interval], row: Row) -> tuple[float, float]:
    """The interval of a number; NaN where there is none."""
    known = intervals.get((row.run, row.task, row.metric, row.filter))
    return (known.low, known.high) if known else (math.nan, math.nan)
