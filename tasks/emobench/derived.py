"""EmoBench's understanding by likelihood: emotion and cause are two tasks, and a doc is right where both are."""

from __future__ import annotations

from collections.abc import Sequence

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.tasks.eibench.derived import Joint, with_joints

JOINTS = tuple(
    Joint(
        f"emobench_eu_{language}_ll",
        f"eu_{language}",
        "ei_score",
        (f"emobench_eu_{language}_emotion_ll", f"emobench_eu_{language}_cause_ll"),
    )
    for language in ("en", "zh")
)


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """The joint leaves of EmoBench."""
    return with_joints(JOINTS, rows, runs)
