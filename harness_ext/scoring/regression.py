"""Correlation and error of predicted real numbers.

An item of the ``agg_*`` functions is ``(gold, predicted)`` of one doc.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import stats


def _columns(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
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
    g, p = _columns(gold, predicted)
    return 0.0 if np.ptp(g) == 0 or np.ptp(p) == 0 else float(100.0 * stats.pearsonr(g, p).statistic)


def spearman(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Spearman rank correlation x 100, ties at their mean rank; 0.0 when either side is constant.

    Raises:
        ValueError: the lists are empty or differ in length.

    >>> round(spearman([0.1, 0.2, 0.9], [0.3, 0.3, 0.8]), 4)
    86.6025
    """
    g, p = _columns(gold, predicted)
    return 0.0 if np.ptp(g) == 0 or np.ptp(p) == 0 else float(100.0 * stats.spearmanr(g, p).statistic)


def mae(gold: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Mean absolute error, in the unit of the numbers (not x 100).

    Raises:
        ValueError: the lists are empty or differ in length.

    >>> mae([0.0, 1.0], [0.5, 1.0])
    0.25
    """
    g, p = _columns(gold, predicted)
    return float(np.abs(g - p).mean())


def _split(items: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    rows = list(items)
    return [g for g, _ in rows], [p for _, p in rows]


def agg_pearson(items: Iterable[tuple[float, float]]) -> float:
    """Pearson correlation x 100 of (gold, predicted) items.

    >>> agg_pearson([(0.1, 0.2), (0.9, 0.8)])
    100.0
    """
    return pearson(*_split(items))


def agg_spearman(items: Iterable[tuple[float, float]]) -> float:
    """Spearman correlation x 100 of (gold, predicted) items.

    >>> round(agg_spearman([(0.1, 0.2), (0.9, 0.8)]), 6)
    100.0
    """
    return spearman(*_split(items))


def agg_mae(items: Iterable[tuple[float, float]]) -> float:
    """Mean absolute error of (gold, predicted) items.

    >>> agg_mae([(0.0, 0.5), (1.0, 1.0)])
    0.25
    """
    return mae(*_split(items))
