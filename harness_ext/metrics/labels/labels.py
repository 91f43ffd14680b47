"""Classes, for `evaluate.load`; see :mod:`harness_ext.scoring.classification`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import datasets

from harness_ext.metrics import module
from harness_ext.scoring import agreement, classification

_SCORES = (
    classification.macro_f1,
    classification.weighted_f1,
    classification.macro_recall,
    classification.micro_f1,
)


class Labels(module.Module):
    """Accuracy, F1 and Cohen's kappa; an answer that is none of the ``labels`` is wrong, but no class of its own."""

    inputs: ClassVar = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str], labels: Sequence[str] | None = None
    ) -> dict[str, float]:
        known = sorted(set(references)) if labels is None else labels
        return {
            "accuracy": classification.accuracy(references, predictions),
            **{score.__name__: score(references, predictions, known) for score in _SCORES},
            "cohen_kappa": agreement.cohen_kappa(references, predictions),
        }
