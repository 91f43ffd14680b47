"""Soft-label errors after a cross-fitted affine correction."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.segments import segmented_mae, segmented_rmse
from harness_ext.scoring.soft_label_metrics import soft_label_pairs

Floats = npt.NDArray[np.float64]


class Line(TypedDict):
    """Intercept and slope of ``y ~ a + b c``."""

    a: float
    b: float


class RecalibratedMetrics(TypedDict):
    """What :func:`recalibrate` returns."""

    s_rmse_recal: float
    s_mae_recal: float
    s_rmse_9_recal: float
    s_mae_9_recal: float
    rmse_recal: float
    coef: dict[str, Line]


def _least_squares(c: Floats, y: Floats) -> Line:
    variance = c.var()
    # The variance of a constant can be rounding noise; dividing by it would invent a slope.
    constant = np.ptp(c) == 0 or variance == 0
    slope = 0.0 if constant else float(np.mean((c - c.mean()) * (y - y.mean())) / variance)
    return Line(a=float(y.mean() - slope * c.mean()), b=slope)


def recalibrate(y: npt.ArrayLike, p: npt.ArrayLike, ids: npt.ArrayLike) -> RecalibratedMetrics:
    """Errors after an affine correction learnt on the other half of the items: separates shifted from uninformed.

    The items with even ids are corrected by the least-squares line ``y ~ a + b c`` of those with odd ids and the other
    way round (c: predictions clipped to [0, 1]), clipped again and pooled.

    Args:
        y: gold soft labels in [0, 1], shape (n,).
        p: predicted soft labels, shape (n,).
        ids: whole numbers, shape (n,), with at least one even and one odd.

    Returns:
        The errors, and under ``coef`` the two lines. A constant predictor gets slope 0 and the mean of the other half.

    Raises:
        ValueError: shapes differ, a half is empty, a value is NaN, or a gold label lies outside [0, 1].

    >>> values = recalibrate([0.2, 0.2, 0.8, 0.8], [0.6, 0.6, 0.9, 0.9], [1, 2, 3, 4])
    >>> round(values["rmse_recal"], 9), round(values["coef"]["applied_to_even_ids"]["b"], 9)
    (0.0, 2.0)
    """
    gold, predicted = soft_label_pairs(y, p)
    c = np.clip(predicted, 0, 1)
    even = np.asarray(ids).astype(int) % 2 == 0
    if even.shape != gold.shape or even.all() or not even.any():
        raise ValueError(f"ids must be {gold.size} whole numbers with at least one even and one odd")
    corrected, lines = np.empty_like(gold), {}
    for name, fold in (("applied_to_even_ids", even), ("applied_to_odd_ids", ~even)):
        line = lines[name] = _least_squares(c[~fold], gold[~fold])
        corrected[fold] = np.clip(line["a"] + line["b"] * c[fold], 0, 1)
    return RecalibratedMetrics(
        s_rmse_recal=segmented_rmse(gold, corrected, "compat"),
        s_mae_recal=segmented_mae(gold, corrected, "compat"),
        s_rmse_9_recal=segmented_rmse(gold, corrected),
        s_mae_9_recal=segmented_mae(gold, corrected),
        rmse_recal=float(np.sqrt(np.mean((gold - corrected) ** 2))),
        coef=lines,
    )
