"""Is the difference between two runs more than chance: paired permutation test, Holm's correction, effect size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness_ext.results.statistics.bootstrap import DRAWS, SEED
from harness_ext.scoring.resampled import Resampled, incidence

if TYPE_CHECKING:
    from harness_ext.scoring.resampled.statistic import Members

Floats = npt.NDArray[np.float64]
Combine = Callable[[Floats], Floats]
"""One number from the values of several tasks: shape (tasks, ...) to (...)."""

ALPHA = 0.05
POWER = 0.8

_BATCH = 2**18
_DECIMALS = 10
"""Differences are compared at this precision: exchanges that tie in exact arithmetic must tie here."""


def mean_of_tasks(values: Floats) -> Floats:
    """The mean over tasks, every task with the same weight."""
    return np.asarray(values.mean(axis=0))


@dataclass(frozen=True)
class Exchange:
    """The metric of runs A and B after their answers were swapped for some units."""

    of_counts: Callable[[Floats], Floats]
    first: Floats
    """How often each row counts for run A, shape (rows,)."""
    both: Floats
    """The same for the two runs together."""
    moves: Members
    """What swapping a unit adds to ``first``, shape (units, rows)."""

    def __call__(self, swapped: Floats) -> tuple[Floats, Floats]:
        """Values of A and B, each of shape (...), from flags of shape (..., units): 1 where a unit is swapped."""
        shape = swapped.shape[:-1]
        counts = self.first + swapped.reshape(math.prod(shape), -1 if swapped.size else 0) @ self.moves
        return self.of_counts(counts).reshape(shape), self.of_counts(self.both - counts).reshape(shape)

    def without(self, idle: npt.NDArray[np.bool_]) -> Exchange:
        """The same without units that need not be swapped, flags of shape (units,)."""
        return Exchange(self.of_counts, self.first, self.both, self.moves[~idle])

    @property
    def idle(self) -> npt.NDArray[np.bool_]:
        """Units whose answers count the same in both runs, shape (units,): swapping them changes nothing."""
        moved: Floats = np.asarray(np.abs(self.moves).sum(axis=1)).reshape(-1)
        return np.equal(moved, 0)


def exchange(statistic: Resampled, units: npt.ArrayLike | None = None) -> Exchange:
    """Prepare the exchange of two runs over the same documents.

    Args:
        statistic: the metric over the items of run A followed by those of run B, in the same order of documents.
        units: what is swapped together, one value a document (e.g. its dialogue); each document alone by default.

    Raises:
        ValueError: the items are not two runs, or ``units`` does not fit them.

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> swap = exchange(resampled("acc", [1.0, 1.0, 0.0] + [0.0, 1.0, 0.0]))
    >>> [values.round(2).tolist() for values in swap(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))]
    [[0.67, 0.33], [0.33, 0.67]]
    >>> swap.idle.tolist()
    [False, True, True]
    """
    n, odd = divmod(len(statistic), 2)
    if odd:
        raise ValueError(f"{len(statistic)} items are not two runs over the same documents")
    unit = np.unique(np.arange(n) if units is None else np.asarray(units), return_inverse=True)[1].reshape(-1)
    if len(unit) != n:
        raise ValueError(f"{n} documents, but {len(unit)} units")
    shape = (int(unit.max()) + 1, statistic.n_rows)
    a, b = (incidence(unit, rows, shape) for rows in (statistic.rows[:n], statistic.rows[n:]))
    first, second = (np.asarray(side.sum(axis=0)).reshape(-1) for side in (a, b))
    return Exchange(statistic.of_counts, first, first + second, b - a)


def permutation_p(
    tasks: Sequence[Exchange],
    *,
    combine: Combine = mean_of_tasks,
    same_units: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
) -> float:
    """Two-sided p-value of the paired permutation test: could swapping the two runs' names have given this difference?

    The null hypothesis: for every unit it is arbitrary which answer came from which run. Exact when all exchanges
    number ``draws`` or fewer (13 differing units for 10,000), else by random exchanges with the observed one counted
    in, so that p is never 0. Both are the p-values of ``scipy.stats.permutation_test`` with that seed, which handles
    every exchange by itself and so takes five times as long.

    Args:
        tasks: the exchanges of one task, or of several that are combined into one number.
        combine: that number; of a single task it must return the task's value.
        same_units: the tasks ask about the same units (four questions about one author), which are swapped together;
            otherwise each task has units of its own.
        draws: number of random exchanges.
        seed: seed of numpy's default generator.

    Returns:
        p in (0, 1]; 1.0 when the runs do not differ; NaN when the difference is infinite or undefined under some
        exchange.

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> permutation_p([exchange(resampled("acc", [1.0] * 6 + [0.0] * 6))])
    0.03125
    """
    tasks, first_units = _moving(tasks, same_units)
    total = first_units[-1]

    def difference(swapped: Floats) -> Floats:
        flags = (
            [swapped] * len(tasks)
            if same_units
            else [swapped[..., low:high] for low, high in itertools.pairwise(first_units)]
        )
        a, b = zip(*(task(own) for task, own in zip(tasks, flags, strict=True)), strict=True)
        return np.round(combine(np.stack(a)) - combine(np.stack(b)), _DECIMALS)

    with np.errstate(invalid="ignore"):
        observed = difference(np.zeros(total))
    if not np.isfinite(observed):
        return math.nan
    if total < 2:  # swapping the only differing unit turns the difference round: as extreme as the observed one
        return 1.0
    found = np.concatenate([difference(flags) for flags in _exchanges(total, draws, seed)])
    exact = total < draws.bit_length() and 2**total <= draws
    slack = abs(100 * np.finfo(float).eps * observed)
    extreme = [np.count_nonzero(found <= observed + slack), np.count_nonzero(found >= observed - slack)]
    if np.isnan(found).any():
        return math.nan
    counted_in = 0 if exact else 1
    return min(1.0, 2 * float(min(extreme) + counted_in) / (len(found) + counted_in))


def _exchanges(units: int, draws: int, seed: int) -> Iterator[Floats]:
    """Batches of exchanges, flags of shape (some, units): all there are, or random ones as scipy draws them."""
    if units < draws.bit_length() and 2**units <= draws:
        yield (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(float)
        return
    generator = np.random.default_rng(seed)
    batch = min(draws, max(1, _BATCH // units))
    pairs = np.tile(np.arange(2, dtype=np.int8), (batch, units, 1))
    for start in range(0, draws, batch):
        yield generator.permuted(pairs, axis=-1)[: draws - start, :, 0].astype(float)


def _moving(tasks: Sequence[Exchange], same_units: bool) -> tuple[list[Exchange], list[int]]:
    """The exchanges without idle units, and where the units of each task start (the last number is their total)."""
    if same_units:
        idle = np.logical_and.reduce([task.idle for task in tasks])
        return [task.without(idle) for task in tasks], [0, int((~idle).sum())]
    kept = [task.without(task.idle) for task in tasks]
    return kept, [0, *np.cumsum([task.moves.shape[0] for task in kept]).tolist()]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that keep the chance of any false finding among all of them at alpha.

    NaN stays NaN and does not count as a test.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    tested = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    corrected, largest = list(p_values), 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def effect_size(difference: float, stderr: float, units: int) -> float:
    """Difference in standard deviations of the paired difference of one unit: ``difference / (stderr * sqrt(units))``.

    For a metric that is a mean over documents this is paired Cohen's d (d_z); for a corpus-level metric it is the same
    quantity for a unit's influence on the metric. Unlike the p-value it does not grow with the number of documents.

    Args:
        difference: A minus B.
        stderr: bootstrap standard error of the difference.
        units: number of resampled units.

    Returns:
        0.0 for no difference; NaN where the standard error is 0 or undefined.

    >>> effect_size(0.03, 0.01, 100)
    0.3
    """
    if difference == 0:
        return 0.0
    return difference / (stderr * math.sqrt(units)) if stderr > 0 else math.nan


def minimum_detectable_effect(stderr: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest true difference that a test of this size finds with the given power.

    ``(z(1 - alpha / 2) + z(power)) * stderr``, in the unit of the metric, for a single two-sided test. A comparison
    that finds nothing has shown no more than that the difference is probably below this.

    Args:
        stderr: bootstrap standard error of the paired difference.

    Returns:
        NaN where the standard error is 0: docs that never differed say nothing about how much such docs can differ.

    >>> round(minimum_detectable_effect(1.0), 3), minimum_detectable_effect(0.0)
    (2.802, nan)
    """
    if not stderr > 0:
        return math.nan
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * stderr
