"""Do the published numbers hold together: schema, ranges, repetitions, and columns that follow from others.

What a source really prints wrong is listed in ``leaderboards/known_exceptions.csv`` with the reason, so that nothing is
silently tolerated; an exception that no longer occurs is a finding, too.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import NamedTuple

from harness_ext.errors import DataError
from harness_ext.results import benches
from harness_ext.results.published.tables import parse, tables
from harness_ext.results.reading.frame import Row

UNITS: dict[str, tuple[float, float]] = {
    "percent": (0, 100),
    "percent difference": (-200, 200),
    "fraction": (0, 1),
    "x100": (-100, 300),  # of a source that prints every metric times 100, the mean absolute error among them
    "count": (0, math.inf),  # of ``n``
    "segments": (0, 9),
    "rank": (1, math.inf),
    "rating": (1, 10),
    "correlation": (-1, 1),
    "perplexity": (1, math.inf),
    "distance": (0, math.inf),
    "points": (-math.inf, math.inf),
}
"""The units of published numbers and the values that are possible in them."""


class Finding(NamedTuple):
    """Something that does not hold, or an exception that is not needed."""

    check: str
    bench: str
    row: str
    problem: str


class Verdict(NamedTuple):
    """What is wrong, how many rows were checked, and how many known exceptions occurred."""

    findings: list[Finding]
    rows: int
    exceptions: int


def check_all() -> Verdict:
    """Check every file of published numbers, ours and other packages'."""
    findings: list[Finding] = []
    rows: list[Row] = []
    for source in tables("published"):
        try:
            own = list(parse(source, "published"))
        except DataError as error:
            findings.append(Finding("schema", source.bench, "", str(error)))
            continue
        findings += check(own, source.bench)
        rows += own
    unexpected, exceptions = _without_exceptions(findings, known_exceptions())
    return Verdict(unexpected, len(rows), exceptions)


def check(rows: Sequence[Row], bench: str) -> list[Finding]:
    """Every finding about the rows of one file, known exceptions included."""
    findings = [*_schema(rows, bench), *_ranges(rows), *_repetitions(rows)]
    own = getattr(benches.module(bench, "bench"), "check_published", None)
    return [*findings, *own(rows)] if own else findings


def known_exceptions() -> dict[tuple[str, str, str], str]:
    """Reasons by (check, bench, row)."""
    text = (files("harness_ext.leaderboards") / "known_exceptions.csv").read_text(encoding="utf-8")
    return {(line["check"], line["bench"], line["row"]): line["reason"] for line in csv.DictReader(text.splitlines())}


def _without_exceptions(
    findings: Sequence[Finding], known: dict[tuple[str, str, str], str]
) -> tuple[list[Finding], int]:
    needed = {finding[:3] for finding in findings} & known.keys()
    stale = [Finding(*key, "listed in known_exceptions.csv, but it holds") for key in known.keys() - needed]
    return [finding for finding in findings if finding[:3] not in known] + stale, len(needed)


def _name(row: Row) -> str:
    """What a person needs to find the row: everything but the numbers and the source."""
    parts = (row.model, row.method, row.variant, row.task, row.part, row.metric, row.setting)
    shots = "" if math.isnan(row.num_fewshot) else f"{row.num_fewshot:.0f} shots"
    return " | ".join(part for part in (*parts, shots) if part)


def found(check_name: str, row: Row, problem: str) -> Finding:
    """A finding about one row; benchmarks have checks of their own in ``bench.check_published(rows)``."""
    return Finding(check_name, row.bench, _name(row), problem)


def _schema(rows: Sequence[Row], bench: str) -> Iterator[Finding]:
    for row in rows:
        empty = [name for name in ("citation", "locator", "transcribed_from", "unit") if not getattr(row, name)]
        if empty:
            yield found("schema", row, f"{', '.join(empty)} must not be empty")
        if row.bench != bench:
            yield found("schema", row, f"bench is {row.bench}, the file is that of {bench}")
        if row.data != "real" or row.run:
            yield found("schema", row, "a published number is no run and no sample")


def _ranges(rows: Sequence[Row]) -> Iterator[Finding]:
    for row in rows:
        low, high = UNITS.get(row.unit, (math.nan, math.nan))
        if math.isnan(low):
            yield found("range", row, f"unknown unit {row.unit!r}; known are {', '.join(UNITS)}")
        elif row.unit == "count" and not (row.value == int(row.value) and not row.value > row.n):
            yield found("range", row, f"{row.value:g} of {row.n:g} is no count")
        elif not low <= row.value <= high:
            yield found("range", row, f"{row.value:g} is no {row.unit} ({low:g} to {high:g})")
        if row.std < 0:
            yield found("range", row, f"a standard deviation of {row.std:g}")


def _repetitions(rows: Sequence[Row]) -> Iterator[Finding]:
    """One cell is entered once; two cells of one source that mean the same hold the same number."""
    cells: set[tuple[str, str, str]] = set()
    numbers: dict[tuple[str, str], Row] = {}
    for row in rows:
        if (cell := (_name(row), row.citation, row.locator)) in cells:
            yield found("repetition", row, f"{row.locator} is entered twice")
        cells.add(cell)
        first = numbers.setdefault((_name(row), row.citation), row)
        if first.value != row.value:
            yield found("repetition", row, f"{row.value:g} in {row.locator}, but {first.value:g} in {first.locator}")
