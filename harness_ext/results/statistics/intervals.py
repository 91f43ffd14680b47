"""Bootstrap intervals of every number of a run, tasks and groups, from its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness_ext.results.reading.samples import Run, Scores, TaskRun
from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import DRAWS, SEED, Interval, interval, weighted_mean
from harness_ext.scoring.resampled import NotResampledError, Resampled, by_cluster

Measure = tuple[str, str]
"""A metric and its filter."""


class RunIntervals(NamedTuple):
    """Intervals by (task or group, metric, filter), and why some numbers have none."""

    intervals: dict[tuple[str, str, str], Interval]
    notes: list[str]


def run_intervals(run: Run, *, draws: int = DRAWS, seed: int = SEED) -> RunIntervals:
    """An interval for every reported number that has one.

    Documents are resampled, or whole clusters of them (dialogues) where docs name their cluster. For a group, the tasks
    are resampled independently of one another; tasks about the same documents (four questions about one author)
    together.

    Raises:
        DataError: a samples file is broken. A missing one is a note.
    """
    found: dict[tuple[str, str, str], Interval] = {}
    notes: list[str] = []
    scores: dict[str, Mapping[str, Scores]] = {}
    for name, task in run.tasks.items():
        if task.samples is None:
            notes.append(f"{name}: no intervals without a samples file (lm-eval --log_samples).")
            continue
        scores[name] = task.scores()
        for measure in task.rows:
            try:
                found[(name, *measure)] = task_interval(task, scores[name], measure, draws=draws, seed=seed)
            except NotResampledError as error:
                notes.append(f"{name}, {measure[0]}: no interval. {error}.")
    for name, group in run.groups.items():
        for measure in group.rows:
            if any((leaf, *measure) not in found for leaf in group.leaves):
                notes.append(f"{name}, {measure[0]}: no interval, because some of its tasks have none.")
            elif ways := group.weightings(measure, run.tasks):
                own = {leaf: scores[leaf] for leaf in group.leaves}
                found[(name, *measure)] = _of_group(run, own, measure, ways[0], draws, seed)
            else:
                notes.append(f"{name}, {measure[0]}: no interval, because it is not the mean of its tasks.")
    return RunIntervals(found, notes)


def task_interval(
    task: TaskRun, scores: Mapping[str, Scores], measure: Measure, *, draws: int = DRAWS, seed: int = SEED
) -> Interval:
    """The interval of one reported number of a task; documents or their clusters are resampled.

    Raises:
        NotResampledError: the metric cannot be resampled, or the samples do not give the reported value.
    """
    statistic, units = _measured(task, scores, measure)
    whole = len(set(units)) == len(units)
    return interval(statistic if whole else by_cluster(statistic, units), draws=draws, seed=seed)


def _measured(task: TaskRun, scores: Mapping[str, Scores], measure: Measure) -> tuple[Resampled, list[str]]:
    metric, name = measure
    if name not in scores or metric not in scores[name].items:
        raise NotResampledError(f"{metric},{name} is not in the samples")
    statistic = resampled(
        metric,
        scores[name].items[metric],
        aggregation=task.aggregations.get(metric),
        reported=task.rows[measure].value,
        bench=task.rows[measure].bench,
    )
    return statistic, scores[name].units


def _of_group(
    run: Run,
    scores: Mapping[str, Mapping[str, Scores]],
    measure: Measure,
    weights: Sequence[float],
    draws: int,
    seed: int,
) -> Interval:
    same_units = len({frozenset(own[measure[1]].ids) for own in scores.values()}) == 1
    parts: list[Resampled] = []
    for leaf, own in scores.items():
        statistic, units = _measured(run.tasks[leaf], own, measure)
        parts.append(by_cluster(statistic, own[measure[1]].ids if same_units else units))

    group = weighted_mean(parts, weights, same_units=same_units)
    return interval(group.statistic, group.sizes, draws=draws, seed=seed)
