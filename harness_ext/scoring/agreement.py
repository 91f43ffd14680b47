"""Agreement between annotators beyond chance: Fleiss' and Cohen's kappa, Krippendorff's alpha.

1 is perfect agreement, 0 what chance gives; where chance agreement is certain (a single category) the value is NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _category_counts(codes: npt.ArrayLike, k: int) -> Floats:
    """How many raters chose each category, per item; shape (n, k)."""
    table = np.asarray(codes)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"codes must have shape (items, raters) with at least two raters, not {table.shape}")
    if not np.isin(table, np.arange(k)).all():
        raise ValueError(f"codes must be whole numbers from 0 to {k - 1}")
    return np.asarray((table[:, :, None] == np.arange(k)).sum(axis=1), dtype=float)


def fleiss_kappa(codes: npt.ArrayLike, k: int) -> float:
    """Fleiss' kappa of several raters on unordered categories.

    Args:
        codes: categories 0..k-1, shape (items, raters), no gaps.
        k: number of categories.

    Returns:
        At most 1; NaN if only one category occurs.

    Raises:
        ValueError: fewer than two raters, or a code out of range.

    Source: Fleiss 1971.

    >>> round(fleiss_kappa([[0, 0, 1], [1, 1, 1], [0, 0, 0]], 2), 4)
    0.55
    """
    counts = _category_counts(codes, k)
    raters = counts[0].sum()
    observed = np.mean((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1)))
    chance = np.sum((counts.sum(axis=0) / counts.sum()) ** 2)
    return float((observed - chance) / (1 - chance)) if np.count_nonzero(counts.sum(axis=0)) > 1 else float("nan")


def _squared_difference(marginals: Floats, metric: str) -> Floats:
    """Squared difference of each pair of categories; shape (k, k)."""
    order = np.arange(len(marginals), dtype=float)
    if metric == "nominal":
        return np.asarray(order[:, None] != order[None, :], dtype=float)
    if metric == "interval":
        return np.asarray((order[:, None] - order[None, :]) ** 2)
    if metric == "ordinal":
        # Votes between the centres of two categories: those in between, and half of either end.
        centre = np.cumsum(marginals) - marginals / 2
        return np.asarray((centre[:, None] - centre[None, :]) ** 2)
    raise ValueError(f'metric must be "nominal", "interval" or "ordinal", not {metric!r}')


def krippendorff_alpha(codes: npt.ArrayLike, k: int, metric: Literal["nominal", "interval", "ordinal"]) -> float:
    """Krippendorff's alpha of several raters.

    Args:
        codes: categories 0..k-1, shape (items, raters), no gaps.
        k: number of categories; for ``"interval"`` and ``"ordinal"`` the codes are in order.
        metric: how far apart two categories are.

    Returns:
        At most 1; NaN if only one category occurs.

    Raises:
        ValueError: fewer than two raters, a code out of range, or an unknown metric.

    Source: Krippendorff, Content Analysis (4th edition, 2019), chapter 12.

    >>> round(krippendorff_alpha([[0, 0, 1], [1, 1, 1], [0, 0, 0]], 2, "nominal"), 4)
    0.6
    """
    counts = _category_counts(codes, k)
    raters = counts[0].sum()
    coincidences = (counts.T @ counts - np.diag(counts.sum(axis=0))) / (raters - 1)
    marginals = coincidences.sum(axis=0)
    difference = _squared_difference(marginals, metric)
    expected = float(marginals @ difference @ marginals / (marginals.sum() - 1))
    return 1 - float((coincidences * difference).sum()) / expected if expected > 0 else float("nan")


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Cohen's kappa of two raters on unordered categories.

    Args:
        a: labels of the first rater, length n > 0.
        b: labels of the second rater on the same items.

    Returns:
        -1..1; NaN if both use one and the same category only.

    Raises:
        ValueError: lengths differ or n is 0.

    Source: Cohen 1960.

    >>> cohen_kappa(["yes", "yes", "no", "no"], ["yes", "no", "no", "no"])
    0.5
    """
    if len(a) != len(b) or len(a) == 0:
        raise ValueError(f"both raters must label the same items, at least one; lengths are {len(a)} and {len(b)}")
    number: dict[Hashable, int] = {}
    first, second = (np.array([number.setdefault(label, len(number)) for label in labels]) for labels in (a, b))
    if len(number) == 1:
        return float("nan")
    shares = [np.bincount(codes, minlength=len(number)) / len(codes) for codes in (first, second)]
    chance = float(shares[0] @ shares[1])
    return (float(np.mean(first == second)) - chance) / (1 - chance)
