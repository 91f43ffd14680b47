"""Eight-bit weights: what a method hid in small changes may come back when a model is quantised (arXiv 2410.16454)."""

from __future__ import annotations

from pathlib import Path

import torch

from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.write import check_out, write_checkpoint
from harness_ext.methods.settings import settings


@settings
class Config:
    """Every matrix is rounded to 8 bits and written in its own element type, so that any backend runs it."""

    model: str
    """Folder of the model."""
    out: str
    """Folder to write."""


def apply(config: Config) -> Path:
    """Round ``config.model`` and write it to ``config.out``; raises as `write_checkpoint`."""
    base = open_checkpoint(config.model)
    check_out(base, config.out)

    def edit(name: str) -> list[torch.Tensor] | None:
        return [rounded(base.tensor(name))] if len(base.shape(name)) == 2 else None

    return write_checkpoint(base, config.out, edit, Record("eight_bit", config, {"base": base}))


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """Each row on a grid of 255 values around 0, whose ends are the row's largest absolute value.

    >>> rounded(torch.tensor([[127.0, -3.4, 0.4], [0.0, 0.0, 0.0]])).tolist()
    [[127.0, -3.0, 0.0], [0.0, 0.0, 0.0]]
    """
    step = weight.float().abs().amax(1, keepdim=True) / 127
    return (weight / step.clamp(min=torch.finfo(torch.float32).tiny)).round().mul(step)
