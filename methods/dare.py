"""DARE: drop random entries of the task vectors, rescale the rest, then merge (arXiv 2311.03099)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from harness_ext.methods import deltas
from harness_ext.methods.deltas.merging import Delta, Merge, WeightedInputs, masked
from harness_ext.methods.settings import DropRate, settings


@settings
class Config(WeightedInputs):
    """Language Models are Super Mario (arXiv 2311.03099)."""

    drop: DropRate
    """Probability with which an entry is dropped, from 0 to below 1; the paper goes up to 0.9 and 0.99."""
    seed: int
    """Decides, with a tensor's name, what is dropped; the k-th model, counted from 0, uses seed + k."""
    rescale: bool = True
    """Divide what is kept by 1 - drop. Source: the paper."""
    merge: Literal["linear", "ties"] = "linear"
    """Add the task vectors up, or elect signs and average as TIES does (no trimming). Source: peft has both; the
    default is ours."""
    elect: deltas.Elect = "total"
    """With merge=ties: elect a sign by the sum of the values or by the number of the signs. Source: peft's default."""


def apply(config: Config) -> Path:
    """Merge and return the output folder; raises as `Merge`."""

    def change(name: str, taus: list[Delta]) -> Iterator[torch.Tensor]:
        kept = [masked(tau, name, config.seed + k, config.drop, config.rescale) for k, tau in enumerate(taus)]
        for pieces in zip(*kept, strict=True):
            if config.merge == "linear":
                yield deltas.task_arithmetic(pieces, config.weights_of(name))
            else:
                yield deltas.elected_mean(pieces, config.weights_of(name), config.elect)

    return Merge("dare", config, config.by_role()).write(change)
