"""Soft labels put into equal segments of [0, 1] and compared there: the S-metrics."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled.numbers import nanmean

Mode = Literal["compat", "strict"]

_EDGES = np.linspace(0.0, 1.0, 10)


def bins(values: npt.ArrayLike, mode: Mode = "strict") -> npt.NDArray[np.int64]:
    """Segment of each soft label among nine equal segments of [0, 1].

    Args:
        values: soft labels, any shape.
        mode: ``"compat"`` repeats the released code: 1.0 opens a tenth segment of its own (9) and values outside
            [0, 1] fall into -1 or 9; ``"strict"`` clips to 0..8, so 1.0 belongs to the last segment.

    Returns:
        Segment numbers, same shape as ``values``; -1..9 (compat) or 0..8 (strict).

    Source: MBTIBench (arXiv 2412.12510), released evaluation.

    >>> bins([0.0, 0.5, 0.875, 1.0], "compat").tolist()
    [0, 4, 7, 9]
    >>> bins([0.0, 0.5, 0.875, 1.0]).tolist()
    [0, 4, 7, 8]
    """
    segments = np.asarray(np.digitize(np.asarray(values, dtype=float), _EDGES) - 1, dtype=np.int64)
    return segments.clip(0, 8) if mode == "strict" else segments


def _segment_differences(gold: npt.ArrayLike, predicted: npt.ArrayLike, mode: Mode) -> npt.NDArray[np.int64]:
    y, p = np.asarray(gold, dtype=float), np.asarray(predicted, dtype=float)
    if y.shape != p.shape or y.ndim != 1 or y.size == 0:
        raise ValueError(f"gold and predicted must be equally long and not empty; shapes are {y.shape} and {p.shape}")
    if np.isnan(y).any() or np.isnan(p).any():
        raise ValueError("gold and predicted must not contain NaN")
    if ((y < 0) | (y > 1)).any():
        raise ValueError("gold soft labels must lie in [0, 1]")
    if mode == "strict" and ((p < 0) | (p > 1)).any():
        raise ValueError('predicted soft labels must lie in [0, 1]; clip them or use mode="compat"')
    return bins(y, mode) - bins(p, mode)


def segmented_rmse(gold: npt.ArrayLike, predicted: npt.ArrayLike, mode: Mode = "strict") -> float:
    """Root mean squared error between the segments that soft labels fall into (S-RMSE).

    Args:
        gold: soft labels in [0, 1], shape (n,).
        predicted: predicted soft labels, shape (n,); outside [0, 1] only with ``mode="compat"``.
        mode: ``"strict"`` puts 1.0 into the last segment; ``"compat"`` repeats the released code, where 1.0 opens a
            segment of its own.

    Returns:
        The error in segments, 0..8 (compat: 0..10); lower is better.

    Raises:
        ValueError: shapes differ, n is 0, a value is NaN, or a gold or strict prediction lies outside [0, 1].

    Source: MBTIBench (arXiv 2412.12510), repository README, "Result Summarization".

    >>> segmented_rmse([0.0, 1.0], [0.0, 0.5])
    2.8284271247461903
    >>> round(segmented_rmse([0.0, 1.0], [0.0, 0.5], mode="compat"), 4)
    3.5355
    """
    return nanmean(_segment_differences(gold, predicted, mode) ** 2).then(np.sqrt).point


def segmented_mae(gold: npt.ArrayLike, predicted: npt.ArrayLike, mode: Mode = "strict") -> float:
    """Mean absolute error between the segments that soft labels fall into (S-MAE).

    Arguments, range and errors are those of :func:`segmented_rmse`.

    Source: MBTIBench (arXiv 2412.12510), repository README, "Result Summarization".

    >>> segmented_mae([0.0, 1.0], [0.0, 0.5])
    2.0
    """
    return nanmean(np.abs(_segment_differences(gold, predicted, mode))).point
