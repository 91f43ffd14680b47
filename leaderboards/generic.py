"""The table of any other benchmark: one line a task and model, one column a metric, differences to what is trivial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness_ext.leaderboards import judged
from harness_ext.leaderboards.table import (
    INTERVALS,
    NOTHING,
    SOURCES,
    TO_BASE,
    Cell,
    Column,
    Entry,
    Kind,
    Table,
    bounds,
    docs,
    kinds,
    lines,
    number,
    title,
    to_base,
    unique,
)
from harness_ext.results.derived import definition, delta_to_trivial
from harness_ext.results.reading.frame import Row

FAILURES = ("invalid", "parse_failure")
"""Metrics that say which share of the answers could not be read."""

_ARROWS = {True: " ↑", False: " ↓", None: ""}


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """The tables of a benchmark without a layout of its own."""
    del partial  # lm-eval's group means are shown as they were computed
    return [table(part, rows[0].bench, kind) for kind, part in kinds(rows)]


def table(rows: Sequence[Row], words: str, kind: Kind) -> Table:
    """One table with all numbers of the rows, under a title of these words."""
    directions: dict[str, bool | None] = {}
    for row in sorted(rows, key=lambda row: list(SOURCES).index(row.origin)):
        directions[row.metric] = directions.get(row.metric) if row.higher_is_better is None else row.higher_is_better
    metrics = _ordered(rows, directions)
    best = _best(rows, directions) if kind == "benchmark" else {}
    cells = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        for entry, part in sorted(_lines(own), key=lambda line: list(SOURCES).index(line[0].origin)):
            values: dict[str, list[Row]] = {}
            for row in part:
                values.setdefault(row.metric, []).append(row)
            cells.append(
                (
                    Cell(task),
                    Cell(part[0].part if part[0].part != task else ""),
                    Cell(entry.name),
                    Cell(SOURCES[entry.origin]),
                    Cell(entry.words(part)),
                    docs(part) if entry.measured else NOTHING,
                    *(_cell(values.get(metric, []), best) for metric in metrics),
                    to_base(part[0], own, 4),
                    _to_trivial(part[0], own),
                    number(_trivial(part[0], own), 4) if entry.measured and kind == "benchmark" else NOTHING,
                )
            )
    columns = (
        *(Column(name, numeric=False) for name in ("Task", "Part", "Model", "Source", "Setting")),
        Column("n", optional=True),
        *(Column(metric + _ARROWS[directions[metric]], optional=optional) for metric, optional in metrics.items()),
        Column("Δ base"),
        Column("Δ trivial"),
        Column("Chance", optional=True),
    )
    return Table(title(words, kind), columns, tuple(cells), unique(_notes(rows, cells)), kind).compact()


def _ordered(rows: Sequence[Row], known: Iterable[str]) -> dict[str, bool]:
    """The metrics in the order of their columns, and whether a narrow terminal may hide each.

    First what tasks are judged by (the first metric of each), then the share of answers that could not be read.
    """
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.task, row.metric)
    kept = dict.fromkeys([*first.values(), *(metric for metric in FAILURES if metric in known)], False)
    return kept | {metric: True for metric in known if metric not in kept}


def _lines(rows: Sequence[Row]) -> list[tuple[Entry, list[Row]]]:
    """The lines of one task; published numbers of several parts are a line a part."""
    return [
        (entry, [row for row in part if row.part == name])
        for entry, part in lines(rows).items()
        for name in dict.fromkeys(row.part for row in part)
    ]


def _cell(numbers: Sequence[Row], best: dict[tuple[str, str], float]) -> Cell:
    """The cell of a number; two tables of a source that disagree are both shown."""
    cells = {cell.text: cell for cell in (_one(row, best) for row in numbers)}
    return replace(next(iter(cells.values())), text=" or ".join(cells)) if cells else NOTHING


def _one(row: Row, best: dict[tuple[str, str], float]) -> Cell:
    if math.isnan(row.value):
        return Cell("undefined")
    # Sources print percent where lm-eval prints fractions: a column is never read with two units.
    if row.unit == "count":
        return Cell(f"{row.value:.0f} of {row.n:.0f}" if row.n == row.n else f"{row.value:.0f}", row.value / row.n)
    best_of_column = _eligible(row) and row.value == best.get((row.task, row.metric))
    if row.unit == "percent":
        text = f"{row.value:{'.2f' if row.origin == 'measured' else 'g'}} %{bounds(row)}"
        return Cell(text, row.value / 100, best_of_column, row.low / 100, row.high / 100)
    if row.unit == "x100":
        return Cell(f"{row.value / 100:.4f}", row.value / 100)
    if row.origin == "measured" and math.isfinite(row.std):
        return Cell(f"{row.value:.4f} (sd {row.std:.4f})", row.value, best_of_column)
    doubt = bounds(row) or (f" ± {row.stderr:.4f}" if math.isfinite(row.stderr) else "")
    return Cell(f"{row.value:.4f}{doubt}", row.value, best_of_column, row.low, row.high)


def _trivial(mine: Row, rows: Sequence[Row]) -> float:
    """The same number of the task's trivial predictor: a row of the baselines, else what the task itself states."""
    known = (row.value for row in rows if row.origin == "baseline" and row.metric == mine.metric)
    return next(known, mine.chance)


def _to_trivial(mine: Row, rows: Sequence[Row]) -> Cell:
    """How far a line's first metric is from the trivial predictor's; nothing for lines not measured on all docs."""
    trivial = _trivial(mine, rows)
    if math.isnan(trivial) or not _eligible(mine) or mine.data == "sample":
        return NOTHING
    delta = delta_to_trivial(mine.value, trivial)
    return Cell(f"{delta:+.4f}", delta)


def _eligible(row: Row) -> bool:
    return row.origin == "measured" and not row.n < row.n_total and not math.isnan(row.value)


def _best(rows: Sequence[Row], directions: dict[str, bool | None]) -> dict[tuple[str, str], float]:
    """The best whole measured run of each task and metric, where runs differ."""
    values: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        if _eligible(row) and directions[row.metric] is not None:
            values.setdefault((row.task, row.metric), set()).add(row.value)
    return {key: max(found) if directions[key[1]] else min(found) for key, found in values.items() if len(found) > 1}


def _notes(rows: Sequence[Row], cells: Sequence[tuple[Cell, ...]]) -> Iterator[str]:
    if any(row.low < row.high for row in rows):
        yield INTERVALS
    if any(row.origin == "measured" and math.isfinite(row.std) for row in rows):
        yield "sd: standard deviation over seeds."
    yield "±: standard error over docs as lm-eval reports it, where it does. ↑ higher, ↓ lower is better."
    if any(row.level == "group" for row in rows):
        yield "Group rows are lm-eval's own means over the leaves that ran."
    for at, words in ((-3, TO_BASE), (-2, definition(delta_to_trivial))):
        if any(line[at] is not NOTHING for line in cells):
            yield f"{words} Shown for a task's first metric."
    yield from judged.notes(rows)
    remarks: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.origin == "published" and row.note:
            remarks.setdefault(row.note, {})[f"{Entry.of(row).name} ({row.task})"] = None
    for remark, concerned in remarks.items():
        yield f"{', '.join(concerned)}: {remark}."
