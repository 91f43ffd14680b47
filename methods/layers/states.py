"""Hidden states of a calibration set in a file, for models whose states do not fit in memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch


class StoredStates:
    """Hidden states of all calibration sequences in a file that is mapped: the system may drop it from memory.

    Args:
        file: is made in full size if it is not there, so that a full disk is noticed at once.
        shape: (sequences, tokens, hidden).
        batch_size: sequences of a batch.
        device: of the tensors that are handed out.
    """

    def __init__(self, file: Path, shape: tuple[int, int, int], batch_size: int, device: torch.device) -> None:
        size = 4 * int(np.prod(shape))
        with file.open("ab") as stream:
            if stream.tell() != size:
                stream.truncate(size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), 0, size)
        self._map = np.memmap(file, dtype=np.float32, mode="r+", shape=shape)
        self._batch_size, self._device = batch_size, device

    def __getitem__(self, batch: int, /) -> torch.Tensor:
        """A copy of a batch's states."""
        return torch.from_numpy(np.array(self._map[self._rows(batch)])).to(self._device)

    def __setitem__(self, batch: int, states: torch.Tensor, /) -> None:
        """Store a batch's states."""
        self._map[self._rows(batch)] = states.float().cpu().numpy()

    def flush(self) -> None:
        """Have the system write everything."""
        self._map.flush()

    def _rows(self, batch: int) -> slice:
        return slice(batch * self._batch_size, (batch + 1) * self._batch_size)
