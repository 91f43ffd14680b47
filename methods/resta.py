"""RESTA: add a safety vector to a fine-tuned model (arXiv 2402.11746)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from harness_ext.methods import deltas
from harness_ext.methods.deltas.merging import Delta, Inputs, Merge, masked
from harness_ext.methods.settings import DropRate, Finite, settings


@settings
class Config(Inputs):
    """Language Models are Homer Simpson! (arXiv 2402.11746), with base as the aligned model θ_A."""

    finetuned: str
    """Folder of the model θ_F that was fine-tuned from the base: a checkpoint or a LoRA adapter."""
    unaligned: str
    """Folder of the model θ_U that is the base without its alignment: a checkpoint or a LoRA adapter."""
    gamma: Finite
    """Factor of the safety vector θ_A - θ_U. The authors' value was not read: there is no default."""
    drop: DropRate | None = None
    """Probability with which an entry of θ_F - θ_A is dropped first (RESTA with DARE); none is dropped without it. The
    authors' value was not read; the default is ours."""
    seed: int = 0
    """Decides, with a tensor's name, what is dropped. Ours."""


def resta(delta: Any, safety_vector: Any, gamma: float) -> torch.Tensor:
    """The change δ + γ·v of an aligned model.

    Source: README of declare-lab/resta: the safety vector is the aligned minus the unaligned model.

    >>> resta([1.0, 0.0], [0.0, 2.0], gamma=0.5)
    tensor([1., 1.])
    """
    return deltas.task_arithmetic([delta, safety_vector], [1.0, gamma])


def apply(config: Config) -> Path:
    """Add the safety vector and return the output folder; raises as `Merge`."""

    def change(name: str, taus: list[Delta]) -> Iterator[torch.Tensor]:
        finetuned, unaligned = taus
        kept: Iterable[torch.Tensor] = finetuned
        if config.drop is not None:
            kept = masked(finetuned, name, config.seed, config.drop, rescale=True)
        for delta, harm in zip(kept, unaligned, strict=True):
            yield resta(delta, harm.neg_(), config.gamma)

    models = {"finetuned": config.finetuned, "unaligned": config.unaligned}
    return Merge("resta", config, models).write(change)
