"""Soft labels over classes, for `evaluate.load`; see :mod:`harness_ext.scoring.class_soft_labels`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import datasets
import numpy as np

from harness_ext.metrics import module
from harness_ext.scoring.class_soft_labels import jensen_shannon, soft_brier, soft_cross_entropy, total_variation

_SCORES = (total_variation, jensen_shannon, soft_cross_entropy, soft_brier)


class ClassSoftLabels(module.Module):
    """Mean distances between predicted and gold distributions over the same classes, each a list with the sum 1."""

    inputs: ClassVar = dict.fromkeys(("predictions", "references"), datasets.Sequence(datasets.Value("float64")))

    def _compute(
        self, predictions: Sequence[Sequence[float]], references: Sequence[Sequence[float]]
    ) -> dict[str, float]:
        gold, predicted = np.array(references, dtype=float), np.array(predictions, dtype=float)
        return {score.__name__: float(score(gold, predicted).mean()) for score in _SCORES}
