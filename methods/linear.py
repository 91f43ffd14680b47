"""Linear: the weighted mean of models, also known as a model soup (arXiv 2203.05482)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness_ext.errors import InputError
from harness_ext.methods import deltas
from harness_ext.methods.deltas.merging import Merge, WeightedInputs
from harness_ext.methods.settings import settings


@settings
class Config(WeightedInputs):
    """Model soups (arXiv 2203.05482), Σ w·θ / Σ w; the base counts only if it is one of the models, too."""

    def __post_init__(self) -> None:
        """Refuse weights that have no mean."""
        super().__post_init__()
        for weights in (self.weights, *(self.weights_by_name or {}).values()):
            shares(weights)


def shares(weights: Sequence[float]) -> list[float]:
    """Weights divided by their sum.

    Raises:
        InputError: the sum is 0.

    >>> shares([1.0, 3.0])
    [0.25, 0.75]
    """
    if not sum(weights):
        raise InputError(f"the weights {list(weights)} add up to 0, and there is no mean. Give others.")
    return [weight / sum(weights) for weight in weights]


def apply(config: Config) -> Path:
    """Merge and return the output folder; raises as `Merge`."""
    return Merge("linear", config, config.by_role()).write(
        lambda name, taus: (
            deltas.task_arithmetic(pieces, shares(config.weights_of(name))) for pieces in zip(*taus, strict=True)
        )
    )
