"""Is run A better than run B: paired comparison of runs that answered the same questions, and of no others."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness_ext.errors import InputError
from harness_ext.results import benches
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.judges import JUDGED_METRICS
from harness_ext.results.reading.runs import Run, load_run
from harness_ext.results.statistics.aggregations import recorded_metric
from harness_ext.results.statistics.bootstrap import DRAWS, SEED
from harness_ext.results.statistics.comparability import (
    NotComparableError,
    Side,
    differences,
    document_order,
    only_the_template_differs,
)
from harness_ext.results.statistics.paired import Comparison, Job, Pair, assess, corrected
from harness_ext.scoring.resampled import NotResampledError

Measure = tuple[str, str]
"""A metric and its filter."""


@dataclass(frozen=True)
class Plan:
    """What will be compared, and what a reader of the comparison must know."""

    jobs: list[Job]
    notes: list[str]


def compare(
    paths: Sequence[Path],
    *,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (),
    every_metric: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[Comparison]:
    """Compare every pair of runs; arguments and errors as for :func:`plan`, p-values corrected over all lines."""
    planned = plan(paths, tasks=tasks, metrics=metrics, every_metric=every_metric)
    return corrected([assess(job, draws=draws, seed=seed) for job in planned.jobs])


def plan(
    paths: Sequence[Path], *, tasks: Sequence[str] = (), metrics: Sequence[str] = (), every_metric: bool = False
) -> Plan:
    """Read the runs, make sure that they answered the same questions, and list what is to be compared.

    Args:
        paths: two or more runs, as for :func:`~harness_ext.results.reading.samples.load_run`.
        tasks: names of tasks or groups; default: all that every run has.
        metrics: ``metric`` or ``metric,filter``; default: the headline metric of each task, which is the one that its
            benchmark declares, or else the first.
        every_metric: compare all that is reported.

    Raises:
        NotComparableError: docs, prompts, data, judges, filters, task versions or settings differ.
        InputError: there is nothing to compare, or a name is unknown.
        DataError: a file is broken.
    """
    if len(paths) < 2:
        raise InputError("a comparison needs two runs or more.")
    loaded = [load_run(path) for path in paths]
    runs = dict(zip(_labels(loaded), loaded, strict=True))
    asked = _Asked(tasks, metrics, every_metric)
    asked.check(loaded[0])
    notes: list[str] = []
    leaves = [_Leaf.read(task, runs) for task in _leaves_to_read(runs, tasks, notes)]
    mismatches = [mismatch for leaf in leaves for side in leaf.others for mismatch in differences(leaf.first, side)]
    if mismatches:
        raise NotComparableError(mismatches)
    notes += [note for leaf in leaves for note in leaf.notes()]
    jobs: list[Job] = []
    for labels in itertools.combinations(runs, 2):
        jobs += _leaf_jobs(leaves, labels, asked, notes)
        jobs += _group_jobs([runs[label] for label in labels], labels, leaves, asked, notes)
        jobs += _mean_jobs(leaves, labels, asked, notes)
    notes = list(dict.fromkeys(notes))
    if not jobs:
        raise InputError(" ".join(["nothing can be compared.", *notes]))
    return Plan(jobs, notes)


def _labels(runs: Sequence[Run]) -> list[str]:
    """Names of the runs: their models, with the path where two runs have one model."""
    models = Counter(run.model for run in runs)
    names = [run.model if models[run.model] == 1 else f"{run.model} ({run.path})" for run in runs]
    twice = Counter(names)
    return [name if twice[name] == 1 else f"{name} #{number}" for number, name in enumerate(names, 1)]


@dataclass(frozen=True)
class _Asked:
    """Which tasks and metrics are to be compared."""

    tasks: Sequence[str]
    metrics: Sequence[str]
    every_metric: bool

    def check(self, run: Run) -> None:
        """Make sure that a run has what is named."""
        if self.metrics and self.every_metric:
            raise InputError("give either single metrics or all of them.")
        known = [*run.tasks, *run.groups]
        for task in self.tasks:
            if task not in known:
                raise InputError(f"{run.path} has no task {task}; it has {', '.join(known)}.")
        measures = [measure for task in run.tasks.values() for measure in task.rows]
        for metric in self.metrics:
            if not any(metric in (name, f"{name},{filtered}") for name, filtered in measures):
                names = dict.fromkeys(name for name, _ in measures)
                raise InputError(f"{run.path} has no metric {metric}; it has {', '.join(names)}.")

    def measures(self, reported: Mapping[Measure, Row], first: str) -> list[Measure]:
        """Those of a task's or group's measures; by default its headline, which is ``first`` where none is declared."""
        declared = benches.declared(next(iter(reported.values())).bench).headline
        headline = declared if any(metric == declared for metric, _ in reported) else first
        return [
            (metric, name)
            for metric, name in reported
            if self.every_metric or {metric, f"{metric},{name}"} & set(self.metrics or [headline])
        ]


def _leaves_to_read(runs: Mapping[str, Run], tasks: Sequence[str], notes: list[str]) -> list[str]:
    """Leaf tasks that were named, or lie in a named group, or all; only those that every run has with samples."""
    first = next(iter(runs.values()))
    named = [leaf for task in tasks for leaf in (first.groups[task].leaves if task in first.groups else (task,))]
    found: list[str] = []
    for task in dict.fromkeys(named or [task for run in runs.values() for task in run.tasks]):
        without = [label for label, run in runs.items() if task not in run.tasks]
        unlogged = [label for label, run in runs.items() if label not in without and run.tasks[task].samples is None]
        if without:
            notes.append(f"{task} was left out: {', '.join(without)} has no result for it.")
        elif unlogged:
            notes.append(f"{task} was left out: {', '.join(unlogged)} has no samples (lm-eval --log_samples).")
        else:
            found.append(task)
    return found


@dataclass(frozen=True)
class _Leaf:
    """One task in every run."""

    task: str
    sides: Mapping[str, Side]

    @classmethod
    def read(cls, task: str, runs: Mapping[str, Run]) -> _Leaf:
        sides = {label: Side(label, run.tasks[task], run.tasks[task].scores()) for label, run in runs.items()}
        return cls(task, sides)

    @property
    def first(self) -> Side:
        return next(iter(self.sides.values()))

    @property
    def others(self) -> list[Side]:
        return list(self.sides.values())[1:]

    def notes(self) -> Iterator[str]:
        if any(row.data == "sample" for row in self.first.run.rows.values()):
            yield "Sample data: these numbers show that everything runs and are no benchmark scores."
        for side in self.others:
            if only_the_template_differs(self.first, side):
                yield f"{self.first.label} and {side.label} were asked through their own, different chat templates."
            if side.run.config.get("generation_kwargs") != self.first.run.config.get("generation_kwargs"):
                yield f"{self.first.label} and {side.label} generated with different settings (generation_kwargs)."
            versions = [next(iter(run.rows.values())).lm_eval_version for run in (self.first.run, side.run)]
            if versions[0] != versions[1]:
                yield f"{self.first.label} ran on lm-eval {versions[0]}, {side.label} on {versions[1]}."

        for side in self.sides.values():
            for row in side.run.rows.values():
                if row.metric in JUDGED_METRICS and row.note:
                    yield f"{side.label}: {row.note}."
        for row in self.first.run.rows.values():
            if row.metric in JUDGED_METRICS:
                judge = f"{row.judge}, version {row.judge_version}" if row.judge_version else row.judge
                yield f"Judge {judge}: agreement with people: {row.judge_agreement}."

    def measures(self, asked: _Asked) -> list[Measure]:
        """The measures that were asked for."""
        reported = self.first.run.rows
        names = [metric for metric, _ in reported]
        return asked.measures(reported, next((name for name in self.first.run.aggregations if name in names), names[0]))

    def value(self, label: str, measure: Measure) -> float:
        return self.sides[label].run.rows[measure].value

    def pair(self, measure: Measure, labels: tuple[str, str], *, by_id: bool) -> Pair:
        """The two runs' items for one measure.

        Raises:
            NotResampledError: the metric cannot be resampled, or the samples do not give the reported values.
        """
        metric, name = measure
        if any(measure not in self.sides[label].run.rows for label in labels):
            raise NotResampledError(f"{metric},{name} is not reported by both runs")
        a, b = (self.sides[label].scores[name] for label in labels)
        if not (a.items.get(metric) and b.items.get(metric)):
            raise NotResampledError(f"{metric},{name} is not in the samples of both runs")
        items = a.items[metric], [b.items[metric][i] for i in document_order(a, b)]
        reported = [self.value(label, measure) for label in labels]
        found = recorded_metric(
            metric,
            list(zip(items, reported, strict=True)),
            aggregation=self.first.run.aggregations.get(metric),
            bench=self.first.run.rows[measure].bench,
        )
        return Pair(found.of_runs(items), np.array(a.ids if by_id else a.units))


def _leaf_jobs(leaves: Sequence[_Leaf], labels: tuple[str, str], asked: _Asked, notes: list[str]) -> Iterator[Job]:
    for leaf in leaves:
        for measure in leaf.measures(asked) if not asked.tasks or leaf.task in asked.tasks else ():
            try:
                pair = leaf.pair(measure, labels, by_id=False)
            except NotResampledError as error:
                notes.append(f"{leaf.task} was left out: {error}.")
            else:
                direction = leaf.first.run.rows[measure].higher_is_better
                yield Job(leaf.task, *measure, *labels, [pair], (1.0,), False, direction)


def _group_jobs(
    runs: Sequence[Run],
    labels: tuple[str, str],
    leaves: Sequence[_Leaf],
    asked: _Asked,
    notes: list[str],
) -> Iterator[Job]:
    by_name = {leaf.task: leaf for leaf in leaves}
    for group, measure in _group_measures(runs[0], asked):
        metric, name = measure
        members = runs[0].groups[group].leaves
        missing = [leaf for leaf in members if leaf not in by_name or measure not in by_name[leaf].first.run.rows]
        if missing:
            notes.append(f"{group} was left out: no {metric} of {', '.join(missing)} to compare.")
            continue
        own = [by_name[leaf] for leaf in members]
        same_units = len({frozenset(leaf.first.scores[name].ids) for leaf in own}) == 1
        try:
            pairs = [leaf.pair(measure, labels, by_id=same_units) for leaf in own]
        except NotResampledError as error:
            notes.append(f"{group} was left out: {error}.")
            continue
        ways = [run.groups[group].weightings(measure, run.tasks) for run in runs if _has_group(run, group, measure)]
        both = [weights for weights in ways[0] if all(weights in way for way in ways)] if len(ways) == len(runs) else []
        if not both:
            notes.append(f"{group} was left out: its {metric} is not the mean of its tasks in both runs.")
            continue
        if twice := [leaf for leaf, times in runs[0].groups[group].times.items() if times > 1]:
            told = runs[0].groups[group].rows[measure].value
            notes.append(
                f"{group} counts every task once: lm-eval's number, {told:.4g} for {labels[0]}, counts "
                f"{', '.join(twice)} once for each subgroup."
            )
        yield Job(group, *measure, *labels, pairs, both[0], same_units, own[0].first.run.rows[measure].higher_is_better)


def _mean_jobs(
    leaves: Sequence[_Leaf],
    labels: tuple[str, str],
    asked: _Asked,
    notes: list[str],
) -> Iterator[Job]:
    """Means that benchmarks declare because no group of lm-eval's could report them, where all leaves are there."""
    by_name = {leaf.task: leaf for leaf in leaves}
    for bench in dict.fromkeys(row.bench for leaf in leaves for row in leaf.first.run.rows.values()):
        for mean in benches.declared(bench).means:
            measure = (mean.metric, "none")
            wanted = not asked.tasks or set(mean.groups) & set(asked.tasks)
            if not wanted or not mean.weights.keys() <= by_name.keys():
                continue
            if measure not in by_name[next(iter(mean.weights))].measures(asked):
                continue
            try:
                pairs = [by_name[task].pair(measure, labels, by_id=False) for task in mean.weights]
            except NotResampledError as error:
                notes.append(f"{mean.name} was left out: {error}.")
            else:
                weights = tuple(mean.weights.values())
                yield Job(mean.name, *measure, *labels, pairs, weights, False, mean.higher_is_better)


def _has_group(run: Run, group: str, measure: Measure) -> bool:
    return group in run.groups and measure in run.groups[group].rows


def _group_measures(run: Run, asked: _Asked) -> Iterator[tuple[str, Measure]]:
    """The groups that were asked for, each with the metrics asked for."""
    for name, group in run.groups.items():
        if len(group.leaves) > 1 and (not asked.tasks or name in asked.tasks):
            for measure in asked.measures(group.rows, next(iter(group.rows))[0]):
                yield name, measure
