"""Forget quality of TOFU, for `evaluate.load`; see :mod:`harness_ext.scoring.unlearning`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import datasets

from harness_ext.metrics import module
from harness_ext.scoring import unlearning


class ForgetQuality(module.Module):
    """KS test between truth ratios of an unlearned model (predictions) and of a retain model (references)."""

    inputs: ClassVar = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        found = unlearning.forget_quality(predictions, references)
        return {"p": found.p, "D": found.D, "log10_p": found.log10_p}
