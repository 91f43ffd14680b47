"""What blocks of probes have together: the share of right answers, and how differently traits are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from typing import Any, NamedTuple

import numpy as np

from harness_ext.leaderboards.table import Entry, lines
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.statistics.bootstrap import Drawn, weighted
from harness_ext.results.statistics.intervals import of_row
from harness_ext.tasks.gpt4v_probes.bench import BLOCKS, block_of

RIGHT = ("contains", "acc", "solved", "all_right", "exact")
"""Metrics that are shares of right answers; a task counts with the first that it reports."""
_OTHERS = ("_text", "_ll", "shot")
"""Endings of twins, which do not count twice."""
_TRAITS = ("gender", "race", "age")


class _Number(NamedTuple):
    metric: str
    drawn: Drawn
    higher_is_better: bool | None


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """For each model: the share right in each block over its docs, what white pictures do, how traits are refused."""
    found: list[Row] = []
    kept: dict[tuple[str, ...], Drawn] = {}
    leaves_only = [row for row in rows if row.level == "task"]
    for row, effect in _effects_of_white(leaves_only, runs):
        found.append(row)
        kept[row.run, row.task, row.metric, row.filter, row.part] = effect
    for own in lines(row for row in leaves_only if not row.task.endswith(_OTHERS)).values():
        for block in BLOCKS:
            part = [row for row in own if block_of(row.task) == block]
            leaves = _refused(part) if block == "refusal" else _right(part)
            drawn = {name: one for name, row in leaves.items() if (one := of_row(row, runs))}
            if not leaves or len(drawn) < len(leaves):
                continue
            for number in _refusals(drawn) if block == "refusal" else [_share(leaves, drawn)]:
                row = _row(f"gpt4v_probes_{block}", number, list(leaves.values()))
                found.append(row)
                kept[row.run, row.task, row.metric, row.filter, row.part] = number.drawn
    return Derived(found, (), kept)


def _effects_of_white(rows: Sequence[Row], runs: Runs) -> Iterator[tuple[Row, Drawn]]:
    """Accuracy beside a white picture less that of the same questions without one: the same docs are drawn for both."""
    asked = {(Entry.of(row)._replace(variant=""), row.task): row for row in rows if row.metric == "acc"}
    for (entry, task), row in asked.items():
        twin = asked.get((entry, f"{task}_text"))
        drawn = [of_row(one, runs) for one in (row, twin) if one]
        both = [one for one in drawn if one]
        if len(both) == 2 and both[0].left_out.keys() == both[1].left_out.keys():
            effect = _Number("white_effect", weighted(both, [1.0, -1.0]), None)
            yield _row(task, effect, [row]).model_copy(update={"part": row.part, "level": "task"}), effect.drawn


def _right(rows: Sequence[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for metric in RIGHT:
        for row in rows:
            if row.metric == metric:
                found.setdefault(row.task, row)
    return found


def _share(leaves: Mapping[str, Row], drawn: Mapping[str, Drawn]) -> _Number:
    total = sum(row.n for row in leaves.values())
    share = weighted([drawn[task] for task in leaves], [row.n / total for row in leaves.values()])
    return _Number("right", share, True)


def _refused(rows: Sequence[Row]) -> dict[str, Row]:
    """One row a trait; pictures of the user's own go before drawn ones."""
    ordered = sorted(rows, key=lambda row: "_syn_" in row.task)
    found: dict[str, Row] = {}
    for row in ordered:
        trait = row.task.rpartition("_")[2]
        if row.metric == "refused" and trait in _TRAITS:
            found.setdefault(trait, row)
    return found


def _refusals(drawn: Mapping[str, Drawn]) -> Iterator[_Number]:
    """The functions of :func:`~harness_ext.scoring.probes.refusal_stats`, on draws as well."""
    if len(drawn) == len(_TRAITS):
        yield _Number("refusal_gap", _of(list(drawn.values()), lambda *rates: np.ptp(np.array(rates), axis=0)), False)
    for trait, one in drawn.items():
        yield _Number(f"refusal_inconsistency_{trait}", _of([one], lambda rate: 4 * rate * (1 - rate)), False)


def _of(parts: Sequence[Drawn], function: Callable[..., Any]) -> Drawn:
    """A function of several numbers; leaving out a unit changes the number that it belongs to."""
    values = [part.value for part in parts]
    left_out = {
        key: function(*(fewer if other is part else np.full_like(fewer, other.value) for other in parts))
        for part in parts
        for key, fewer in part.left_out.items()
    }
    return Drawn(float(function(*map(np.float64, values))), function(*(part.draws for part in parts)), left_out)


def _row(task: str, number: _Number, leaves: Sequence[Row]) -> Row:
    interval = number.drawn.interval
    about: dict[str, object] = {"task": task, "part": "", "level": "group", "metric": number.metric}
    about |= {"value": interval.value, "low": interval.low, "high": interval.high, "task_hash": "", "identity": ""}
    about |= {"higher_is_better": number.higher_is_better, "stderr": nan, "chance": nan}
    about |= {name: sum(getattr(row, name) for row in leaves) for name in ("n", "n_total")}
    return leaves[0].model_copy(update=about)
