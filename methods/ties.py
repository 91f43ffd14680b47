"""TIES-Merging: trim each task vector, elect a sign for every entry, average what agrees (arXiv 2306.01708)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch

from harness_ext.errors import InputError
from harness_ext.methods import deltas
from harness_ext.methods.deltas.merging import Delta, Merge, WeightedInputs
from harness_ext.methods.settings import Finite, Share, settings


@settings
class Config(WeightedInputs):
    """TIES-Merging (arXiv 2306.01708)."""

    density: Share = 0.2
    """Share of the entries that a task vector keeps. Source: MergeLM's default mask rate of 0.8."""
    trim_scope: Literal["tensor", "global"] = "tensor"
    """Trim every tensor by itself (as peft), or by one threshold over the whole task vector (the paper's formulation).
    The default is ours: it needs one pass less."""
    elect: deltas.Elect = "total"
    """Elect a sign by the sum of the values or by the number of the signs. Source: the paper, peft's default."""
    scale: Finite = 1.0
    """Factor of the merged change (λ of the paper). The default is ours: no scaling."""
    compat: Literal["mergelm"] | None = None
    """Repeat MergeLM's rounding of the density and its election of ties; with trim_scope=global and weights of 1. Off
    by default, which is ours."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        super().__post_init__()
        deltas.check_compat(self.compat, [*self.weights, *sum((self.weights_by_name or {}).values(), ())], self.elect)
        if self.compat and self.trim_scope != "global":
            raise InputError("compat=mergelm trims whole task vectors. Set trim_scope=global.")


def apply(config: Config) -> Path:
    """Merge and return the output folder; raises as `Merge`."""
    merge = Merge("ties", config, config.by_role(), by_tensor=config.trim_scope == "tensor")
    trim = _by_tensor(config) if config.trim_scope == "tensor" else _by_vector(config, merge)
    majority = None
    if config.compat == "mergelm":
        pieces = itertools.chain.from_iterable(trim(merge.deltas(name)) for name in merge.names())
        majority = deltas.majority_sign(pieces)

    def change(name: str, taus: list[Delta]) -> Iterator[torch.Tensor]:
        for pieces in trim(taus):
            yield deltas.elected_mean(pieces, config.weights_of(name), config.elect, majority)

    return merge.write(change, config.scale)


_Trim = Callable[[list[Delta]], Iterator[tuple[torch.Tensor, ...]]]
"""Deltas of one tensor → their trimmed pieces, one of each model at a time."""


def _by_tensor(config: Config) -> _Trim:
    return lambda taus: zip(*(deltas.trimmed(tau, config.density, tau.entries) for tau in taus), strict=True)


def _by_vector(config: Config, merge: Merge) -> _Trim:
    thresholds = [
        deltas.global_threshold(_Whole(merge, number), config.density, config.compat)
        for number in range(len(config.models))
    ]

    def trim(taus: list[Delta]) -> Iterator[tuple[torch.Tensor, ...]]:
        for pieces in zip(*taus, strict=True):
            yield tuple(map(deltas.above, pieces, thresholds))

    return trim


class _Whole:
    """The whole task vector of one model, in pieces; can be iterated again and again."""

    def __init__(self, merge: Merge, number: int) -> None:
        self._merge, self._number = merge, number

    def __iter__(self) -> Iterator[torch.Tensor]:
        for name in self._merge.names():
            yield from self._merge.deltas(name)[self._number]
