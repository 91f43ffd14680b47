"""Do the published numbers hold together: schema, ranges, repetitions, and columns that follow from others.

What a source really prints wrong is listed in ``leaderboards/known_exceptions.csv`` with the reason, so that nothing is
silently tolerated; an exception that no longer occurs is a finding, too.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from statistics import fmean
from typing import NamedTuple

from harness_ext.errors import DataError
from harness_ext.results.derived import mean_rank
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
    """Check every file of ``leaderboards/published``."""
    findings: list[Finding] = []
    rows: list[Row] = []
    for file in tables("published"):
        try:
            found = list(parse(file, "published"))
        except DataError as error:
            findings.append(Finding("schema", file.name.removesuffix(".csv"), "", str(error)))
            continue
        findings += check(found, file.name.removesuffix(".csv"))
        rows += found
    unexpected, exceptions = _without_exceptions(findings, known_exceptions())
    return Verdict(unexpected, len(rows), exceptions)


def check(rows: Sequence[Row], bench: str) -> list[Finding]:
    """Every finding about the rows of one file, known exceptions included."""
    findings = [*_schema(rows, bench), *_ranges(rows), *_repetitions(rows)]
    if bench in _DERIVED:
        findings += _DERIVED[bench](rows)
    return findings


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


def _found(check_name: str, row: Row, problem: str) -> Finding:
    return Finding(check_name, row.bench, _name(row), problem)


def _schema(rows: Sequence[Row], bench: str) -> Iterator[Finding]:
    for row in rows:
        empty = [name for name in ("citation", "locator", "transcribed_from", "unit") if not getattr(row, name)]
        if empty:
            yield _found("schema", row, f"{', '.join(empty)} must not be empty")
        if row.bench != bench:
            yield _found("schema", row, f"bench is {row.bench}, the file is {bench}.csv")
        if row.data != "real" or row.run:
            yield _found("schema", row, "a published number is no run and no sample")


def _ranges(rows: Sequence[Row]) -> Iterator[Finding]:
    for row in rows:
        low, high = UNITS.get(row.unit, (math.nan, math.nan))
        if math.isnan(low):
            yield _found("range", row, f"unknown unit {row.unit!r}; known are {', '.join(UNITS)}")
        elif row.unit == "count" and not (row.value == int(row.value) and not row.value > row.n):
            yield _found("range", row, f"{row.value:g} of {row.n:g} is no count")
        elif not low <= row.value <= high:
            yield _found("range", row, f"{row.value:g} is no {row.unit} ({low:g} to {high:g})")
        if row.std < 0:
            yield _found("range", row, f"a standard deviation of {row.std:g}")


def _repetitions(rows: Sequence[Row]) -> Iterator[Finding]:
    """One cell is entered once; two cells of one source that mean the same hold the same number."""
    cells: set[tuple[str, str, str]] = set()
    numbers: dict[tuple[str, str], Row] = {}
    for row in rows:
        if (cell := (_name(row), row.citation, row.locator)) in cells:
            yield _found("repetition", row, f"{row.locator} is entered twice")
        cells.add(cell)
        first = numbers.setdefault((_name(row), row.citation), row)
        if first.value != row.value:
            yield _found("repetition", row, f"{row.value:g} in {row.locator}, but {first.value:g} in {first.locator}")


def _ranks(rows: Sequence[Row]) -> Iterator[Finding]:
    """MBTIBench: Rank is the mean over the eight columns of the rank among the variants of one model."""
    models: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.variant:
            models[row.model].append(row)
    for model in models.values():
        printed = [row for row in model if row.metric == "rank"]
        columns = [
            [
                row.value
                for rank in printed
                for row in model
                if (row.variant, row.part, row.metric) == (rank.variant, *column)
            ]
            for column in dict.fromkeys((row.part, row.metric) for row in model if row.metric != "rank")
        ]
        for row, rank in zip(printed, mean_rank(columns, higher_is_better=False), strict=True):
            if abs(rank - row.value) > 0.0051:
                yield _found("rank", row, f"printed {row.value:.2f}, the cells give {rank:.3f}")


def _averages(rows: Sequence[Row]) -> Iterator[Finding]:
    """MMMLU: Average is the mean over the languages, up to the rounding of both."""
    for row in rows:
        if row.level == "group":
            mean = fmean(other.value for other in rows if other.model == row.model and other.level == "task")
            if abs(mean - row.value) > 0.0006:
                yield _found("average", row, f"printed {row.value:.3f}, the languages give {mean:.4f}")


def _harmonic_means(rows: Sequence[Row]) -> Iterator[Finding]:
    """TOFU: model utility is the harmonic mean of nine parts in [0, 1], six of which are printed."""
    lines: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.task == "tofu_utility":
            lines[row.model, row.method, row.part, row.setting, row.locator][row.metric] = row
    names = [f"{subset}_{metric}" for subset in ("retain", "ra", "wf") for metric in ("prob", "rougeL_recall")]
    for line in lines.values():
        if "model_utility" in line and all(name in line for name in names):
            # Printed with four decimals, cut or rounded; the three parts that are not printed are 1 at most.
            largest = 9 / (3 + sum(1 / (line[name].value + 1e-4) for name in names))
            if line["model_utility"].value > largest + 1e-4:
                problem = f"{line['model_utility'].value:g} is more than its printed parts allow ({largest:.4f})"
                yield _found("harmonic mean", line["model_utility"], problem)


def _score_matrices(rows: Sequence[Row]) -> Iterator[Finding]:
    """Continual runs: AP, F.Ra and BWT follow from the scores after each stage."""
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        tasks = list(dict.fromkeys(row.part for row in own if row.level == "task"))
        scores = {(row.setting, row.part): row.value for row in own if row.level == "task"}
        stages = list(dict.fromkeys(setting for setting, _ in scores))
        last = [scores[stages[-1], task] for task in tasks]
        first = [scores[stage, task] for stage, task in zip(stages, tasks, strict=True)]
        best = [
            max(scores[stage, task] for stage in stages[at:-1]) - scores[stages[-1], task]
            for at, task in enumerate(tasks[:-1])
        ]
        gains = fmean(late - early for late, early in zip(last, first, strict=True))
        expected = {"AP": fmean(last), "F.Ra": fmean(best), "BWT": gains}
        for row in own:
            if row.level == "group" and abs(row.value - expected[row.metric]) > 1e-4:
                yield _found("score matrix", row, f"{row.value:g}, the stages give {expected[row.metric]:.4f}")


def _emotional_quotients(rows: Sequence[Row]) -> Iterator[Finding]:
    """SECEU: EQ = 15 (2.79 - SECEU) / 0.822 + 100, from the human norm's mean and standard deviation."""
    printed = {row.model: row.value for row in rows if row.metric == "seceu"}
    for row in rows:
        if row.metric == "eq":
            formula = 15 * (2.79 - printed[row.model]) / 0.822 + 100
            # Both are rounded: EQ to a point, SECEU to a hundredth.
            if abs(formula - row.value) > 0.5 + 0.005 * 15 / 0.822:
                yield _found("formula", row, f"printed {row.value:g}, the printed SECEU gives {formula:.2f}")


_DERIVED: dict[str, Callable[[Sequence[Row]], Iterable[Finding]]] = {
    "mbtibench": _ranks,
    "mmmlu": _averages,
    "tofu": _harmonic_means,
    "continual": _score_matrices,
    "seceu": _emotional_quotients,
}
