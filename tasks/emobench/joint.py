"""Scores of one question that lm-eval has to ask as two tasks, joined by doc id from the samples."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from harness_ext.errors import HarnessExtError
from harness_ext.results.reading.frame import Row, to_frame, to_rows
from harness_ext.results.reading.samples import Scores, load_run


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
    *(
        Joint(
            f"emobench_eu_{language}_ll",
            f"eu_{language}",
            "ei_score",
            (f"emobench_eu_{language}_emotion_ll", f"emobench_eu_{language}_cause_ll"),
        )
        for language in ("en", "zh")
    ),
)


def with_joint_leaves(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame with a row for every joint leaf whose halves one run has, and notes on those that cannot be joined."""
    halves = {half for joint in JOINTS for half in joint.halves}
    concerned = to_rows(frame[(frame.origin == "measured") & frame.task.isin(halves)])
    rows: list[Row] = []
    notes = []
    for joint in JOINTS:
        for run in dict.fromkeys(row.run for row in concerned):
            own = {row.task: row for row in concerned if row.run == run and row.metric == joint.metric}
            if not all(half in own for half in joint.halves):
                continue
            try:
                first, second = (load_run(Path(run)).tasks[half].scores()[own[half].filter] for half in joint.halves)
                value = joined(first, second, joint.metric)
            except (HarnessExtError, ValueError) as error:
                notes.append(f"{joint.task} could not be joined from its halves: {error}")
                continue
            about: dict[str, object] = {"task": joint.task, "part": joint.part, "value": value, "task_hash": ""}
            about |= dict.fromkeys(("stderr", "chance"), float("nan"))  # those of the halves are not its own
            rows.append(own[joint.halves[0]].model_copy(update=about))
    return (pd.concat([frame, to_frame(rows)], ignore_index=True) if rows else frame), notes


def joined(first: Scores, second: Scores, metric: str) -> float:
    """Joint score: a doc is right where both of its halves are right; the mean over docs.

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
    return fmean(min(score, other[name]) for name, score in zip(first.ids, first.items[metric], strict=True))
