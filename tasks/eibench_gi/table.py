"""General ability beside emotional intelligence: scores by leaf, and what a method kept of its base model's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness_ext.leaderboards import generic
from harness_ext.leaderboards.table import Cell, Column, Entry, Kind, Table, kinds, lines, number, title, unique
from harness_ext.results.derived import definition, retention
from harness_ext.results.reading.frame import Row

_WORDS = "EiBench-R: general ability"
_METRICS = ("gi_score", "acc")
"""What a leaf is judged by: our proxies' score, else lm-eval's accuracy."""
_AFFECT = ("sst2", "emotion875")
"""Leaves about affect: shown, but no part of general ability."""
_COLUMNS = (
    *(Column(name, numeric=False) for name in ("Model", "Setting", "Base model")),
    *map(Column, ("gi_before", "gi_after", "gi_retention", "gi_delta")),
    Column("Worst leaf", numeric=False),
    Column("Leaves"),
)


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """Retention of every run whose base model is known and was run on the same leaves, then all leaves."""
    tables = []
    for kind, part in kinds(rows):
        tables += _retention([row for row in part if row.level == "task"], kind, partial)
        tables.append(generic.table(part, _WORDS, kind))
    return tables


def _scores(rows: Sequence[Row]) -> dict[str, Row]:
    """The row that each leaf is judged by."""
    by_metric = {metric: {row.part: row for row in rows if row.metric == metric} for metric in reversed(_METRICS)}
    found = {part: row for metric in by_metric.values() for part, row in metric.items()}
    return {part: row for part, row in found.items() if part not in _AFFECT and not math.isnan(row.value)}


def _retention(rows: Sequence[Row], kind: Kind, partial: bool) -> list[Table]:
    entries = lines(row for row in rows if row.origin == "measured")
    cells, notes = [], [definition(retention)]
    for entry, numbers in entries.items():
        same = entry._replace(model="", method="", base="")
        before = _scores(
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
        after = _scores(numbers)
        shared = [part for part in after if part in before and before[part].n == after[part].n]
        if not entry.base or not shared:
            continue
        notes += _differences(entry, before, after, shared, partial)
        complete = len(shared) == len(before.keys() | after.keys())
        if complete or partial:
            cells.append(_line(entry, numbers, before, after, shared))
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
    entry: Entry, numbers: Sequence[Row], before: dict[str, Row], after: dict[str, Row], shared: list[str]
) -> tuple[Cell, ...]:
    kept = retention(
        {part: before[part].value for part in shared},
        {part: after[part].value for part in shared},
    )
    return (
        Cell(entry.name),
        Cell(entry.words(numbers)),
        Cell(entry.base),
        number(kept.before),
        number(kept.after),
        number(kept.ratio, 3),
        Cell(f"{kept.delta:+.2f}", kept.delta),
        Cell(f"{kept.worst} ({kept.worst_delta:+.2f})", kept.worst_delta),
        Cell(str(len(shared)), len(shared)),
    )
