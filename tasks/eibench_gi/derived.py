"""The mean over the leaves of general ability, with its interval and what its difference to a base is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from harness_ext.leaderboards.table import Entry, lines
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.statistics.bootstrap import Drawn, weighted
from harness_ext.results.statistics.intervals import of_row

MEAN = "gi_mean"
_METRICS = ("gi_score", "acc")
"""What a leaf is judged by: our proxies' score, else lm-eval's accuracy."""
_AFFECT = ("sst2", "emotion875")
"""Leaves about affect: shown, but no part of general ability."""


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """The means over the leaves that one model was asked in one way, and over those that another was asked, too.

    Their ``part`` names the leaves.
    """
    found: list[Row] = []
    drawn: dict[tuple[str, ...], Drawn] = {}
    asked = _asked(runs.frame)
    for own in lines(row for row in rows if row.level == "task").values():
        leaves = scores(own)
        known = {part: one for part, row in leaves.items() if (one := of_row(row, runs))}
        if not known or len(known) < len(leaves):
            continue
        sizes = {(part, row.n) for part, row in leaves.items()}
        for shared in dict.fromkeys(
            [frozenset(leaves), *(frozenset(part for part, _ in sizes & own) for own in asked)]
        ):
            if not shared:
                continue
            parts = [part for part in leaves if part in shared]
            mean = weighted([known[part] for part in parts], [1 / len(parts)] * len(parts))
            interval = mean.interval
            about: dict[str, object] = {"task": "eibench_gi", "part": named(parts), "level": "group", "metric": MEAN}
            about |= {"value": interval.value, "low": interval.low, "high": interval.high}
            about |= {"task_hash": "", "identity": "", "stderr": math.nan, "chance": math.nan}
            about |= {name: math.fsum(getattr(leaves[part], name) for part in parts) for name in ("n", "n_total")}
            row = next(iter(leaves.values())).model_copy(update=about)
            found.append(row)
            drawn[row.run, row.task, row.metric, row.filter, row.part] = mean
    return Derived(found, (), drawn)


def _asked(frame: pd.DataFrame) -> set[frozenset[tuple[str, float]]]:
    """The leaves that any model was asked in one way, each with its number of docs."""
    ours = frame[(frame.bench == "eibench_gi") & (frame.level == "task") & frame.metric.isin(_METRICS)]
    ours = ours[ours.value.notna() & ~ours.part.isin(_AFFECT)]
    apart = ours.groupby([*Entry._fields[:-1], "num_fewshot"], dropna=False, sort=False)
    return {frozenset(zip(own.part, own.n, strict=True)) for _, own in apart}


def scores(rows: Sequence[Row]) -> dict[str, Row]:
    """The row that each leaf is judged by."""
    by_metric = {metric: {row.part: row for row in rows if row.metric == metric} for metric in reversed(_METRICS)}
    found = {part: row for metric in by_metric.values() for part, row in metric.items()}
    return {part: row for part, row in found.items() if part not in _AFFECT and not math.isnan(row.value)}


def named(leaves: Iterable[str]) -> str:
    """Which leaves a mean is over, so that means over other leaves are not compared with it."""
    return ", ".join(sorted(leaves))
