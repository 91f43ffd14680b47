"""Bootstrap intervals of every number of a run, tasks and groups, from its samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pydantic_core import to_json

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Run, Runs, TaskRun
from harness_ext.results.reading.samples import Scores
from harness_ext.results.statistics import bootstrap
from harness_ext.results.statistics.aggregations import is_certain, resampled
from harness_ext.results.statistics.bootstrap import SEED, Drawn, Interval, Units, weighted
from harness_ext.scoring.resampled import NotResampledError, Resampled

DRAWS = 1_000
"""Resamples of every interval in a table: more would not move a line by its width."""

Measure = tuple[str, str]
"""A metric and its filter."""

_MOST_KNOWN = 2**22
"""Values on resamples that are kept for the next runs: 32 MB."""


class Known:
    """Numbers on resamples by all that they follow from: of models asked the same, many answer or fail alike."""

    def __init__(self) -> None:
        self._found: dict[bytes, Drawn] = {}
        self._free = _MOST_KNOWN

    def get(self, key: bytes) -> Drawn | None:
        """What was found for the same before, if it is still kept."""
        return self._found.get(key)

    def keep(self, key: bytes, one: Drawn) -> None:
        """Remember a number for the next runs; where there is no room, all that came before is forgotten."""
        size = len(one.draws) + sum(map(len, one.left_out.values()))
        if self._free < size:
            self._found.clear()
            self._free = _MOST_KNOWN
        self._found[key] = one
        self._free -= size


def units_of(scores: Scores) -> Units:
    """The units that documents name; those without a name of their own are known by their hashes."""
    named = zip(scores.units, scores.ids, strict=True)
    return Units.of([hashed if unit.startswith("doc ") else unit for unit, hashed in named])


def draw(statistic: Resampled, units: Units, *, draws: int = DRAWS, seed: int = SEED) -> Drawn:
    """A metric on the resamples of its units that are the same in all tasks and runs.

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> units = Units.of([str(number) for number in range(100)])
    >>> one = draw(resampled("acc", [1.0] * 60 + [0.0] * 40), units)
    >>> one.value, one.draws.shape, sorted(set(one.left_out[units.key].round(3).tolist()))
    (0.6, (1000,), [0.596, 0.606])
    """
    (found,) = draw_all([statistic], units, draws=draws, seed=seed)
    return found


def draw_all(statistics: Sequence[Resampled], units: Units, *, draws: int = DRAWS, seed: int = SEED) -> list[Drawn]:
    """Several metrics of the same documents, evaluated on the same resamples; see :func:`draw`."""
    (found,) = bootstrap.draw([(units, statistics)], draws=draws, seed=[seed, int(units.key[:16], 16)])
    return found


def of_row(row: Row, runs: Runs) -> Drawn | None:
    """A task's number on resamples, while its model is visited; None without samples that give it."""
    known: Drawn | None = runs.drawn.get((row.run, row.task, row.metric, row.filter))
    if known:
        return known
    scores, task = runs.scores(row), runs.task(row)
    if task is None or scores is None or row.metric not in scores.items:
        return None
    recorded = task.aggregations.get(row.metric)
    try:
        statistic = resampled(
            row.metric, scores.items[row.metric], aggregation=recorded, reported=row.value, bench=row.bench
        )
    except NotResampledError:
        return None
    return draw(statistic, units_of(scores))


class RunIntervals(NamedTuple):
    """Intervals by (task or group, metric, filter), and why some numbers have none."""

    intervals: dict[tuple[str, str, str], Interval]
    notes: list[str]


def run_intervals(
    run: Run,
    *,
    scores: Callable[[TaskRun], Mapping[str, Scores]] = TaskRun.scores,
    draws: int = DRAWS,
    seed: int = SEED,
) -> RunIntervals:
    """An interval for every reported number that has one; arguments and errors as for :func:`run_drawn`."""
    found, notes = run_drawn(run, scores=scores, draws=draws, seed=seed)
    return RunIntervals({key: one.interval for key, one in found.items()}, notes)


def run_drawn(
    run: Run,
    *,
    scores: Callable[[TaskRun], Mapping[str, Scores]] = TaskRun.scores,
    draws: int = DRAWS,
    seed: int = SEED,
    known: Known | None = None,
) -> tuple[dict[tuple[str, str, str], Drawn], list[str]]:
    """Every reported number on resamples, by (task or group, metric, filter), and why some are not.

    Documents are resampled, or whole clusters of them (dialogues) where docs name their cluster. For a group, the tasks
    are resampled independently of one another; tasks about the same documents (four questions about one author)
    together.

    Args:
        run: whose numbers.
        scores: where the scored documents of a task are found.
        draws: number of resamples.
        seed: of them.
        known: what runs before this one gave, with as many draws from the same seed.

    Raises:
        DataError: a samples file is broken. A missing one is a note.
    """
    found: dict[tuple[str, str, str], Drawn] = {}
    notes: list[str] = []
    known = known or Known()
    for name, task in run.tasks.items():
        if task.samples is None:
            notes.append(f"{name}: no intervals without a samples file (lm-eval --log_samples).")
            continue
        for filter_, scored in scores(task).items():
            measures = {measure: row for measure, row in task.rows.items() if measure[1] == filter_}
            units = units_of(scored)
            keys, statistics = _statistics(task, measures, scored, units, known, notes)
            new = draw_all(list(statistics.values()), units, draws=draws, seed=seed)
            drawn = {key: one for key in keys.values() if (one := known.get(key))}
            drawn |= dict(zip(statistics, new, strict=True))
            found |= {(name, *measure): drawn[key] for measure, key in keys.items()}
            for key in statistics:
                known.keep(key, drawn[key])
    for name, group in run.groups.items():
        for measure in group.rows:
            leaves = group.reporting(measure, run.tasks)
            if any((leaf, *measure) not in found for leaf in leaves):
                notes.append(f"{name}, {measure[0]}: no interval, because some of its tasks have none.")
            elif max(group.times.values(), default=1) > 1:
                notes.append(f"{name}, {measure[0]}: no interval, because it counts tasks of two subgroups twice.")
            elif ways := group.weightings(measure, run.tasks):
                found[(name, *measure)] = weighted([found[(leaf, *measure)] for leaf in leaves], ways[0])
            else:
                notes.append(f"{name}, {measure[0]}: no interval, because it is not the mean of its tasks.")
    return found, notes


def _statistics(
    task: TaskRun, measures: Mapping[Measure, Row], scored: Scores, units: Units, known: Known, notes: list[str]
) -> tuple[dict[Measure, bytes], dict[bytes, Resampled]]:
    """What each of a task's metrics follows from, and the resampled forms of those that are not known yet."""
    keys: dict[Measure, bytes] = {}
    found: dict[bytes, Resampled] = {}
    of_documents = units.of_documents.tobytes()
    for measure, row in measures.items():
        metric = measure[0]
        items, recorded = scored.items.get(metric), task.aggregations.get(metric, "")
        name = () if is_certain(recorded) else (metric, row.bench)
        told = repr((recorded, name, row.value, units.key)).encode("utf-8", "surrogatepass")
        key = hashlib.sha256(told + of_documents + _written(items)).digest()
        try:
            if items is None:
                raise NotResampledError(f"{metric},{measure[1]} is not in the samples")
            if key not in found and not known.get(key):
                found[key] = resampled(metric, items, aggregation=recorded or None, reported=row.value, bench=row.bench)
            keys[measure] = key
        except NotResampledError as error:
            notes.append(f"{task.task}, {metric}: no interval. {error}.")
    return keys, found


def _written(items: object) -> bytes:
    """All that is in some items, as bytes: a tenth of the time of ``repr``, which half of a surrogate pair needs."""
    try:
        return to_json(items, inf_nan_mode="constants", fallback=repr)
    except ValueError:
        return repr(items).encode("utf-8", "surrogatepass")
