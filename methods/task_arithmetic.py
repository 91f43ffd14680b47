"""Task arithmetic: the base plus a weighted sum of what each model changed (arXiv 2212.04089)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods import deltas
from harness_ext.methods.deltas.merging import Merge, WeightedInputs
from harness_ext.methods.settings import settings


@settings
class Config(WeightedInputs):
    """Editing Models with Task Arithmetic (arXiv 2212.04089), θ + Σ λ·τ; a negative weight takes an ability away."""


def apply(config: Config) -> Path:
    """Merge and return the output folder; raises as `Merge`."""
    merge = Merge("task_arithmetic", config, config.by_role())
    return merge.write(
        lambda name, taus: (
            deltas.task_arithmetic(pieces, config.weights_of(name)) for pieces in zip(*taus, strict=True)
        )
    )
