"""Soft-label errors of a run in which some answers could not be parsed."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse
from harness_ext.scoring.soft_label_metrics import soft_label_pairs

Floats = npt.NDArray[np.float64]


class FailureMetrics(TypedDict):
    """What :func:`with_failures` returns."""

    parse_failure: float
    n_parsed: int
    s_rmse: float
    s_rmse_9: float
    s_mae_9: float
    s_rmse_parsed: float
    s_mae_parsed: float
    s_rmse_worst: float
    s_mae_worst: float


def errors_of_parsed(y: Floats, p: Floats, failed: npt.NDArray[np.bool_]) -> Floats:
    """Strict segments between gold and prediction, NaN where the answer could not be parsed; all of shape (n,).

    >>> errors_of_parsed(np.array([0.0, 1.0]), np.array([0.125, 0.5]), np.array([False, True])).tolist()
    [1.0, nan]
    """
    return np.where(failed, np.nan, np.abs(bins(y) - bins(p)))


def errors_at_worst(y: Floats, p: Floats, failed: npt.NDArray[np.bool_]) -> Floats:
    """The same with failures at the far end of the scale.

    >>> errors_at_worst(np.array([0.0, 1.0]), np.array([0.125, 0.5]), np.array([False, True])).tolist()
    [1.0, 8.0]
    """
    return np.asarray(np.abs(bins(y) - bins(np.where(failed, np.where(y >= 0.5, 0.0, 1.0), p))), dtype=float)


def with_failures(y: npt.ArrayLike, p: npt.ArrayLike, failed: npt.ArrayLike) -> FailureMetrics:
    """S-metrics of a run in which some answers could not be parsed, under three readings of a failure.

    Args:
        y: gold soft labels in [0, 1], shape (n,).
        p: predicted soft labels, shape (n,); ignored (NaN allowed) where ``failed``.
        failed: truth values, shape (n,).

    Returns:
        ``parse_failure`` (share) and ``n_parsed``; ``s_rmse`` (released segments), ``s_rmse_9`` and ``s_mae_9`` with
        failures at 0.5, as in the paper; ``*_parsed`` over parsed answers only (NaN if there are none); ``*_worst``
        with failures at the far end of the scale. The last four use strict segments.

    Raises:
        ValueError: shapes differ, n is 0, a parsed prediction is NaN, or a gold label lies outside [0, 1].

    >>> values = with_failures([0.0, 1.0], [0.125, float("nan")], [False, True])
    >>> values["parse_failure"], values["s_mae_9"], values["s_mae_parsed"], values["s_mae_worst"]
    (0.5, 2.5, 1.0, 4.5)
    """
    gold, missing = np.asarray(y, dtype=float), np.asarray(failed, dtype=bool)
    if missing.shape != gold.shape:
        raise ValueError(f"failed must have the shape of y, {gold.shape}, not {missing.shape}")
    gold, filled = soft_label_pairs(gold, np.where(missing, 0.5, np.asarray(p, dtype=float)))
    clipped = np.clip(filled, 0, 1)
    parsed, worst = (errors(gold, filled, missing) for errors in (errors_of_parsed, errors_at_worst))
    return FailureMetrics(
        parse_failure=float(missing.mean()),
        n_parsed=int((~missing).sum()),
        s_rmse=segmented_rmse(gold, filled, "compat"),
        s_rmse_9=segmented_rmse(gold, clipped),
        s_mae_9=segmented_mae(gold, clipped),
        s_rmse_parsed=nanmean(parsed**2).then(np.sqrt).point,
        s_mae_parsed=nanmean(parsed).point,
        s_rmse_worst=nanmean(worst**2).then(np.sqrt).point,
        s_mae_worst=nanmean(worst).point,
    )
