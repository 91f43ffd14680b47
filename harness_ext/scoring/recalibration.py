"""Soft-label errors after a cross-fitted affine correction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled import Resampled, ratio
from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse
from harness_ext.scoring.soft_label_metrics import soft_label_pairs

Floats = npt.NDArray[np.float64]

_CONSTANT = 1e-15
"""Variance below which the predictions of a half do not vary but for rounding."""


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


def recalibrated(y: npt.ArrayLike, p: npt.ArrayLike, ids: npt.ArrayLike) -> dict[str, Resampled]:
    """The errors of :func:`recalibrate` on resamples, whose halves are those of the drawn items; arguments as there.

    NaN where a half is empty. The lines of each resample follow from sums over its items.

    >>> forms = recalibrated([0.2, 0.2, 0.8, 0.8], [0.6, 0.6, 0.9, 0.9], [1, 2, 3, 4])
    >>> round(forms["rmse_recal"].point, 9), forms["rmse_recal"](np.array([[0, 0, 2, 2]])).tolist()
    (0.0, [nan])
    """
    gold, predicted = soft_label_pairs(y, p)
    c = np.clip(predicted, 0, 1)
    even = np.asarray(ids).astype(int) % 2 == 0
    y_mean, c_mean = gold.mean(), c.mean()  # centred against cancellation

    def corrected(counts: Floats) -> Floats:
        """The corrected predictions in each resample, shape (draws, n)."""
        found = np.empty(counts.shape)
        u, v = c - c_mean, gold - y_mean
        for fold in (even, ~even):
            other = counts[:, ~fold]
            n, *sums = (other @ column[~fold] for column in (np.ones_like(u), u, v, u * u, u * v))
            with np.errstate(all="ignore"):
                mean_u, mean_v, mean_uu, mean_uv = (column / n for column in sums)
            variance = mean_uu - mean_u * mean_u
            slope = ratio(mean_uv - mean_u * mean_v, np.where(variance > _CONSTANT, variance, 0.0))
            start = y_mean + mean_v - slope * (mean_u + c_mean)
            found[:, fold] = np.clip(start[:, None] + slope[:, None] * c[fold], 0, 1)
        return found

    def errors(how: Literal["compat", "strict"] | None, power: int) -> Callable[[Floats], Floats]:
        def of_counts(counts: Floats) -> Floats:
            mine = corrected(counts)
            there = np.where(np.isnan(mine), 0.0, mine)
            missed = gold - there if how is None else bins(gold, how) - bins(there, how)
            mean = ratio((counts * np.abs(missed) ** power).sum(1), counts.sum(1), otherwise=np.nan)
            known = ~((counts > 0) & np.isnan(mine)).any(axis=1) & (counts[:, even].any(1) & counts[:, ~even].any(1))
            return np.where(known, mean ** (1 / power), np.nan)

        return of_counts

    ways = {
        "s_rmse_recal": errors("compat", 2),
        "s_mae_recal": errors("compat", 1),
        "s_rmse_9_recal": errors("strict", 2),
        "s_mae_9_recal": errors("strict", 1),
        "rmse_recal": errors(None, 2),
    }
    return {name: Resampled(np.arange(len(gold)), len(gold), of_counts) for name, of_counts in ways.items()}
