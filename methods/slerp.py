"""SLERP: go from one model to another along the arc between their weights (Shoemake 1985)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness_ext.errors import InputError
from harness_ext.methods.deltas.merging import Delta, Merge, WeightedInputs
from harness_ext.methods.settings import settings

STRAIGHT = 0.9995
"""From this cosine on, tensors are interpolated along a straight line. Source: mergekit."""
_SHORT = 1e-8
"""A tensor of at most this norm has no direction. Source: mergekit."""


@settings
class Config(WeightedInputs):
    """Spherical interpolation of every tensor (Shoemake 1985, for models as in mergekit) between the base and the one
    model in ``models``, whose weight says how far to go: 0 is the base, 1 the model."""

    def __post_init__(self) -> None:
        """Refuse more than one model."""
        super().__post_init__()
        if len(self.models) != 1:
            raise InputError(f"there are {len(self.models)} models, but an arc goes from the base to one. Give one.")


def slerp(one: Any, other: Any, t: float) -> torch.Tensor:
    """The tensor that lies the share ``t`` of the way along the arc from ``one`` to ``other``.

    >>> slerp([1.0, 0.0], [0.0, 1.0], 0.5)
    tensor([0.7071, 0.7071])
    """
    one, other = torch.as_tensor(one), torch.as_tensor(other)
    a, b = factors(_products(one, other), t)
    return a * one + b * other


def factors(products: npt.ArrayLike, t: float) -> tuple[float, float]:
    """What two tensors are multiplied by, from their product, the square of the first and that of the second.

    >>> factors([0.0, 1.0, 1.0], 1 / 3)
    (0.8660253882408142, 0.5)
    """
    product, *squares = np.asarray(products).tolist()
    lengths = map(math.sqrt, squares)
    cosine = product / math.prod(length if length > _SHORT else 1.0 for length in lengths)
    if abs(cosine) > STRAIGHT:
        return 1 - t, t
    angle = math.acos(cosine)
    # In single precision: the sums' last bits may depend on how they were added up, and the result must not.
    a, b = (float(np.float32(math.sin(share * angle) / math.sin(angle))) for share in (1 - t, t))
    return a, b


def _products(one: torch.Tensor, other: torch.Tensor) -> npt.NDArray[np.float64]:
    pairs = ((one, other), (one, one), (other, other))
    return np.array([float((x.double() * y.double()).sum()) for x, y in pairs])


def apply(config: Config) -> Path:
    """Merge and return the output folder; raises as `Merge`."""

    def change(name: str, taus: list[Delta]) -> Iterator[torch.Tensor]:
        (tau,), (t,) = taus, config.weights_of(name)
        pieces = zip(tau.base_rows(), tau, strict=True)
        a, b = factors(sum((_products(base, base + delta) for base, delta in pieces), np.zeros(3)), t)
        for base, delta in zip(tau.base_rows(), tau, strict=True):
            yield delta.mul_(b).add_(base, alpha=a + b - 1)  # a·base + b·(base + delta), as a change of the base

    return Merge("slerp", config, config.by_role()).write(change)
