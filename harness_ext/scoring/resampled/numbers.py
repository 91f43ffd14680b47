"""Means and correlations, as functions of how often each document counts; what several metrics share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled.statistic import (
    Floats,
    Integers,
    Resampled,
    distinct_rows,
    from_sums,
    incidence,
    ratio,
)

_NAN = float("nan")
_CONSTANT = 1e-13
"""Variance, in units of the whole sample's, below which a resample is constant but for rounding."""


def nanmean(values: npt.ArrayLike) -> Resampled:
    """Mean of one number a document without the NaNs; NaN where no number is left.

    >>> nanmean([1.0, float("nan"), 0.0]).point
    0.5
    """
    numbers = np.asarray(values, dtype=float)
    there = ~np.isnan(numbers)
    features = np.column_stack([np.where(there, numbers, 0.0), there])
    return from_sums(features, lambda sums: ratio(sums[:, 0], sums[:, 1], otherwise=_NAN))


class Moments:
    """Moments of two columns in a resample, from six sums; centred by the whole sample against cancellation.

    All are in units of the wider column's range, which ratios of them do not depend on.
    """

    def __init__(self, y: Floats, p: Floats) -> None:
        ranges = [float(np.ptp(column)) if column.size else 0.0 for column in (y, p)]
        self._scale = max(ranges) or 1.0
        # The mean of a constant can differ from it in the last digit.
        self._centres = [
            float(column.mean() if wide else column[:1].sum()) for column, wide in zip((y, p), ranges, strict=True)
        ]
        u, v = ((column - centre) / self._scale for column, centre in zip((y, p), self._centres, strict=True))
        self._constant = [_CONSTANT * float(np.mean(column**2)) if column.size else 0.0 for column in (u, v)]
        self.features = np.column_stack([np.ones(len(y)), u, v, u * u, v * v, u * v])

    def __call__(self, sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """(variance of y, variance of p, covariance, difference of means); a constant has variance exactly 0."""
        n, *rest = sums.T
        with np.errstate(invalid="ignore"):
            u, v, uu, vv, uv = (column / n for column in rest)
        var_u, var_v = (
            np.where(variance <= constant, 0.0, variance)
            for variance, constant in zip((uu - u * u, vv - v * v), self._constant, strict=True)
        )
        shift = (self._centres[0] - self._centres[1]) / self._scale + u - v
        size = sum(map(abs, self._centres)) / self._scale + 1
        return var_u, var_v, uv - u * v, np.where(np.abs(shift) < _CONSTANT * size, 0.0, shift)


def pearson(y: Floats, p: Floats, *, constant: float = _NAN) -> Resampled:
    """Pearson correlation of two columns of shape (n,); ``constant`` where either is constant.

    >>> round(pearson(np.array([0.1, 0.2, 0.4]), np.array([0.1, 0.3, 0.3])).point, 6)
    0.755929
    """
    moments = Moments(y, p)

    def value(sums: Floats) -> Floats:
        var_y, var_p, covariance, _ = moments(sums)
        return ratio(covariance, np.sqrt(var_y) * np.sqrt(var_p), otherwise=constant).clip(-1, 1)

    return from_sums(moments.features, value)


def distinct(y: Floats, p: Floats) -> tuple[Floats, Integers]:
    """The distinct pairs, shape (pairs, 2), and the place of every document's pair among them."""
    return distinct_rows(np.column_stack([y, p]))


def spearman(y: Floats, p: Floats, *, constant: float = _NAN) -> Resampled:
    """Spearman rank correlation, ties at their mean rank; arguments as for :func:`pearson`.

    The mean rank of a value in a resample follows from how often smaller values were drawn, so no draw is sorted.

    >>> round(spearman(np.array([0.1, 0.2, 0.9]), np.array([0.3, 0.3, 0.8])).point, 6)
    0.866025
    """
    pairs, rows = distinct(y, p)
    columns = [np.unique(pairs[:, side], return_inverse=True)[1].reshape(-1) for side in (0, 1)]
    belongs = [incidence(np.arange(len(pairs)), place, (len(pairs), place.max(initial=-1) + 1)) for place in columns]

    def of_counts(counts: Floats) -> Floats:
        half = counts.sum(1, keepdims=True) / 2
        product, squares = counts, 1.0
        for place, members in zip(columns, belongs, strict=True):
            drawn = counts @ members
            rank = np.cumsum(drawn, axis=1) - drawn / 2 - half  # minus the mean rank
            squares = squares * np.einsum("dv,dv,dv->d", drawn, rank, rank)
            product = product * rank[:, place]
        return ratio(product.sum(1), np.sqrt(squares), otherwise=constant).clip(-1, 1)

    return Resampled(rows, len(pairs), of_counts)
