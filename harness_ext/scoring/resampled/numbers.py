"""Means, correlations and distances between gold and predicted numbers, as functions of document counts.

A document whose item holds a NaN counts for nothing, as in the aggregations of :mod:`harness_ext.scoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from harness_ext.scoring.resampled.statistic import Floats, Integers, Resampled, from_sums, incidence, ratio

Aggregation = Callable[[Sequence[Any]], float]
Factory = Callable[[Sequence[Any]], Resampled]
Pairs = Sequence[Sequence[float]]

_NAN = float("nan")
_CONSTANT = 1e-13
"""Variance, in units of the whole sample's, below which a resample is constant but for rounding."""


def nanmean(values: npt.ArrayLike) -> Resampled:
    """Mean of one number a document; NaN where no number is left.

    >>> nanmean([1.0, float("nan"), 0.0]).point
    0.5
    """
    numbers = np.asarray(values, dtype=float)
    there = ~np.isnan(numbers)
    features = np.column_stack([np.where(there, numbers, 0.0), there])
    return from_sums(features, lambda sums: ratio(sums[:, 0], sums[:, 1], otherwise=_NAN))


def mean(values: npt.ArrayLike) -> Resampled:
    """lm-eval's ``mean``: one NaN makes the mean NaN.

    >>> mean([1.0, 0.0]).point, mean([1.0, float("nan")]).point
    (0.5, nan)
    """
    numbers = np.asarray(values, dtype=float)
    missing = np.isnan(numbers)
    features = np.column_stack([np.where(missing, 0.0, numbers), missing, np.ones(len(numbers))])
    return from_sums(features, lambda sums: np.where(sums[:, 1] > 0, _NAN, sums[:, 0] / sums[:, 2]))


def mean_over_documents(aggregation: Aggregation) -> Factory:
    """The resampled form of a metric that averages a number per document: its value on that document alone."""
    return lambda items: nanmean([aggregation([item]) for item in items])


def root_mean_over_documents(aggregation: Aggregation) -> Factory:
    """The same for a root mean square."""
    return lambda items: _root(nanmean(np.array([aggregation([item]) for item in items]) ** 2))


def mean_over_first_rows(aggregation: Aggregation) -> Factory:
    """The resampled form of a mean over docs that were asked about in several rows, ``(doc, …)`` items.

    A doc's value counts where its first row is drawn, so rows of one doc must lie in one cluster to be drawn together.
    """

    def build(items: Sequence[Any]) -> Resampled:
        rows: dict[Any, list[int]] = {}
        for row, item in enumerate(items):
            rows.setdefault(item[0], []).append(row)
        values = np.full(len(items), _NAN)
        for own in rows.values():
            values[own[0]] = aggregation([items[row] for row in own])
        return nanmean(values)

    return build


def mean_error(error: Callable[[Floats, Floats], npt.NDArray[Any]]) -> Factory:
    """Mean of an error of each document; ``error`` takes gold and predictions, each of shape (n,)."""
    return lambda items: nanmean(_errors(items, error))


def root_mean_square_error(error: Callable[[Floats, Floats], npt.NDArray[Any]]) -> Factory:
    """Root of the mean of the squared errors."""
    return lambda items: _root(nanmean(_errors(items, error) ** 2))


def _errors(items: Pairs, error: Callable[[Floats, Floats], npt.NDArray[Any]]) -> Floats:
    y, p, there = _columns(items, clip=False)
    return np.where(there, np.abs(error(y, p)), _NAN)


def _root(squares: Resampled) -> Resampled:
    return Resampled(squares.rows, squares.n_rows, lambda counts: np.sqrt(squares.of_counts(counts)))


def _columns(items: Pairs, clip: bool) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Gold, predictions, and which documents have both; the others hold zeros."""
    y, p = np.array([(item[0], item[1]) for item in items], dtype=float).T
    there = ~(np.isnan(y) | np.isnan(p))
    y, p = np.where(there, y, 0.0), np.where(there, p, 0.0)
    return y, np.clip(p, 0, 1) if clip else p, there


def _distinct(items: Pairs, clip: bool) -> tuple[Floats, Integers]:
    """The distinct (gold, prediction, is there) and the row of every document among them."""
    pairs, rows = np.unique(np.column_stack(_columns(items, clip)).astype(float), axis=0, return_inverse=True)
    return pairs, rows.reshape(-1)


class _Moments:
    """Population moments of a resample from six sums; centred and scaled by the whole sample against cancellation."""

    def __init__(self, y: Floats, p: Floats, there: npt.NDArray[np.bool_]) -> None:
        self.y0, self.y1 = _centre_and_scale(y[there])
        self.p0, self.p1 = _centre_and_scale(p[there])
        u, v = (y - self.y0) / self.y1, (p - self.p0) / self.p1
        self.features = np.column_stack([there, u, v, u * u, v * v, u * v]) * there[:, None]

    def __call__(self, sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """(variance of y, variance of p, covariance, difference of means); a constant has variance exactly 0."""
        n, u, v, uu, vv, uv = sums.T
        with np.errstate(invalid="ignore"):
            u, v, uu, vv, uv = u / n, v / n, uu / n, vv / n, uv / n
        var_u, var_v = (np.where(x < _CONSTANT, 0.0, x) for x in (uu - u * u, vv - v * v))
        covariance = (uv - u * v) * self.y1 * self.p1
        shift = self.y0 - self.p0 + u * self.y1 - v * self.p1
        size = abs(self.y0) + abs(self.p0) + self.y1 + self.p1
        return (
            var_u * self.y1**2,
            var_v * self.p1**2,
            covariance,
            np.where(np.abs(shift) < _CONSTANT * size, 0.0, shift),
        )


def _centre_and_scale(values: Floats) -> tuple[float, float]:
    if not values.size or np.ptp(values) == 0:  # the std of a constant is rounding noise
        return (float(values[0]) if values.size else 0.0), 1.0
    return float(values.mean()), float(values.std())


def pearson(*, clip: bool = False, scale: float = 1.0, constant: float = _NAN) -> Factory:
    """Pearson correlation of ``(gold, predicted)`` items.

    Args:
        clip: clip the predictions to [0, 1] first.
        scale: factor on the correlation.
        constant: value where either side is constant.
    """

    def build(items: Pairs) -> Resampled:
        moments = _Moments(*_columns(items, clip))

        def value(sums: Floats) -> Floats:
            var_y, var_p, covariance, _ = moments(sums)
            return scale * ratio(covariance, np.sqrt(var_y * var_p), otherwise=constant / scale)

        return from_sums(moments.features, value)

    return build


def concordance(items: Pairs) -> Resampled:
    """Concordance correlation coefficient of ``(gold, predicted)`` items, predictions clipped to [0, 1]."""
    moments = _Moments(*_columns(items, clip=True))

    def value(sums: Floats) -> Floats:
        var_y, var_p, covariance, shift = moments(sums)
        return ratio(2 * covariance, var_y + var_p + shift**2, otherwise=_NAN)

    return from_sums(moments.features, value)


def variance_ratio(items: Pairs) -> Resampled:
    """Variance of the clipped predictions over that of the gold labels."""
    moments = _Moments(*_columns(items, clip=True))
    return from_sums(moments.features, lambda sums: ratio(moments(sums)[1], moments(sums)[0], otherwise=_NAN))


def spearman(*, clip: bool = False, scale: float = 1.0, constant: float = _NAN) -> Factory:
    """Spearman rank correlation of ``(gold, predicted)`` items; arguments as for :func:`pearson`.

    The mean rank of a value in a resample follows from how often smaller values were drawn, so no draw is sorted.
    """

    def build(items: Pairs) -> Resampled:
        pairs, rows = _distinct(items, clip)
        there = pairs[:, 2]
        columns = [np.unique(pairs[:, side], return_inverse=True)[1] for side in (0, 1)]
        belongs = [incidence(np.arange(len(pairs)), place, (len(pairs), place.max() + 1)) for place in columns]

        def of_counts(counts: Floats) -> Floats:
            counts = counts * there
            half = counts.sum(1, keepdims=True) / 2
            product, squares = counts, 1.0
            for place, members in zip(columns, belongs, strict=True):
                drawn = counts @ members
                rank = np.cumsum(drawn, axis=1) - drawn / 2 - half  # minus the mean rank; ties at their mean rank
                squares = squares * np.einsum("dv,dv,dv->d", drawn, rank, rank)
                product = product * rank[:, place]
            return scale * ratio(product.sum(1), np.sqrt(squares), otherwise=constant / scale)

        return Resampled(rows, len(pairs), of_counts)

    return build


def wasserstein(items: Pairs) -> Resampled:
    """Wasserstein-1 distance between the samples of gold labels and of clipped predictions.

    The area between the two distribution functions: after each distinct value, the number of gold labels minus the
    number of predictions up to it, which is linear in the counts.
    """
    pairs, rows = _distinct(items, clip=True)
    there = pairs[:, 2]
    values, place = np.unique(pairs[:, :2].T, return_inverse=True)
    row, sign = np.tile(np.arange(len(pairs)), 2), np.concatenate([there, -there])
    steps = sparse.csr_array((sign, (row, place.reshape(-1))), shape=(len(pairs), len(values)))

    def of_counts(counts: Floats) -> Floats:
        areas = np.abs(np.cumsum(counts @ steps, axis=1)[:, :-1]) @ np.diff(values)
        return ratio(areas, counts @ there, otherwise=_NAN)

    return Resampled(rows, len(pairs), of_counts)
