"""The table of any other benchmark: one line a task and model, one column a metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness_ext.leaderboards.table import NOTHING, SOURCES, Cell, Column, Kind, Table, kinds, lines, title, unique
from harness_ext.results.frame import Row

_ARROWS = {True: " ↑", False: " ↓", None: ""}


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """The tables of a benchmark without a layout of its own."""
    del partial  # lm-eval's group means are shown as they were computed
    return [table(part, rows[0].bench, kind) for kind, part in kinds(rows)]


def table(rows: Sequence[Row], words: str, kind: Kind) -> Table:
    """One table with all numbers of the rows, under a title of these words."""
    directions: dict[str, bool | None] = {}
    for row in rows:
        directions[row.metric] = directions.get(row.metric) if row.higher_is_better is None else row.higher_is_better
    best = _best(rows, directions) if kind == "benchmark" else {}
    cells = []
    for task in dict.fromkeys(row.task for row in rows):
        for entry, numbers in lines(row for row in rows if row.task == task).items():
            values = {row.metric: row for row in numbers}
            cells.append(
                (
                    Cell(task),
                    Cell(entry.name),
                    Cell(SOURCES[entry.origin]),
                    Cell(entry.words(numbers)),
                    *(_cell(values.get(metric), best) for metric in directions),
                )
            )
    columns = (
        *(Column(name, numeric=False) for name in ("Task", "Model", "Source", "Setting")),
        *(Column(metric + _ARROWS[direction]) for metric, direction in directions.items()),
    )
    return Table(title(words, kind), columns, tuple(cells), unique(_notes(rows)), kind).compact()


def _cell(row: Row | None, best: dict[tuple[str, str], float]) -> Cell:
    if row is None:
        return NOTHING
    if math.isnan(row.value):
        return Cell("undefined")
    text = f"{row.value:.4f}" + (f" ± {row.stderr:.4f}" if math.isfinite(row.stderr) else "")
    return Cell(text, row.value, best=_eligible(row) and row.value == best.get((row.task, row.metric)))


def _eligible(row: Row) -> bool:
    return row.origin == "measured" and not row.n < row.n_total and not math.isnan(row.value)


def _best(rows: Sequence[Row], directions: dict[str, bool | None]) -> dict[tuple[str, str], float]:
    """The best whole measured run of each task and metric, where runs differ."""
    values: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        if _eligible(row) and directions[row.metric] is not None:
            values.setdefault((row.task, row.metric), set()).add(row.value)
    return {key: max(found) if directions[key[1]] else min(found) for key, found in values.items() if len(found) > 1}


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    yield "±: standard error over docs as lm-eval reports it, where it does. ↑ higher, ↓ lower is better."
    if any(row.level == "group" for row in rows):
        yield "Group rows are lm-eval's own means over the leaves that ran."
