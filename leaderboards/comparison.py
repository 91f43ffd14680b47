"""The tables of ``harness-ext compare``: one for each pair of runs, one line a task and metric."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from harness_ext.leaderboards.table import NOTHING, Cell, Column, Table
from harness_ext.results.statistics.bootstrap import CONFIDENCE
from harness_ext.results.statistics.paired import Comparison
from harness_ext.results.statistics.significance import ALPHA, POWER

_COLUMNS = (
    Column("task", numeric=False),
    Column("metric", numeric=False),
    Column("n"),
    Column("A"),
    Column("B"),
    Column("difference"),
    Column(f"{CONFIDENCE:.0%} interval"),
    Column("p", optional=True),
    Column("p (Holm)"),
    Column("effect", optional=True),
    Column("detectable", optional=True),
    Column("better", numeric=False),
)

_FEW = 30
"""Units below which a bootstrap has too little to draw from."""


def tables(comparisons: Sequence[Comparison], notes: Sequence[str]) -> list[Table]:
    """A table for each pair of runs; what holds for all of them stands below the last one.

    Args:
        comparisons: with Holm's correction over all of them.
        notes: what the reader must know besides.
    """
    found = [
        Table(f"A = {run_a}   B = {run_b}", _COLUMNS, tuple(_row(one) for one in group))
        for (run_a, run_b), group in itertools.groupby(comparisons, key=lambda one: (one.run_a, one.run_b))
    ]
    last = found[-1]
    found[-1] = Table(last.title, last.columns, last.rows, (*_legend(comparisons), *notes))
    return found


def _row(one: Comparison) -> tuple[Cell, ...]:
    metric = one.metric if one.filter == "none" else f"{one.metric},{one.filter}"
    arrow = {True: " ↑", False: " ↓", None: ""}[one.higher_is_better]
    side = {one.run_a: "A", one.run_b: "B", None: ""}[one.better]
    n = str(one.n) if one.n == one.units else f"{one.n} ({one.units})"
    interval = NOTHING if math.isnan(one.low) else Cell(f"{_signed(one.low)} … {_signed(one.high)}", one.low)
    return (
        Cell(one.task),
        Cell(metric + arrow),
        Cell(n, one.n),
        _value(one.value_a, one.low_a, one.high_a, best=side == "A"),
        _value(one.value_b, one.low_b, one.high_b, best=side == "B"),
        Cell(_signed(one.difference), one.difference, low=one.low, high=one.high),
        interval,
        Cell(_p(one.p), one.p),
        Cell(_p(one.p_holm), one.p_holm),
        Cell(_signed(one.effect_size), one.effect_size),
        Cell("undefined")
        if math.isnan(one.minimum_detectable_effect)
        else Cell(_number(one.minimum_detectable_effect), one.minimum_detectable_effect),
        Cell(side or "–"),
    )


def _value(value: float, low: float, high: float, *, best: bool) -> Cell:
    interval = f" [{_number(low)}, {_number(high)}]" if low < high else ""
    return Cell(f"{_number(value)}{interval}", value, best, low, high)


def _legend(comparisons: Sequence[Comparison]) -> list[str]:
    tests = sum(not math.isnan(one.p) for one in comparisons)
    lines = [
        "difference: A minus B. [low, high]: 95 % interval of one run's value, for which docs are drawn again.",
        f"better: the run that is ahead at {ALPHA:.0%} after Holm's correction for {tests} "
        f"{'test' if tests == 1 else 'tests'}; – says that neither was shown to be, not that they are equal.",
        f"detectable: the smallest true difference that one such test finds with {POWER:.0%} power; effect: difference "
        "in standard deviations of one unit.",
    ]
    if any(one.units < _FEW for one in comparisons):
        lines.append(
            f"Lines with fewer than {_FEW} units: interval, effect and detectable are rough; p does not suffer."
        )
    if any(one.n != one.units for one in comparisons):
        lines.append("n: docs, in brackets the independent units among them (dialogues, authors).")
    if any(one.higher_is_better is None for one in comparisons):
        lines.append("A metric without an arrow has no recorded direction, so no run is called better.")
    return lines


def _number(value: float) -> str:
    """Four significant digits, without an exponent for the numbers of tables.

    >>> _number(76.71234), _number(0.00517), _number(float("nan"))
    ('76.71', '0.00517', '–')
    """
    if math.isnan(value):
        return NOTHING.text
    digits = 2 if abs(value) >= 10 else 4
    return f"{value:.{digits}f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"


def _signed(value: float) -> str:
    """A number with its sign, minus as a minus sign.

    >>> _signed(0.25), _signed(-12.0), _signed(0.0)
    ('+0.2500', '−12.00', '0.0000')
    """
    text = _number(abs(value))
    return text if math.isnan(value) or value == 0 else f"{'+' if value > 0 else '−'}{text}"


def _p(value: float) -> str:
    """A p-value as papers print it.

    >>> _p(0.04321), _p(0.00002), _p(1.0)
    ('0.0432', '<0.0001', '1.0000')
    """
    if math.isnan(value):
        return NOTHING.text
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"
