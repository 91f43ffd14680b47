"""Seeded bootstrap intervals for any statistic of documents, single runs and differences alike.

scipy draws, and computes the interval; this module feeds it document numbers instead of documents, so that a
:class:`~harness_ext.scoring.resampled.Resampled` metric evaluates a batch of draws at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from harness_ext.scoring.resampled import Resampled

Floats = npt.NDArray[np.float64]
Statistic = Callable[..., Floats]
"""Values, shape (...), from one array of unit numbers a sample, each of shape (..., any number of units)."""

Method = Literal["bca", "percentile", "none"]

DRAWS = 10_000
SEED = 0
CONFIDENCE = 0.95

_BATCH = 2**19
"""Numbers drawn at a time: a batch stays in the processor's cache, which is twice as fast as one of 100 MB."""
_MOST_UNDEFINED = 0.05
"""Share of undefined draws above which there is no interval."""
_ROUNDING = 1e-9


class Interval(NamedTuple):
    """A value with its bootstrap interval; NaN where undefined."""

    value: float
    low: float
    high: float
    stderr: float
    method: Method
    undefined: int
    """Draws in which the metric is undefined (e.g. a correlation with a constant); left out."""


class Grouped(NamedTuple):
    """A mean over tasks as one statistic, with the number of units of each sample that it is drawn from."""

    statistic: Statistic
    sizes: tuple[int, ...]


def weighted_mean(tasks: Sequence[Resampled], weights: npt.ArrayLike, *, same_units: bool = False) -> Grouped:
    """The weighted mean of several tasks' metrics.

    Args:
        tasks: the tasks' resampled metrics.
        weights: their weights, shape (tasks,).
        same_units: unit i of one task is unit i of every other (four questions about one author), so all tasks take
            the same draw; otherwise every task is drawn by itself.

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> both = weighted_mean([resampled("acc", [1.0, 0.0]), resampled("acc", [1.0, 1.0, 1.0])], [0.5, 0.5])
    >>> both.sizes, float(both.statistic(np.array([0, 0]), np.array([0, 1, 2])))
    ((2, 3), 1.0)
    """
    share = np.asarray(weights, dtype=float)

    def mean(*numbers: npt.NDArray[np.intp]) -> Floats:
        drawn = numbers * len(tasks) if same_units else numbers
        return np.tensordot(share, np.stack([task(own) for task, own in zip(tasks, drawn, strict=True)]), axes=1)

    sizes = tuple(len(task) for task in tasks)
    return Grouped(mean, sizes[:1] if same_units else sizes)


def resample(
    statistic: Statistic, sizes: Sequence[int] | None = None, *, draws: int = DRAWS, seed: int = SEED
) -> Floats:
    """Values of the statistic on bootstrap resamples, shape (draws,).

    Args:
        statistic: a resampled metric, or any function of unit numbers; of several samples, which are drawn
            independently of one another, it takes one array each.
        sizes: number of units of each sample; not needed for a resampled metric.
        draws: number of resamples.
        seed: seed of numpy's default generator. The draws are those of ``scipy.stats.bootstrap`` with that seed.

    Raises:
        ValueError: a sample has fewer than two units.
    """
    return np.asarray(_draw(statistic, _sizes(statistic, sizes), draws, seed).bootstrap_distribution)


def interval(
    statistic: Statistic,
    sizes: Sequence[int] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Bootstrap interval: BCa, or percentile where BCa is undefined; arguments as for :func:`resample`.

    BCa corrects the bias that F1, S-RMSE and correlations of resamples have (a resample holds fewer distinct
    documents, so rare labels vanish) and their skew. It is undefined when leaving out a document never changes the
    value or all draws lie on one side of it.

    Returns:
        The interval; low and high are NaN when the value is undefined or infinite, a sample has fewer than two units,
        more than 5 % of the draws are undefined, or the interval would not contain the value: then drawing documents
        distorts the metric more than chance does (a distance between two distributions that are nearly equal).

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> found = interval(resampled("acc", [1.0] * 60 + [0.0] * 40), draws=999)
    >>> found.value, round(found.low, 2), round(found.high, 2), found.method
    (0.6, 0.51, 0.69, 'bca')
    """
    units = _sizes(statistic, sizes)
    with np.errstate(invalid="ignore"):  # a difference of infinite values
        value = float(statistic(*(np.arange(size) for size in units)))
    nan = float("nan")
    if not np.isfinite(value) or min(units) < 2:
        return Interval(value, nan, nan, nan, "none", 0)
    result = _draw(statistic, units, draws, seed, confidence)
    values = np.asarray(result.bootstrap_distribution)
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if undefined > _MOST_UNDEFINED * draws:
        return Interval(value, nan, nan, nan, "none", undefined)
    stderr = float(defined.std(ddof=1))
    tail = (1 - confidence) / 2
    bounds: dict[Method, Any] = {"percentile": np.quantile(defined, [tail, 1 - tail])}
    if not undefined and stderr > 0:
        corrected = _scipy_bootstrap(
            statistic, units, confidence, method="BCa", n_resamples=0, bootstrap_result=result
        ).confidence_interval
        bounds = {"bca": corrected, **bounds}
    for method, (low, high) in bounds.items():
        if low - _ROUNDING <= value <= high + _ROUNDING:  # false for NaN
            return Interval(value, float(low), float(high), stderr, method, undefined)
    return Interval(value, nan, nan, stderr, "none", undefined)


def _sizes(statistic: Statistic, sizes: Sequence[int] | None) -> tuple[int, ...]:
    if sizes is not None:
        return tuple(sizes)
    if isinstance(statistic, Resampled):
        return (len(statistic),)
    raise ValueError("say how many units each sample has")


def _draw(statistic: Statistic, units: Sequence[int], draws: int, seed: int, confidence: float = CONFIDENCE) -> Any:
    generator = np.random.default_rng(seed)
    return _scipy_bootstrap(statistic, units, confidence, method="percentile", n_resamples=draws, rng=generator)


def _scipy_bootstrap(statistic: Statistic, units: Sequence[int], confidence: float, **settings: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)  # the caller looks for NaN
        return scipy.stats.bootstrap(
            tuple(np.arange(size) for size in units),
            lambda *numbers, axis: statistic(*numbers),
            vectorized=True,
            batch=max(1, _BATCH // sum(units)),
            confidence_level=confidence,
            **settings,
        )
