"""General ability beside emotional intelligence: scores by leaf, and what a method kept of its base model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness_ext.leaderboards import generic
from harness_ext.leaderboards.table import (
    INTERVALS,
    TO_BASE,
    Cell,
    Column,
    Entry,
    Kind,
    Table,
    base_of,
    bounds,
    docs,
    kinds,
    lines,
    number,
    score,
    title,
    to_base,
    unique,
)
from harness_ext.results.derived import Retention, definition, retention
from harness_ext.results.reading.frame import Row
from harness_ext.tasks.eibench_gi.derived import MEAN, named, scores

_WORDS = "EiBench-R: general ability"
_COLUMNS = (
    *(Column(name, numeric=False) for name in ("Model", "Setting", "Base model")),
    *map(Column, ("gi_before", "gi_after", "gi_retention", "gi_delta")),
    Column("Worst leaf", numeric=False),
    Column("Leaves"),
    Column("n", optional=True),
)


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """Retention of every run whose base model is known and was run on the same leaves, then all leaves."""
    tables = []
    for kind, part in kinds(rows):
        tables += _retention([row for row in part if row.level == "task" or row.metric == MEAN], kind, partial)
        tables.append(generic.table([row for row in part if row.metric != MEAN], _WORDS, kind))
    return tables


def _retention(rows: Sequence[Row], kind: Kind, partial: bool) -> list[Table]:
    entries = lines(row for row in rows if row.level == "task" and row.origin == "measured")
    means = {(Entry.of(row), row.part): row for row in rows if row.metric == MEAN}
    cells, notes = [], [definition(retention)]
    for entry, numbers in entries.items():
        same = entry._replace(model="", method="", base="")
        before = scores(
            next(
                (
                    own
                    for other, own in entries.items()
                    if entry.base == other.label
                    or (other.called(entry.base) and other._replace(model="", method="", base="") == same)
                ),
                [],
            )
        )
        after = scores(numbers)
        shared = [part for part in after if part in before and before[part].n == after[part].n]
        if not entry.base or not shared:
            continue
        notes += _differences(entry, before, after, shared, partial)
        complete = len(shared) == len(before.keys() | after.keys())
        if complete or partial:
            mean = means.get((entry, named(shared)))
            cells.append(_line(entry, numbers, before, after, shared, mean, base_of(mean, rows) if mean else None))
    if any(cell.low < cell.high for line in cells for cell in line):
        notes.append(f"{INTERVALS} gi_retention has none of its own: judge it by gi_delta.")
        notes.append(TO_BASE)
    if not cells and len(notes) == 1:
        return []
    return [Table(title(f"{_WORDS} kept", kind), _COLUMNS, tuple(cells), unique(notes), kind).compact()]


def _differences(
    entry: Entry, before: dict[str, Row], after: dict[str, Row], shared: list[str], partial: bool
) -> Iterator[str]:
    bases = sorted({f"{row.run} (sha256 {row.run_hash})" for part, row in before.items() if part in shared})
    yield f"{entry.label} is compared with {', '.join(bases)}."
    if missing := [part for part in (before | after) if part not in shared]:
        done = "left out" if partial else "so there is no mean over the rest (--partial gives it)"
        yield f"{entry.label}: not on the same docs before and after, {done}: {', '.join(missing)}."


def _line(
    entry: Entry,
    numbers: Sequence[Row],
    before: dict[str, Row],
    after: dict[str, Row],
    shared: list[str],
    mean: Row | None,
    base: Row | None,
) -> tuple[Cell, ...]:
    kept = retention(
        {part: before[part].value for part in shared},
        {part: after[part].value for part in shared},
    )
    return (
        Cell(entry.name),
        Cell(entry.words(numbers)),
        Cell(entry.base),
        score(base) if base else number(kept.before),
        score(mean) if mean else number(kept.after),
        number(kept.ratio, 3),
        to_base(mean, [base]) if mean and base else Cell(f"{kept.delta:+.2f}", kept.delta),
        _worst(kept, after[kept.worst]),
        Cell(str(len(shared)), len(shared)),
        docs(after[part] for part in shared),
    )


def _worst(kept: Retention, leaf: Row) -> Cell:
    """The leaf that lost most, by how much and in which interval."""
    ends = leaf.model_copy(update={"low": leaf.delta_low, "high": leaf.delta_high})
    text = f"{kept.worst} ({kept.worst_delta:+.2f}{bounds(ends, sign='+')})"
    return Cell(text, kept.worst_delta, low=leaf.delta_low, high=leaf.delta_high)
