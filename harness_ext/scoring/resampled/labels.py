"""F1 and recall over labels, from sums of per-document counts; what several metrics share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled.statistic import Floats, Resampled, from_sums, ratio

Score = Callable[[Floats, Floats, Floats], Floats]
"""Value, shape (draws,), from hits, predictions and gold occurrences of every label, each of shape (draws, labels)."""


def of_label_counts(hits: npt.ArrayLike, predicted: npt.ArrayLike, gold: npt.ArrayLike, score: Score) -> Resampled:
    """A metric of how often each document has each label right, predicted and gold, each of shape (n, labels).

    >>> of_label_counts([[1, 0], [0, 0]], [[1, 0], [1, 0]], [[1, 0], [0, 1]], macro_f1).point
    33.33333333333333
    """
    columns = [np.asarray(counts, dtype=float) for counts in (hits, predicted, gold)]
    return from_sums(np.hstack(columns), lambda sums: score(*np.split(sums, 3, axis=1)))


def f1(hits: Floats, predicted: Floats, gold: Floats) -> Floats:
    """F1 of each label, 0-100; 0 for a label with neither gold nor predictions."""
    return 100 * ratio(2 * hits, predicted + gold)


def mean_of_seen(per_label: Floats, predicted: Floats, gold: Floats) -> Floats:
    """Macro mean without the labels that have neither gold nor predictions in the resample; 0 without any."""
    seen = (predicted + gold) > 0
    return ratio((per_label * seen).sum(1), seen.sum(1))


def macro_f1(hits: Floats, predicted: Floats, gold: Floats) -> Floats:
    """Mean F1 of the labels seen, 0-100."""
    return mean_of_seen(f1(hits, predicted, gold), predicted, gold)
