"""Leaves whose question lm-eval has to ask as two tasks, joined by doc id: EmoBench's, on emotion and cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.reading.samples import Scores
from harness_ext.results.statistics.intervals import Units, draw, interval_of
from harness_ext.scoring.resampled.numbers import nanmean


class Joint(NamedTuple):
    """A leaf that is right where both of its halves are right."""

    task: str
    part: str
    metric: str
    halves: tuple[str, str]


JOINTS = (
    Joint(
        "eibench_emobench_eu_ll",
        "emobench_eu",
        "ei_score",
        ("eibench_emobench_eu_emotion_ll", "eibench_emobench_eu_cause_ll"),
    ),
)


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """The joint leaf of EiBench-R."""
    return with_joints(JOINTS, rows, runs)


def with_joints(joints: Sequence[Joint], rows: Sequence[Row], runs: Runs) -> Derived:
    """A row for every joint leaf whose halves one run has, and notes on those that cannot be joined."""
    found: list[Row] = []
    notes = []
    for joint in joints:
        for run in dict.fromkeys(row.run for row in rows):
            own = {row.task: row for row in rows if row.run == run and row.metric == joint.metric}
            if not all(half in own for half in joint.halves):
                continue
            first, second = (runs.scores(own[half]) for half in joint.halves)
            if first is None or second is None:
                notes.append(f"{joint.task} could not be joined: {run} has no samples of both halves.")
                continue
            try:
                scores = joined(first, second, joint.metric)
            except ValueError as error:
                notes.append(f"{joint.task} could not be joined from its halves: {error}.")
                continue
            interval = interval_of(draw(nanmean(list(scores.values())), Units.of(list(scores))))
            about: dict[str, object] = {"task": joint.task, "part": joint.part, "task_hash": ""}
            about |= {"value": interval.value, "low": interval.low, "high": interval.high}
            about |= dict.fromkeys(("stderr", "chance"), math.nan)  # those of the halves are not its own
            found.append(own[joint.halves[0]].model_copy(update=about))
    return Derived(found, notes)


def joined(first: Scores, second: Scores, metric: str) -> dict[str, float]:
    """Joint score of each doc by its id: right where both of its halves are right.

    Args:
        first: one half's docs, scores all or nothing.
        second: the other half's docs.
        metric: of both.

    Raises:
        ValueError: the halves do not hold the same docs.
    """
    if sorted(first.ids) != sorted(second.ids):
        raise ValueError("its halves were not asked about the same docs")
    other = dict(zip(second.ids, second.items[metric], strict=True))
    return {name: min(score, other[name]) for name, score in zip(first.ids, first.items[metric], strict=True)}
