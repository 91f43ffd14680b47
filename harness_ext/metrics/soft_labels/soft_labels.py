"""Soft labels of two poles, for `evaluate.load`; see :mod:`harness_ext.scoring.soft_label_metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import datasets

from harness_ext.metrics import module
from harness_ext.scoring.soft_label_metrics import FORMS, soft_label_pairs


class SoftLabels(module.Module):
    """Errors, correlations and polarisation of predicted soft labels in [0, 1]: S-RMSE, S-MAE, RMSE, CCC and so on."""

    inputs: ClassVar = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        gold, predicted = soft_label_pairs(references, predictions)
        return {name: float(form(gold, predicted).point) for name, form in FORMS.items()}
