"""Are all numbers of a tensor finite? Asked before hours of work begin."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.read import Checkpoint, row_ranges


def refuse_non_finite(checkpoint: Checkpoint, names: Iterable[str]) -> None:
    """Read the tensors by rows.

    Raises:
        InputError: a tensor holds NaN or Inf; the sentence names it.
    """
    for name in names:
        for start, stop in row_ranges(checkpoint.shape(name)):
            if not bool(torch.isfinite(checkpoint.rows(name, start, stop)).all()):
                raise InputError(f"{name} of {checkpoint.path} holds NaN or Inf. Give an intact checkpoint.")
