"""The EiBench-R tables: aspect and task macro of a model, then every leaf with its share of unparsable answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness_ext.leaderboards.table import (
    NOTHING,
    Cell,
    Column,
    Entry,
    Kind,
    Table,
    kinds,
    lines,
    number,
    percent,
    title,
    unique,
)  # fmt: skip
from harness_ext.results.derived import EI_ASPECTS, definition, ei_scores
from harness_ext.results.frame import Row

_ABOUT = (
    "EiBench-R is a labelled reconstruction from public sources; it is not the EiBench of arXiv:2402.10073, whose data "
    "and tables are not public."
)
_FAILURES = ("invalid", "parse_failure")
_LEAVES = sum(map(len, EI_ASPECTS.values()))


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """Summary and leaf table of EiBench-R, benchmark scores apart from sample data."""
    tables = []
    for kind, part in kinds([row for row in rows if row.level == "task" and row.origin == "measured"]):
        if any(row.metric == "ei_score" for row in part):
            tables += [_summary(part, kind, partial), _leaves(part, kind)]
    return tables


def _summary(rows: Sequence[Row], kind: Kind, partial: bool) -> Table:
    cells, notes = [], [definition(ei_scores), _ABOUT]
    for entry, numbers in lines(row for row in rows if row.metric == "ei_score").items():
        scores = ei_scores({row.part: row.value for row in numbers}, partial=partial)
        present = _LEAVES - len(scores.missing)
        cells.append(
            (
                Cell(entry.name),
                Cell(entry.words(numbers)),
                *(number(score) for score in (scores.ep, scores.ec, scores.ee, scores.aspect_macro, scores.task_macro)),
                Cell(f"{present} of {_LEAVES}", present),
            )
        )
        if scores.missing:
            done = "the others are averaged" if partial else "nothing is averaged over the rest (--partial does)"
            notes.append(f"{entry.label}: {len(scores.missing)} leaves missing, {done}: {', '.join(scores.missing)}.")
    names = ("ei_ep", "ei_ec", "ei_ee", "ei_aspect_macro", "ei_task_macro", "Leaves")
    columns = (Column("Model", numeric=False), Column("Setting", numeric=False), *map(Column, names))
    return Table(title("EiBench-R: aspects", kind), columns, tuple(cells), unique(notes), kind).compact()


def _leaves(rows: Sequence[Row], kind: Kind) -> Table:
    entries = list(lines(rows))
    found = {(Entry.of(row), row.part, row.metric): row for row in rows}
    cells = []
    for aspect, parts in EI_ASPECTS.items():
        for part in parts:
            scores = [found.get((entry, part, "ei_score")) for entry in entries]
            if any(scores):
                values = {row.value for row in scores if row is not None and not row.n < row.n_total}
                best = max(values) if kind == "benchmark" and len(values) > 1 else math.nan
                line = [Cell(aspect.upper()), Cell(part)]
                for entry, score in zip(entries, scores, strict=True):
                    line += _leaf(score, [found.get((entry, part, metric)) for metric in _FAILURES], best)
                cells.append(tuple(line))
    columns = [Column("Aspect", numeric=False), Column("Leaf", numeric=False)]
    for entry in entries:
        columns += [Column(entry.label), Column("unparsable")]
    return Table(title("EiBench-R: ei_score by leaf", kind), tuple(columns), tuple(cells), unique(_notes(rows)), kind)


def _leaf(score: Row | None, failures: Sequence[Row | None], best: float) -> list[Cell]:
    if score is None:
        return [NOTHING, NOTHING]
    whole = not score.n < score.n_total
    failed = next((row.value for row in failures if row is not None), math.nan)
    return [number(score.value, best=whole and score.value == best), percent(failed)]


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    yield "ei_score: the leaf's main metric, 0 to 100, higher is better; unparsable answers count as wrong."
    yield _ABOUT
    for row in rows:
        if row.metric == "ei_score" and row.n < row.n_total:
            yield f"{row.part}: {row.n:.0f} of {row.n_total:.0f} docs."
