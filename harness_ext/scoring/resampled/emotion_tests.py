"""EQ-Bench, SECEU and ToMBench's means over groups, as functions of document counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness_ext.scoring.eqbench import DocItem
from harness_ext.scoring.resampled import numbers
from harness_ext.scoring.resampled.statistic import Floats, Resampled, from_sums, ratio
from harness_ext.scoring.seceu import PARSED_SHARE, eq_of
from harness_ext.scoring.tombench import GroupedItem

_NAN = float("nan")
_EQ_OF_0 = eq_of(0.0)
_EQ_SLOPE = eq_of(1.0) - _EQ_OF_0
"""The EQ is linear in the mean distance."""


def _features(items: Sequence[DocItem]) -> Floats:
    """(first score, first readable, revised score, revised readable, 1) of each document."""
    return np.column_stack([np.asarray(items, dtype=float), np.ones(len(items))])


def eqbench(items: Sequence[DocItem]) -> Resampled:
    """The better of the two means, chosen anew in every resample.

    >>> eqbench([(80.0, True, 60.0, True), (70.0, True, 88.0, True)]).point
    75.0
    """
    return from_sums(_features(items), lambda sums: np.maximum(sums[:, 0], sums[:, 2]) / sums[:, 4])


def percent_parseable(items: Sequence[DocItem]) -> Resampled:
    """Share of answers that could be read in the pass whose mean is the better one.

    >>> percent_parseable([(80.0, True, 60.0, True), (0.0, False, 10.0, True)]).point
    50.0
    """
    return from_sums(
        _features(items),
        lambda sums: 100.0 * np.where(sums[:, 2] > sums[:, 0], sums[:, 3], sums[:, 1]) / sums[:, 4],
    )


def seceu(items: Sequence[tuple[float, float]]) -> Resampled:
    """Mean distance of (distance, template) items; unreadable answers are left out."""
    return numbers.nanmean([distance for distance, _ in items])


def eq(items: Sequence[tuple[float, float]]) -> Resampled:
    """EQ of (distance, template) items; NaN where fewer than 90 % are readable.

    >>> eq([(2.79, 2.9), (2.79, 2.4)]).point
    100.0
    """
    distances = np.array([distance for distance, _ in items], dtype=float)
    read = ~np.isnan(distances)
    features = np.column_stack([np.where(read, distances, 0.0), read, np.ones(len(distances))])

    def value(sums: Floats) -> Floats:
        enough = sums[:, 1] >= PARSED_SHARE * sums[:, 2]
        mean = ratio(sums[:, 0], sums[:, 1], otherwise=_NAN)
        return np.where(enough, _EQ_OF_0 + _EQ_SLOPE * mean, _NAN)

    return from_sums(features, value)


pattern_r = numbers.pearson()
"""Correlation of the distances with people's; NaN where either is constant."""


def mean_over_groups(items: Sequence[GroupedItem]) -> Resampled:
    """Mean over the drawn groups of the mean of their documents.

    >>> mean_over_groups([("belief", 100.0), ("belief", 0.0), ("desire", 100.0)]).point
    75.0
    """
    names, group = np.unique([name for name, _ in items], return_inverse=True)
    member = np.eye(len(names))[group.reshape(-1)]
    scores = np.array([score for _, score in items], dtype=float)

    def value(sums: Floats) -> Floats:
        totals, sizes = np.split(sums, 2, axis=1)
        drawn: Floats = ratio(ratio(totals, sizes).sum(1), (sizes > 0).sum(1), otherwise=_NAN)
        return drawn

    return from_sums(np.column_stack([member * scores[:, None], member]), value)
