"""Bootstrap intervals of every number of a run, tasks and groups, from its samples.

Resamples are drawn once for each set of units: all metrics of a task, and all tasks about the same documents, are
evaluated on the same draws. The mean of several tasks, and the difference between two runs, are then sums of values
that are known already.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Run, Runs, TaskRun
from harness_ext.results.reading.samples import Scores
from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import CONFIDENCE, SEED, Interval, Method
from harness_ext.scoring.resampled import NotResampledError, Resampled

Floats = npt.NDArray[np.float64]

DRAWS = 1_000
"""Resamples of every interval in a table: more would not move a line by its width."""

Measure = tuple[str, str]
"""A metric and its filter."""

_BATCH = 2**20  # numbers at a time
_MOST_UNDEFINED = 0.05
"""Share of undefined draws above which there is no interval."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Drawn:
    """A number and what becomes of it when units are drawn again, or left out."""

    value: float
    draws: Floats
    """Its values on the resamples, shape (draws,)."""
    left_out: Mapping[str, Floats]
    """By set of units, its values with one of them left out, shape (units,)."""


class Units(NamedTuple):
    """What is drawn: documents, or clusters of them."""

    names: tuple[str, ...]
    """Distinct and sorted."""
    of_documents: npt.NDArray[np.intp]
    """The unit of each document, shape (n,)."""
    key: str
    """The same for the same units, whatever is asked about them."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Units:
        """The units of documents by the name of each one's."""
        distinct = {name: at for at, name in enumerate(sorted(set(names)))}
        key = hashlib.sha256("\n".join(distinct).encode("utf-8", "surrogatepass")).hexdigest()
        return cls(tuple(distinct), np.array([distinct[name] for name in names], dtype=np.intp), key)

    @classmethod
    def of_scores(cls, scores: Scores) -> Units:
        """The units that documents name; those without a name of their own are known by their hashes."""
        named = zip(scores.units, scores.ids, strict=True)
        return cls.of([hashed if unit.startswith("doc ") else unit for unit, hashed in named])


@functools.lru_cache(maxsize=2)
def _counts(key: str, units: int, draws: int, seed: int) -> npt.NDArray[np.uint16]:
    """How often each unit is drawn in each resample, shape (draws, units)."""
    generator = np.random.default_rng([seed, int(key[:16], 16)])
    found = np.empty((draws, units), dtype=np.uint16)
    for at in _batches(draws, units):
        drawn = generator.integers(0, units, (at.stop - at.start, units))
        first = np.arange(len(drawn))[:, None] * units
        counts = np.bincount((drawn + first).ravel(), minlength=drawn.size)
        found[at] = counts.reshape(drawn.shape)
    return found


def _batches(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BATCH // max(1, columns))
    yield from (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def draw(statistic: Resampled, units: Units, *, draws: int = DRAWS, seed: int = SEED) -> Drawn:
    """A metric on resamples of the units, and with each unit left out.

    >>> one = draw(resampled("acc", [1.0] * 60 + [0.0] * 40), Units.of([str(number) for number in range(100)]))
    >>> one.value, one.draws.shape, sorted(set(one.left_out[Units.of(list(map(str, range(100)))).key].round(3)))
    (0.6, (1000,), [np.float64(0.596), np.float64(0.606)])
    """
    n_units, n_rows = len(units.names), statistic.n_rows
    alone = len(statistic.rows) == n_units
    if n_rows == 1 and alone:  # all documents are alike to the metric, and so are all resamples
        with np.errstate(all="ignore"):
            whole, fewer = statistic.of_counts(np.array([[n_units], [n_units - 1.0]]))
        return Drawn(float(whole), np.full(draws, whole), {units.key: np.full(n_units, fewer)})
    # Documents in the order of their rows: the counts of a row are a sum over neighbouring columns.
    order = np.argsort(statistic.rows, kind="stable")
    unit, row = units.of_documents[order], statistic.rows[order]
    present, first = np.unique(row, return_index=True)

    def rows_of(counts: npt.NDArray[Any]) -> Floats:
        """Counts of rows from counts of units, shapes (m, rows) and (m, units)."""
        summed = np.add.reduceat(counts[:, unit].astype(float), first, axis=1)
        if len(present) == n_rows:
            return np.asarray(summed)
        found = np.zeros((len(counts), n_rows))
        found[:, present] = summed
        return found

    counts = _counts(units.key, n_units, draws, seed)
    # Units that are one document each are left out with the same effect where their documents lie in one row.
    left_out = n_rows if alone else n_units
    values, effects = np.empty(draws), np.empty(left_out)
    with np.errstate(all="ignore"):
        total = rows_of(np.ones((1, n_units)))
        value = float(statistic.of_counts(total)[0])
        for at in _batches(draws, len(order)):
            values[at] = statistic.of_counts(rows_of(counts[at]))
        for at in _batches(left_out, n_rows):
            own = np.arange(at.start, at.stop)
            one = own[:, None] == np.arange(n_rows if alone else n_units)
            effects[at] = statistic.of_counts(total - (one if alone else rows_of(one)))
    if alone:
        row_of_unit = np.empty(n_units, dtype=np.intp)
        row_of_unit[units.of_documents] = statistic.rows
        effects = effects[row_of_unit]
    return Drawn(value, values, {units.key: effects})


def weighted(parts: Sequence[Drawn], weights: Sequence[float]) -> Drawn:
    """A weighted sum of numbers: a mean of tasks, or, with weights 1 and -1, the paired difference of two runs."""
    value = sum(weight * part.value for weight, part in zip(weights, parts, strict=True))
    # Leaving out a unit changes the parts that it belongs to; the others stay as they are.
    left_out: dict[str, Floats] = {}
    for weight, part in zip(weights, parts, strict=True):
        for key, values in part.left_out.items():
            left_out[key] = left_out.get(key, value) + weight * (values - part.value)
    draws = np.sum([weight * part.draws for weight, part in zip(weights, parts, strict=True)], axis=0)
    return Drawn(value, draws, left_out)


def interval_of(one: Drawn, *, confidence: float = CONFIDENCE) -> Interval:
    """The bootstrap interval: BCa, or percentile where BCa is undefined.

    BCa corrects the bias that F1, S-RMSE and correlations of resamples have (a resample holds fewer distinct
    documents, so rare labels vanish) and their skew. It is undefined when leaving out a unit never changes the value
    or all draws lie on one side of it.

    Returns:
        The interval; low and high are NaN when the value is undefined or infinite, a sample has fewer than two units,
        more than 5 % of the draws are undefined, or the interval would not contain the value: then drawing documents
        distorts the metric more than chance does (a distance between two distributions that are nearly equal).
    """
    value, nan = one.value, float("nan")
    if not np.isfinite(value) or min(map(len, one.left_out.values())) < 2:
        return Interval(value, nan, nan, nan, "none", 0)
    defined = np.sort(one.draws[~np.isnan(one.draws)])
    undefined = len(one.draws) - len(defined)
    if undefined > _MOST_UNDEFINED * len(one.draws):
        return Interval(value, nan, nan, nan, "none", undefined)
    with np.errstate(all="ignore"):
        stderr = float(defined.std(ddof=1))
        tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
        ways: list[tuple[Method, Floats]] = [("percentile", tails)]
        if not undefined and stderr > 0:
            ways.insert(0, ("bca", _corrected(value, defined, one.left_out, tails)))
        for method, shares in ways:
            if np.isnan(shares).any():
                continue
            low, high = np.interp(shares * (len(defined) - 1), np.arange(len(defined)), defined)
            if low - _ROUNDING <= value <= high + _ROUNDING:  # false for NaN
                return Interval(value, float(low), float(high), stderr, method, undefined)
    return Interval(value, nan, nan, stderr, "none", undefined)


def _corrected(value: float, draws: Floats, left_out: Mapping[str, Floats], tails: Floats) -> Floats:
    """The shares of the draws between which a BCa interval lies (Efron 1987; several samples as scipy has them)."""
    below = (np.searchsorted(draws, value, "left") + np.searchsorted(draws, value, "right")) / (2 * len(draws))
    bias = ndtri(below)
    cubes = squares = 0.0
    for values in left_out.values():
        influence = (len(values) - 1) * (values.mean() - values) / len(values)
        cubes += float((influence**3).sum())
        squares += float((influence**2).sum())
    acceleration = np.float64(cubes) / (6 * np.float64(squares) ** 1.5)
    shifted = bias + ndtri(tails)
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))


def of_row(row: Row, runs: Runs) -> Drawn | None:
    """A task's number on resamples, while its model is visited; None without samples that give it."""
    scores, task = runs.scores(row), runs.task(row)
    if task is None or scores is None or row.metric not in scores.items:
        return None
    recorded = task.aggregations.get(row.metric)
    try:
        statistic = resampled(
            row.metric, scores.items[row.metric], aggregation=recorded, reported=row.value, bench=row.bench
        )
        return draw(statistic, Units.of_scores(scores))
    except NotResampledError:
        return None


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
    return RunIntervals({key: interval_of(one) for key, one in found.items()}, notes)


def run_drawn(
    run: Run,
    *,
    scores: Callable[[TaskRun], Mapping[str, Scores]] = TaskRun.scores,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[dict[tuple[str, str, str], Drawn], list[str]]:
    """Every reported number on resamples, by (task or group, metric, filter), and why some are not.

    Documents are resampled, or whole clusters of them (dialogues) where docs name their cluster. For a group, the tasks
    are resampled independently of one another; tasks about the same documents (four questions about one author)
    together.

    Raises:
        DataError: a samples file is broken. A missing one is a note.
    """
    found: dict[tuple[str, str, str], Drawn] = {}
    notes: list[str] = []
    for name, task in run.tasks.items():
        if task.samples is None:
            notes.append(f"{name}: no intervals without a samples file (lm-eval --log_samples).")
            continue
        own = scores(task)
        units = {key: Units.of_scores(scored) for key, scored in own.items()}
        aggregations = task.aggregations
        for measure, row in task.rows.items():
            metric, key = measure
            try:
                if key not in own or metric not in own[key].items:
                    raise NotResampledError(f"{metric},{key} is not in the samples")
                items, recorded = own[key].items[metric], aggregations.get(metric)
                statistic = resampled(metric, items, aggregation=recorded, reported=row.value, bench=row.bench)
                found[(name, *measure)] = draw(statistic, units[key], draws=draws, seed=seed)
            except NotResampledError as error:
                notes.append(f"{name}, {metric}: no interval. {error}.")
    for name, group in run.groups.items():
        for measure in group.rows:
            if any((leaf, *measure) not in found for leaf in group.leaves):
                notes.append(f"{name}, {measure[0]}: no interval, because some of its tasks have none.")
            elif max(group.times.values(), default=1) > 1:
                notes.append(f"{name}, {measure[0]}: no interval, because it counts tasks of two subgroups twice.")
            elif ways := group.weightings(measure, run.tasks):
                found[(name, *measure)] = weighted([found[(leaf, *measure)] for leaf in group.leaves], ways[0])
            else:
                notes.append(f"{name}, {measure[0]}: no interval, because it is not the mean of its tasks.")
    return found, notes
