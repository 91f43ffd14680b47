"""Fidelity and off-target answers over languages, and what a method changed in the central one."""

from __future__ import annotations

from collections.abc import Sequence

from harness_ext.leaderboards.table import lines
from harness_ext.results.languages import derive_by_language
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """Rows by language of each line."""
    return Derived.joined(
        derive_by_language(own, runs, metric, _place, better=metric == "fidelity")
        for own in lines(rows).values()
        for metric in ("fidelity", "off_target_en")
    )


def _place(row: Row) -> tuple[str, str, str]:
    family, _, language = row.task.rpartition("_")
    return ("mtbench_t1" if row.variant == "t1" else family), family, language
