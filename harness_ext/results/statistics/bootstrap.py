"""The bootstrap: any metric on resamples of its documents, single runs, means and differences alike.

Resamples are drawn once for each set of units, and all metrics of them are evaluated on the same draws. The mean of
several tasks, and the difference between two runs, are then sums of values that are known already.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled import Resampled

Floats = npt.NDArray[np.float64]

Method = Literal["bca", "percentile", "none"]

DRAWS = 10_000
SEED = 0
CONFIDENCE = 0.95

_BATCH = 2**19
"""Numbers drawn at a time: a batch stays in the processor's cache, which is twice as fast as one of 100 MB."""
_KEPT = 2**17
"""Numbers of a drawing that is kept for the next runs on the same units; of the last 32, that is 32 MB."""
_FEW_ROWS = 16
"""Up to which counts of rows are a product with a matrix."""
_MOST_UNDEFINED = 0.05
"""Share of undefined draws above which there is no interval."""
_ROUNDING = 1e-9
_NORMAL = NormalDist()


class Interval(NamedTuple):
    """A value with its bootstrap interval; NaN where undefined."""

    value: float
    low: float
    high: float
    stderr: float
    method: Method
    undefined: int
    """Draws in which the metric is undefined (e.g. a correlation with a constant); left out."""


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
    def each(cls, n: int) -> Units:
        """The units of n documents that are each drawn alone, in their order."""
        return cls(tuple(map(str, range(n))), np.arange(n), "")


@dataclass(frozen=True)
class Drawn:
    """A number and what becomes of it when units are drawn again, or left out."""

    value: float
    draws: Floats
    """Its values on the resamples, shape (draws,)."""
    left_out: Mapping[str, Floats]
    """By set of units, its values with one of them left out, shape (units,)."""

    @cached_property
    def interval(self) -> Interval:
        """The bootstrap interval: BCa, or percentile where BCa is undefined.

        BCa corrects the bias that F1, S-RMSE and correlations of resamples have (a resample holds fewer distinct
        documents, so rare labels vanish) and their skew. It is undefined when leaving out a unit never changes the
        value or all draws lie on one side of it. Low and high are NaN when the value is undefined or infinite, a sample
        has fewer than two units, more than 5 % of the draws are undefined, or the interval would not contain the value:
        then drawing documents distorts the metric more than chance does (a distance between two distributions that are
        nearly equal).
        """
        return _interval(self)


class _Form:
    """One metric over units, and its values on the resamples so far."""

    def __init__(self, statistic: Resampled, units: Units, draws: int) -> None:
        self._statistic = statistic
        self.of_counts = statistic.of_counts
        self.n_rows = statistic.n_rows
        self.units = units
        self.alone = len(statistic.rows) == len(units.names)
        self.constant = self.alone and self.n_rows == 1  # all documents are alike to the metric, and so are resamples
        self.values = np.empty(draws)
        self._rows = statistic.rows
        self.counted = self._from_units()

    def _from_units(self) -> Callable[[Floats], Floats]:
        """Counts of rows, shape (m, rows), from counts of units, shape (m, units)."""
        unit, row = self.units.of_documents, self._rows
        if self.n_rows <= _FEW_ROWS:
            members = np.zeros((len(self.units.names), self.n_rows))
            np.add.at(members, (unit, row), 1.0)
            return lambda counts: counts @ members
        # Documents in the order of their rows: the counts of a row are a sum over neighbouring columns.
        order = np.argsort(row, kind="stable")
        unit, row = unit[order], row[order]
        first = np.flatnonzero(np.diff(row, prepend=-1))
        present = row[first]

        def counted(counts: Floats) -> Floats:
            chosen = counts.take(unit, axis=1)
            summed = chosen if len(first) == len(row) else np.add.reduceat(chosen, first, axis=1)
            if len(present) == self.n_rows:
                return summed
            found = np.zeros((len(counts), self.n_rows))
            found[:, present] = summed
            return found

        return counted

    def drawn(self) -> Drawn:
        """What was found, and the value with each unit left out."""
        n_units = len(self.units.names)
        if self.constant:
            whole, fewer = self.of_counts(np.array([[n_units], [n_units - 1.0]]))
            self.values.fill(whole)
            return Drawn(float(whole), self.values, {self.units.key: np.full(n_units, fewer)})
        total = self.counted(np.ones((1, n_units)))
        # Units that are one document each are left out with the same effect where their documents lie in one row.
        left_out = self.n_rows if self.alone else n_units
        effects = np.empty(left_out)
        for at in _batches(left_out, max(left_out, self.n_rows)):
            one = np.equal.outer(np.arange(at.start, at.stop), np.arange(left_out)).astype(float)
            # Rows that only the other run of a pair has count 0 here: there is nothing to leave out.
            effects[at] = self.of_counts(np.maximum(total - (one if self.alone else self.counted(one)), 0.0))
        if self.alone:
            row_of_unit = np.empty(n_units, dtype=np.intp)
            row_of_unit[self.units.of_documents] = self._rows
            effects = effects[row_of_unit]
        return Drawn(self._statistic.point, self.values, {self.units.key: effects})


def draw(
    samples: Sequence[tuple[Units, Sequence[Resampled]]],
    *,
    draws: int = DRAWS,
    seed: int | Sequence[int] = SEED,
) -> list[list[Drawn]]:
    """Metrics on resamples of their units, and with each unit left out.

    Args:
        samples: sets of units, drawn independently of one another, each with the metrics of its documents, which are
            all evaluated on the same draws.
        draws: number of resamples.
        seed: seed of numpy's default generator; with a number the draws are those of ``scipy.stats.bootstrap``.

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> ((one,),) = draw([(Units.each(100), [resampled("acc", [1.0] * 60 + [0.0] * 40)])], draws=1000)
    >>> one.value, one.draws.shape, sorted(set(one.left_out[""].round(3).tolist()))
    (0.6, (1000,), [0.596, 0.606])
    """
    generator = np.random.default_rng(seed)
    kept = [{id(one): _Form(one, units, draws) for one in statistics} for units, statistics in samples]
    forms = [list(own.values()) for own in kept]
    sizes = [len(units.names) for units, _ in samples]
    kept_seed = seed if isinstance(seed, int) else tuple(seed)
    with np.errstate(all="ignore"):  # the interval looks for NaN
        for at in _batches(draws, sum(sizes)) if not all(one.constant for own in forms for one in own) else ():
            for size, own in zip(sizes, forms, strict=True):
                if len(sizes) == 1 and at == slice(0, draws) and draws * size <= _KEPT:
                    counts = _first_counts(kept_seed, draws, size)
                else:
                    counts = _counts(generator, at.stop - at.start, size)
                for one in own:
                    one.values[at] = one.of_counts(one.counted(counts))
        found = [{one: form.drawn() for one, form in own.items()} for own in kept]
    return [[own[id(one)] for one in statistics] for own, (_, statistics) in zip(found, samples, strict=True)]


def _counts(generator: np.random.Generator, draws: int, units: int) -> Floats:
    """How often each unit is drawn in each resample, shape (draws, units)."""
    drawn = generator.integers(0, units, (draws, units))
    drawn += np.arange(draws)[:, None] * units
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)


@lru_cache(maxsize=32)
def _first_counts(seed: int | tuple[int, ...], draws: int, units: int) -> Floats:
    """The first counts of a generator; runs on the same docs ask for them again and again."""
    counts = _counts(np.random.default_rng(seed), draws, units)
    counts.flags.writeable = False
    return counts


def _batches(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BATCH // max(1, columns))
    yield from (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def interval(statistic: Resampled, *, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The interval of one metric, each of whose documents is drawn alone.

    >>> from harness_ext.results.statistics.aggregations import resampled
    >>> found = interval(resampled("acc", [1.0] * 60 + [0.0] * 40), draws=999)
    >>> found.value, round(found.low, 2), round(found.high, 2), found.method
    (0.6, 0.51, 0.69, 'bca')
    """
    ((one,),) = draw([(Units.each(len(statistic)), [statistic])], draws=draws, seed=seed)
    return one.interval


def weighted(parts: Sequence[Drawn], weights: Sequence[float]) -> Drawn:
    """A weighted sum of numbers: a mean of tasks, or, with weights 1 and -1, the paired difference of two runs."""
    value = sum(weight * part.value for weight, part in zip(weights, parts, strict=True))
    # Leaving out a unit changes the parts that it belongs to; the others stay as they are.
    left_out: dict[str, Floats] = {}
    with np.errstate(invalid="ignore"):  # a difference of infinite values
        for weight, part in zip(weights, parts, strict=True):
            for key, values in part.left_out.items():
                left_out[key] = left_out.get(key, value) + weight * (values - part.value)
        draws = np.sum([weight * part.draws for weight, part in zip(weights, parts, strict=True)], axis=0)
    return Drawn(value, draws, left_out)


def _interval(one: Drawn) -> Interval:
    value, nan = one.value, float("nan")
    if not np.isfinite(value) or min(map(len, one.left_out.values())) < 2:
        return Interval(value, nan, nan, nan, "none", 0)
    defined = np.sort(one.draws)  # NaN comes last
    undefined = int(np.isnan(one.draws).sum())
    defined = defined[: len(defined) - undefined]
    if undefined > _MOST_UNDEFINED * len(one.draws):
        return Interval(value, nan, nan, nan, "none", undefined)
    with np.errstate(all="ignore"):
        stderr = float(defined.std(ddof=1))
        tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        ways: list[tuple[Method, tuple[float, ...]]] = [("percentile", tails)]
        if not undefined and stderr > 0:
            ways.insert(0, ("bca", _corrected(value, defined, one.left_out, tails)))
        for method, shares in ways:
            low, high = (_quantile(defined, share) for share in shares) if shares else (nan, nan)
            if low - _ROUNDING <= value <= high + _ROUNDING:  # false for NaN
                return Interval(value, low, high, stderr, method, undefined)
    return Interval(value, nan, nan, stderr, "none", undefined)


def _quantile(ordered: Floats, share: float) -> float:
    """Linear between neighbours, as numpy's quantile of values that are in order already."""
    place = share * (len(ordered) - 1)
    below = min(int(place), max(0, len(ordered) - 2))
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    return low + (high - low) * (place - below) if place > below else low


def _corrected(
    value: float, ordered: Floats, left_out: Mapping[str, Floats], tails: Sequence[float]
) -> tuple[float, ...]:
    """The shares of the draws between which a BCa interval lies (Efron 1987; several samples as scipy has them).

    None where they are undefined.
    """
    below = float(np.searchsorted(ordered, value, "left") + np.searchsorted(ordered, value, "right"))
    below /= 2 * len(ordered)
    if not 0 < below < 1:  # all draws lie on one side
        return ()
    bias = _NORMAL.inv_cdf(below)
    cubes = squares = 0.0
    for values in left_out.values():
        influence = (len(values) - 1) * (values.mean() - values) / len(values)
        square = influence * influence
        cubes += float(square @ influence)
        squares += float(square.sum())
    spread = 6 * squares**1.5
    if not 0 < spread < math.inf:  # no unit matters, or one is infinite or undefined
        return ()
    shifted = [bias + _NORMAL.inv_cdf(tail) for tail in tails]
    kept = [1 - cubes / spread * own for own in shifted]
    return tuple(_NORMAL.cdf(bias + own / left) for own, left in zip(shifted, kept, strict=True)) if all(kept) else ()
