"""What EiBench-R computes of several leaves: the means of its aspects, and EmoBench's question asked as two tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness_ext.leaderboards.table import lines
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.reading.samples import Scores
from harness_ext.results.statistics.bootstrap import Drawn, Units, weighted
from harness_ext.results.statistics.intervals import draw, of_row
from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.tasks.eibench.aspects import EI_ASPECTS


class Joint(NamedTuple):
    """A leaf that is right where both of its halves are right."""

    task: str
    part: str
    metric: str
    halves: tuple[str, str]


JOINTS = (
    Joint(
        "eibench_emobench_eu_ll",
        "emobench_eu",
        "ei_score",
        ("eibench_emobench_eu_emotion_ll", "eibench_emobench_eu_cause_ll"),
    ),
)


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """The joint leaf of EiBench-R, and the means of all aspects where all leaves are there."""
    joint = with_joints(JOINTS, rows, runs)
    means = list(_means(rows, runs))
    drawn: dict[tuple[str, ...], Drawn] = {
        (row.run, row.task, row.metric, row.filter, row.part): one for row, one in means
    }
    return Derived([*joint.rows, *(row for row, _ in means)], joint.notes, drawn)


def _means(rows: Sequence[Row], runs: Runs) -> Iterator[tuple[Row, Drawn]]:
    """The means of all leaves; where some are missing, those of the leaves that ran (``_partial``, ``leaf_mean``)."""
    parts = [part for own in EI_ASPECTS.values() for part in own]
    for leaves in lines(row for row in rows if row.metric == "ei_score" and row.level == "task").values():
        own = {row.part: row for row in leaves}
        drawn = {part: of_row(own[part], runs) for part in parts if part in own}
        known = {part: one for part, one in drawn.items() if one is not None}
        if not known or len(known) < len(drawn):
            continue
        means = {
            aspect: _mean([known[part] for part in members])
            for aspect, members in EI_ASPECTS.items()
            if known.keys() >= set(members)
        }
        if len(known) < len(parts):
            means["leaf_mean"] = _mean(list(known.values()))
            present = {
                aspect: _mean([known[part] for part in members if part in known])
                for aspect, members in EI_ASPECTS.items()
                if known.keys() & set(members)
            }
            means |= {f"{aspect}_partial": one for aspect, one in present.items() if aspect not in means}
            means["aspect_macro_partial"] = _mean(list(present.values()))
        else:
            means["aspect_macro"] = _mean([means[aspect] for aspect in EI_ASPECTS])
            means["task_macro"] = _mean(list(known.values()))
        about: dict[str, object] = {"task": "eibench", "part": "", "level": "group", "task_hash": "", "identity": ""}
        about |= dict.fromkeys(("stderr", "chance"), math.nan)
        about |= {name: math.fsum(getattr(row, name) for row in leaves) for name in ("n", "n_total")}
        for name, one in means.items():
            found = one.interval
            more = {"metric": f"ei_{name}", "value": found.value, "low": found.low, "high": found.high}
            if name == "leaf_mean" or name.endswith("_partial"):
                more["part"] = ", ".join(known)  # means over other leaves do not compare
            yield leaves[0].model_copy(update=about | more), one


def _mean(parts: Sequence[Drawn]) -> Drawn:
    return weighted(parts, [1 / len(parts)] * len(parts))


def with_joints(joints: Sequence[Joint], rows: Sequence[Row], runs: Runs) -> Derived:
    """A row for every joint leaf whose halves one run has, and notes on those that cannot be joined."""
    found: list[Row] = []
    notes = []
    for joint in joints:
        for run, filtered in dict.fromkeys((row.run, row.filter) for row in rows):
            about_one = [row for row in rows if (row.run, row.filter, row.metric) == (run, filtered, joint.metric)]
            own = {row.task: row for row in about_one}
            if not all(half in own for half in joint.halves):
                continue
            first, second = (runs.scores(own[half]) for half in joint.halves)
            if first is None or second is None:
                notes.append(f"{joint.task} could not be joined: {run} has no samples of both halves.")
                continue
            try:
                scores = joined(first, second, joint.metric)
            except ValueError as error:
                notes.append(f"{joint.task} could not be joined from its halves: {error}.")
                continue
            interval = draw(nanmean(list(scores.values())), Units.of(list(scores))).interval
            about: dict[str, object] = {"task": joint.task, "part": joint.part, "task_hash": ""}
            about |= {"value": interval.value, "low": interval.low, "high": interval.high}
            about |= dict.fromkeys(("stderr", "chance"), math.nan)  # those of the halves are not its own
            found.append(own[joint.halves[0]].model_copy(update=about))
    return Derived(found, notes)


def joined(first: Scores, second: Scores, metric: str) -> dict[str, float]:
    """Joint score of each doc by its id: right where both of its halves are right.

    Args:
        first: one half's docs, scores all or nothing.
        second: the other half's docs.
        metric: of both.

    Raises:
        ValueError: the halves do not hold the same docs.
    """
    if sorted(first.ids) != sorted(second.ids):
        raise ValueError("its halves were not asked about the same docs")
    other = dict(zip(second.ids, second.items[metric], strict=True))
    return {name: min(score, other[name]) for name, score in zip(first.ids, first.items[metric], strict=True)}
