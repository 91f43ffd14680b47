"""The tables of ``harness-ext judge-agreement``: one line for all rows and one for each part of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness_ext.leaderboards.table import NOTHING, Cell, Column, Table
from harness_ext.results.judging.judge_agreement import Agreements, Measured
from harness_ext.results.statistics.bootstrap import CONFIDENCE, DRAWS, SEED

_NAMES = {"accuracy": "accuracy", "kappa": "κ", "f1": "F1", "precision": "precision", "recall": "recall"}


def tables(
    found: Agreements, judge: str, positive: str, by: str | None, notes: Sequence[str], drawn: str | None = None
) -> list[Table]:
    """One table for the question, and one for all classes where there are more than two.

    Args:
        found: what was measured.
        judge: its name.
        positive: what counts as a yes.
        by: the column whose values have lines of their own.
        notes: what the reader must know besides.
        drawn: the column whose values were drawn for the intervals; ``None``: rows.
    """
    made = [_table(f"{judge}, {positive.replace('_', ' ')}", by, found.overall, found.by)]
    if found.classes:
        made.append(_table(f"{judge}, all classes", by, found.classes, found.classes_by))
    last = made[-1]
    intervals = (
        f"Intervals: {CONFIDENCE:.0%}, bootstrap over {drawn or 'rows'}, {DRAWS} draws, seed {SEED}. κ: Cohen's kappa."
    )
    undefined = "–: undefined, or undefined in many draws (κ where people and judge say the same of every row)."
    gaps = [undefined] if any(NOTHING in row for table in made for row in table.rows) else []
    made[-1] = Table(last.title, last.columns, last.rows, (intervals, *gaps, *notes))
    return made


def _table(title: str, by: str | None, overall: Measured, parts: Mapping[str, Measured]) -> Table:
    shown = [name for name in _NAMES if name in overall.scores]
    counts = {"n": "n", "n_invalid": "invalid"}
    if not any(one.scores["n_invalid"] for one in (overall, *parts.values())):
        del counts["n_invalid"]
    columns = [Column(by or "rows", numeric=False), *map(Column, counts.values())]
    for name in shown:
        optional = name not in ("accuracy", "kappa")
        columns += [Column(_NAMES[name], optional=optional), Column("interval", optional=optional)]
    lines = [("all", overall), *((value or "(empty)", measured) for value, measured in parts.items())]
    return Table(title, tuple(columns), tuple(_row(line, one, (*counts,), shown) for line, one in lines))


def _row(name: str, one: Measured, counts: Sequence[str], shown: Sequence[str]) -> tuple[Cell, ...]:
    cells = [Cell(name), *(Cell(f"{one.scores[count]:.0f}", one.scores[count]) for count in counts)]
    for score in shown:
        value, interval = one.scores[score], one.intervals.get(score)
        low, high = (interval.low, interval.high) if interval else (math.nan, math.nan)
        cells.append(NOTHING if math.isnan(value) else Cell(_number(value), value, low=low, high=high))
        cells.append(NOTHING if math.isnan(low) else Cell(f"{_number(low)}–{_number(high)}", low))
    return tuple(cells)


def _number(value: float) -> str:
    """Three decimals; a minus sign for agreement worse than chance.

    >>> _number(0.93555), _number(-0.25)
    ('0.936', '−0.250')
    """
    return f"{value:.3f}".replace("-", "−")
