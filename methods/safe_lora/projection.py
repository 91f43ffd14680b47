# ruff: noqa: N803, N806 (the letters of the paper)
"""Safe LoRA in one linear layer: how far an update leaves the direction of alignment, and its image on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch

from harness_ext.errors import InputError

Mode = Literal["threshold", "number"]

COSINE_DECIMALS = 5
"""Cosines are compared after rounding, as in the released code: near ties count as ties."""


def projection(V: torch.Tensor) -> torch.Tensor:
    """The map onto the direction of alignment, ``V Vᵀ / ‖V‖_F``.

    Not a projector in the strict sense: it grows with ‖V‖.

    Args:
        V: aligned minus unaligned weight of a linear layer, shape (rows, columns).

    Returns:
        Shape (rows, rows).

    Raises:
        InputError: V is no matrix, or is zero, so that there is no direction.

    Source: Safe LoRA (arXiv 2405.16833), the authors' code.

    >>> projection(torch.tensor([[3.0], [4.0]]))
    tensor([[1.8000, 2.4000],
            [2.4000, 3.2000]])
    """
    V = torch.as_tensor(V)
    if V.ndim != 2:
        raise InputError(f"an alignment direction has the shape {tuple(V.shape)}: only linear layers have one")
    norm = V.norm()
    if not bool(norm > 0):
        raise InputError("the aligned and the unaligned weight are equal (or not finite): there is no direction")
    return V @ V.T / norm


def lora_cosine(V: torch.Tensor, B: torch.Tensor, A: torch.Tensor) -> float:
    """Cosine between a LoRA update and its image under `projection`: low where it leaves the alignment.

    Args:
        V: as in `projection`.
        B: shape (rows, rank).
        A: shape (rank, columns).

    Returns:
        In [-1, 1], rounded to 5 decimals; an update of zero has 1.0, there is nothing to project.

    >>> lora_cosine(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0, 0.0]]))
    0.6
    """
    return delta_cosine(V, torch.as_tensor(B) @ torch.as_tensor(A))


def delta_cosine(V: torch.Tensor, D: torch.Tensor) -> float:
    """The same as `lora_cosine` for a full update D of shape (rows, columns).

    >>> delta_cosine(torch.eye(2), torch.ones(2, 2))
    1.0
    """
    V, D = torch.as_tensor(V), torch.as_tensor(D)
    if V.shape != D.shape:
        raise InputError(f"the alignment direction has the shape {tuple(V.shape)}, the update {tuple(D.shape)}")
    projected = (projection(V) @ D).flatten()
    if not bool(D.any()):
        return 1.0
    return round(float(torch.nn.functional.cosine_similarity(projected, D.flatten(), dim=0)), COSINE_DECIMALS)


def select(
    cosines: Mapping[str, float],
    *,
    mode: Mode = "threshold",
    threshold: float | None = None,
    num_layers: int | None = None,
) -> list[str]:
    """The modules to project, in the order given.

    Args:
        cosines: module → cosine.
        mode: ``"threshold"``: those with a cosine of at most ``threshold``; ``"number"``: the ``num_layers`` lowest,
            all that are equal to the last of them included, and all modules if there are fewer.
        threshold: for the first mode.
        num_layers: for the second mode.

    Raises:
        InputError: the mode's own setting is missing, or ``num_layers`` is below 1.

    >>> select({"q": 0.3, "k": 0.5, "v": 0.3}, mode="number", num_layers=1)
    ['q', 'v']
    """
    if mode not in get_args(Mode):
        raise InputError(f"select is {mode!r}: choose one of {', '.join(get_args(Mode))}")
    if mode == "number":
        if num_layers is None or num_layers < 1:
            raise InputError(f"num_layers is {num_layers}: select=number projects at least one module")
        threshold = sorted(cosines.values())[:num_layers][-1] if cosines else 0.0
    if threshold is None:
        raise InputError("select=threshold needs a threshold")
    return [name for name, cosine in cosines.items() if cosine <= threshold]
