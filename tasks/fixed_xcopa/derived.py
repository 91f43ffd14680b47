"""The mean over languages, and the language that a method changed most."""

from __future__ import annotations

from collections.abc import Sequence

from harness_ext.leaderboards.table import lines
from harness_ext.results.languages import derive_by_language
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """Rows by language of each line."""
    return Derived.joined(derive_by_language(own, runs, "acc", _place) for own in lines(rows).values())


def _place(row: Row) -> tuple[str, str, str]:
    family, _, language = row.task.rpartition("_")
    return "fixed_xcopa", family, language
