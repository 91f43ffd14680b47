"""What the samples of the runs in a frame say beyond their scores: intervals, soft labels, and what a viewer shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness_ext.errors import HarnessExtError
from harness_ext.leaderboards.viewer import MOST_BYTES, Viewer
from harness_ext.results.bootstrap import Interval
from harness_ext.results.frame import Row
from harness_ext.results.intervals import task_interval
from harness_ext.results.resampled import NotResampledError
from harness_ext.results.samples import Scores, TaskRun, load_run

Floats = npt.NDArray[np.float64]

DRAWS = 2_000
"""Resamples of an interval that is drawn: more would not move a line by its width."""

_HEADLINES = {"mbtibench": "s_rmse", "eibench": "ei_score"}


class SoftLabels(NamedTuple):
    """Gold labels and predictions of the documents whose answers could be parsed, in [0, 1]."""

    gold: Floats
    predicted: Floats
    unparsed: int


@dataclass
class Evidence:
    """What was read from samples files."""

    viewer: Viewer
    intervals: dict[tuple[str, str, str, str], Interval] = field(default_factory=dict)
    """By result file, task, metric and filter; the headline metrics only."""
    soft_labels: dict[tuple[str, str, str], SoftLabels] = field(default_factory=dict)
    """By result file, task and filter."""

    def bounds(self, row: Row) -> tuple[float, float]:
        """The interval of a number; NaN where there is none."""
        known = self.intervals.get((row.run, row.task, row.metric, row.filter))
        return (known.low, known.high) if known else (float("nan"), float("nan"))


def headline(rows: Iterable[Row]) -> str:
    """The metric that a benchmark is judged by: its own headline, else the one that most of its tasks report first.

    Args:
        rows: numbers of one benchmark; at least one is measured.
    """
    first: dict[tuple[str, str], Row] = {}
    metrics = set()
    for row in rows:
        if row.origin == "measured":
            first.setdefault((row.run, row.task), row)
            metrics.add(row.metric)
    own = _HEADLINES.get(next(iter(first.values())).bench)
    return own if own in metrics else Counter(row.metric for row in first.values()).most_common(1)[0][0]


def gather(rows: Sequence[Row], *, show_samples: bool = False) -> Evidence:
    """Read the samples of every measured task in the rows, one file at a time; runs without samples have none.

    Args:
        rows: numbers of a frame.
        show_samples: let the viewer take samples of personal, harmful or unknown sources, too.
    """
    benches: dict[str, list[Row]] = {}
    wanted: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.origin == "measured":
            benches.setdefault(row.bench, []).append(row)
            if row.level == "task":
                wanted.setdefault(row.run, {}).setdefault(row.task, row)
    headlines = {bench: headline(own) for bench, own in benches.items()}
    leaves = sum(map(len, wanted.values()))
    found = Evidence(Viewer(share=MOST_BYTES // max(1, leaves), unlocked=show_samples))
    for path, tasks in wanted.items():
        try:
            run = load_run(Path(path))
        except HarnessExtError:
            continue  # moved or changed since it was read: its numbers stay, without what samples would add
        for task, row in tasks.items():
            if task in run.tasks and run.tasks[task].samples is not None:
                _read(run.tasks[task], row, headlines[row.bench], found)
    return found


def _read(task: TaskRun, row: Row, metric: str, found: Evidence) -> None:
    try:
        scores = task.scores()
    except HarnessExtError:
        return  # named among the files that could not be used
    for name, scored in scores.items():
        if bounds := _interval(task, scores, (metric, name)):
            found.intervals[row.run, task.task, metric, name] = bounds
        if labels := _soft_labels(scored):
            found.soft_labels[row.run, task.task, name] = labels
    docs = max(len(scored.numbers) for scored in scores.values())
    found.viewer.add(task, row, docs)


def _interval(task: TaskRun, scores: Mapping[str, Scores], measure: tuple[str, str]) -> Interval | None:
    if measure not in task.rows:
        return None
    try:
        return task_interval(task, scores, measure, draws=DRAWS)
    except NotResampledError:
        return None


def _soft_labels(scored: Scores) -> SoftLabels | None:
    """Pairs of gold and prediction, of tasks that are scored by the distance between the two."""
    pairs = scored.items.get("s_rmse", [])
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    failed = np.array(scored.items.get("parse_failure", [0.0] * len(pairs)), dtype=float) == 1
    gold, predicted = np.array(pairs, dtype=float).T
    used = ~failed & np.isfinite(gold) & np.isfinite(predicted)
    return SoftLabels(gold[used].clip(0, 1), predicted[used].clip(0, 1), int(failed.sum()))
