"""EmoBench's question about emotion and cause, which lm-eval has to ask as two tasks, as one leaf of EiBench-R."""

from __future__ import annotations

from collections.abc import Sequence

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.tasks.emobench.derived import Joint, with_joints

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
