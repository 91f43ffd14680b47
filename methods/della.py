"""DELLA: drop small entries of the task vectors more often than large ones, then merge (arXiv 2406.11617)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from harness_ext.errors import InputError
from harness_ext.methods import deltas
from harness_ext.methods.deltas.merging import Delta, Merge, WeightedInputs
from harness_ext.methods.settings import DropRate, Finite, Share, settings


@settings
class Config(WeightedInputs):
    """DELLA-Merging (arXiv 2406.11617): drop (MagPrune), elect signs, average what agrees."""

    drop: DropRate
    """Mean probability with which an entry is dropped, from 0 to below 1."""
    seed: int
    """Decides, with a tensor's name, what is dropped; the k-th model, counted from 0, uses seed + k."""
    window: Share = 0.14
    """Width of the probabilities of a row: its smallest entry is dropped with ``drop + window / 2``, its largest with
    ``drop - window / 2``. Source: the command in the authors' README."""
    rescale: bool = True
    """Divide what is kept by the probability of keeping it. Source: the paper."""
    elect: deltas.Elect = "total"
    """Elect a sign by the sum of the values or by the number of the signs. Source: the authors' code."""
    scale: Finite = 1.1
    """Factor of the merged change (λ). Source: the command in the authors' README."""

    def __post_init__(self) -> None:
        """Refuse probabilities that are none."""
        super().__post_init__()
        if self.drop - self.window / 2 < 0 or self.drop + self.window / 2 >= 1:
            raise InputError(f"drop {self.drop} with window {self.window} leaves 0 to 1. Give a smaller window.")


def keep_probabilities(tau: Any, drop: float, window: float) -> torch.Tensor:
    """The probability of keeping each entry of a task vector: it rises with the rank of its magnitude in its row.

    A tensor with one dimension is one row; entries of the same magnitude rank in their order.

    >>> keep_probabilities([[1.0, -3.0, 2.0]], drop=0.5, window=0.2)
    tensor([[0.4000, 0.6000, 0.5000]])
    """
    rows = torch.as_tensor(tau).abs()
    flat = rows.reshape(-1, rows.shape[-1]) if rows.ndim and rows.numel() else rows.reshape(1, -1)
    ranks = flat.argsort(dim=1, stable=True).argsort(dim=1).to(rows.dtype)
    share = ranks / (flat.shape[1] - 1) if flat.shape[1] > 1 else torch.full_like(ranks, 0.5)
    return (1 - drop - window / 2 + share * window).reshape(rows.shape)


def magprune(tau: Any, draws: Any, drop: float, window: float, rescale: bool = True) -> torch.Tensor:
    """A task vector of which those entries are kept whose draw in [0, 1) is below the probability of keeping them.

    >>> magprune([[1.0, -3.0, 2.0]], [[0.5, 0.5, 0.4]], drop=0.5, window=0.2)
    tensor([[ 0., -5.,  4.]])
    """
    values, probabilities = torch.as_tensor(tau), keep_probabilities(tau, drop, window)
    kept = values * (torch.as_tensor(draws) < probabilities)
    return kept / probabilities if rescale else kept


def apply(config: Config) -> Path:
    """Merge and return the output folder; raises as `Merge`."""

    def pruned(tau: Delta, seed: int) -> Iterator[torch.Tensor]:
        start = 0
        for rows in tau.whole_rows():
            draws = torch.from_numpy(deltas.uniform(seed, tau.name, start, start + rows.numel())).view(rows.shape)
            yield magprune(rows, draws, config.drop, config.window, config.rescale)
            start += rows.numel()

    def change(name: str, taus: list[Delta]) -> Iterator[torch.Tensor]:
        for pieces in zip(*(pruned(tau, config.seed + k) for k, tau in enumerate(taus)), strict=True):
            yield deltas.elected_mean(pieces, config.weights_of(name), config.elect)

    return Merge("della", config, config.by_role()).write(change, config.scale)
