"""Correlation and error of predicted real numbers.

An item of the ``agg_*`` functions is ``(gold, predicted)`` of one doc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled import CorpusMetric, Resampled, numbers

Floats = npt.NDArray[np.float64]
Item = tuple[float, float]


def _columns(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[Floats, Floats]:
    g, p = np.asarray(gold, dtype=float), np.asarray(predicted, dtype=float)
    if g.shape != p.shape or g.ndim != 1 or g.size == 0:
        raise ValueError(f"gold has shape {g.shape}, predicted {p.shape}: two equally long, non-empty lists are needed")
    return g, p


def pearson(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Pearson correlation x 100; 0.0 when either side is constant, never NaN.

    Raises:
        ValueError: the lists are empty or differ in length.

    Source: SemEval-2018 Task 1, official metric of the regression subtasks.

    >>> round(pearson([0.1, 0.2, 0.4], [0.1, 0.3, 0.3]), 4), pearson([0.1, 0.9], [0.5, 0.5])
    (75.5929, 0.0)
    """
    return agg_pearson(zip(*_columns(gold, predicted), strict=True))


def spearman(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Spearman rank correlation x 100, ties at their mean rank; 0.0 when either side is constant.

    Raises:
        ValueError: the lists are empty or differ in length.

    >>> round(spearman([0.1, 0.2, 0.9], [0.3, 0.3, 0.8]), 4)
    86.6025
    """
    return agg_spearman(zip(*_columns(gold, predicted), strict=True))


def mae(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Mean absolute error, in the unit of the numbers (not x 100).

    Raises:
        ValueError: the lists are empty or differ in length.

    >>> mae([0.0, 1.0], [0.5, 1.0])
    0.25
    """
    return agg_mae(zip(*_columns(gold, predicted), strict=True))


def _of_pairs(items: Sequence[Item], form: Callable[[Floats, Floats], Resampled]) -> Resampled:
    """The metric of the docs in which neither number is NaN."""
    gold, predicted = _columns([gold for gold, _ in items], [predicted for _, predicted in items])
    there = ~(np.isnan(gold) | np.isnan(predicted))
    return form(gold[there], predicted[there]).among(there)


@CorpusMetric
def agg_pearson(items: Sequence[Item]) -> Resampled:
    """Pearson correlation x 100 of (gold, predicted) items; errors as for :func:`pearson`.

    >>> agg_pearson([(0.1, 0.2), (0.9, 0.8)])
    100.0
    """
    return _of_pairs(items, lambda *columns: numbers.pearson(*columns, constant=0.0).then(lambda r: 100 * r))


@CorpusMetric
def agg_spearman(items: Sequence[Item]) -> Resampled:
    """Spearman correlation x 100 of (gold, predicted) items.

    >>> round(agg_spearman([(0.1, 0.2), (0.9, 0.8)]), 6)
    100.0
    """
    return _of_pairs(items, lambda *columns: numbers.spearman(*columns, constant=0.0).then(lambda r: 100 * r))


@CorpusMetric
def agg_mae(items: Sequence[Item]) -> Resampled:
    """Mean absolute error of (gold, predicted) items.

    >>> agg_mae([(0.0, 0.5), (1.0, 1.0)])
    0.25
    """
    return _of_pairs(items, lambda gold, predicted: numbers.nanmean(np.abs(gold - predicted)))
