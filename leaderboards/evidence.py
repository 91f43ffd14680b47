"""What samples say beyond scores, taken while results are read: intervals, derived rows, soft labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness_ext.leaderboards.table import base_of
from harness_ext.results import benches
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.runs import GroupRun, Run, Runs, TaskRun
from harness_ext.results.reading.samples import Scores
from harness_ext.results.statistics import trivial
from harness_ext.results.statistics.bootstrap import Drawn, weighted
from harness_ext.results.statistics.intervals import Known, run_drawn

Floats = npt.NDArray[np.float64]


class SoftLabels(NamedTuple):
    """Gold labels and predictions of the documents whose answers could be parsed, in [0, 1]."""

    gold: Floats
    predicted: Floats
    unparsed: int


class Evidence:
    """Looks at each model's samples once, as :func:`~harness_ext.results.reading.runs.read` comes by them."""

    def __init__(self, *, details: bool = False, base: str = "") -> None:
        """Look for what is needed.

        Args:
            details: compute benchmarks' ``details`` too.
            base: a model that others will be compared with, beside those that runs name themselves.
        """
        self._all_compared = bool(base)
        self._drawn: dict[tuple[str, ...], Drawn] = {}  # by run, task, metric, filter and part
        self._known = Known()
        self._kinds = ("derive", "details") if details else ("derive",)
        self._soft_labels: dict[tuple[str, str, str, str], SoftLabels] = {}
        self._trivial: dict[tuple[object, ...], Row] = {}

    def soft_labels(self, row: Row) -> SoftLabels | None:
        """The soft labels behind a number; None for tasks that have none."""
        return self._soft_labels.get((row.run, row.task, row.metric, row.filter))

    def visit(self, rows: Sequence[Row], runs: Runs) -> tuple[list[Row | None], list[Row]]:
        """The numbers of one model with their intervals, and those that its benchmarks derive from them.

        A derived number takes the place of lm-eval's own for the same group.
        """
        found = [row for _, row in sorted(self._with_intervals(rows, runs), key=lambda own: own[0])]
        for row in found:
            if row.level == "task" and row.metric == benches.declared(row.bench).soft_labels:
                scored = runs.scores(row)
                if labels := _soft_labels(scored, row.metric) if scored else None:
                    self._soft_labels[row.run, row.task, row.metric, row.filter] = labels
        derived = list(self._trivially(found, runs))
        for bench in dict.fromkeys(row.bench for row in rows):
            brought = benches.module(bench, "derived")
            for kind in self._kinds:
                if derive := getattr(brought, kind, None):
                    try:
                        more = derive([row for row in found if row.bench == bench], runs)
                    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                        # numbers that no run gives, such as a share below 0
                        runs.notes.append(f"{bench}: nothing is derived from numbers like these ({error}).")
                        continue
                    derived += more.rows
                    runs.notes += more.notes
                    if self._compared(rows, runs):
                        self._drawn.update(more.drawn)
        told = {(row.task, row.metric, row.filter) for row in derived if row.level == "group" and not row.family}
        return [None if (row.task, row.metric, row.filter) in told else row for row in found], derived

    def _compared(self, rows: Sequence[Row], runs: Runs) -> bool:
        """Whether differences to or of this model will be asked for."""
        return bool(self._all_compared or rows[0].base or rows[0].model in runs.bases)

    def _trivially(self, rows: Sequence[Row], runs: Runs) -> Iterator[Row]:
        """Rows of the trivial predictors that metrics know of; models that answered the same documents share them."""
        for row in (one for own in rows for one in trivial.of_row(own, runs)):
            key = (row.model, row.task, row.metric, row.value, row.n, row.n_total, row.data, row.cap)
            if self._trivial.setdefault(key, row) is row:
                yield row

    def _with_intervals(self, rows: Sequence[Row], runs: Runs) -> Iterator[tuple[int, Row]]:
        """The rows of one model, each with its place among them."""
        files: dict[str, list[tuple[int, Row]]] = {}
        for at, row in enumerate(rows):
            files.setdefault(row.run, []).append((at, row))
        compared = self._compared(rows, runs)
        for file, own in files.items():
            tasks: dict[str, TaskRun] = {}
            groups: dict[str, GroupRun] = {}
            measures: dict[str, dict[tuple[str, str], Row]] = {}
            for _, row in own:
                measures.setdefault(row.task, {})[row.metric, row.filter] = row
                if task := runs.task(row):
                    tasks[row.task] = replace(task, rows=measures[row.task])
                elif leaves := runs.leaves(row):
                    groups[row.task] = GroupRun(leaves, measures[row.task])
            drawn, _ = run_drawn(Run(Path(file), rows[0].model, tasks, groups), scores=runs.scored, known=self._known)
            for at, row in own:
                one = drawn.get((row.task, row.metric, row.filter))
                if one and row.level == "task":
                    runs.drawn[row.run, row.task, row.metric, row.filter] = one
                if one and compared and row.metric == next(iter(measures[row.task]))[0]:
                    self._drawn[row.run, row.task, row.metric, row.filter, row.part] = one
                interval = one.interval if one else None
                yield at, row.model_copy(update={"low": interval.low, "high": interval.high}) if interval else row

    def with_differences(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with the intervals of paired differences to base models, where both answered the same docs."""
        tasks: dict[str, list[Row]] = {}
        for row in to_rows(frame[frame.origin == "measured"]) if self._drawn else ():
            tasks.setdefault(row.task, []).append(row)
        found: dict[tuple[str, ...], tuple[float, float]] = {}
        for rows in tasks.values():
            for row in rows:
                key = (row.run, row.task, row.metric, row.filter, row.part)
                base = base_of(row, rows) if key in self._drawn else None
                other = self._drawn.get((base.run, base.task, base.metric, base.filter, base.part)) if base else None
                if other and other.left_out.keys() == self._drawn[key].left_out.keys():
                    interval = weighted([self._drawn[key], other], [1.0, -1.0]).interval
                    found[key] = interval.low, interval.high
        if not found:
            return frame
        keys = zip(frame.run, frame.task, frame.metric, frame["filter"], frame.part, strict=True)
        ends = [found.get(key, (math.nan, math.nan)) for key in keys]
        return frame.assign(delta_low=[low for low, _ in ends], delta_high=[high for _, high in ends])


def _soft_labels(scored: Scores, metric: str) -> SoftLabels | None:
    """Pairs of gold and prediction, of tasks that are scored by the distance between the two."""
    pairs = scored.items.get(metric, [])
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    failed = np.array(scored.items.get("parse_failure", [0.0] * len(pairs)), dtype=float) == 1
    gold, predicted = np.array(pairs, dtype=float).T
    used = ~failed & np.isfinite(gold) & np.isfinite(predicted)
    return SoftLabels(gold[used].clip(0, 1), predicted[used].clip(0, 1), int(failed.sum()))
