"""Random masks that do not depend on how a tensor is cut, in which file it is, or on threads."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch

_DRAWS = 8
"""Single-precision draws that one step of the generator's counter gives."""


def keep_mask(seed: int, name: str, start: int, stop: int, drop: float) -> torch.Tensor:
    """Which entries of a tensor are kept, each with probability ``1 - drop``, as booleans.

    A counter-based generator (Philox) has its key from seed and name, and its counter from the place in the tensor.

    Args:
        seed: any integer.
        name: name of the tensor.
        start: first entry, counted row by row from the tensor's first entry.
        stop: behind the last entry.
        drop: share of entries that are dropped, from 0 to 1.

    >>> whole = keep_mask(0, "w", 0, 100, 0.5)
    >>> bool((keep_mask(0, "w", 37, 100, 0.5) == whole[37:]).all())
    True
    """
    return torch.from_numpy(uniform(seed, name, start, stop) < 1 - drop)


def uniform(seed: int, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
    """The numbers in [0, 1) that decide about a tensor's entries ``start`` to ``stop``, shape (stop - start,)."""
    key = int.from_bytes(hashlib.sha256(f"{seed}|{name}".encode()).digest()[:16], "little")
    bits = np.random.Philox(key=key)
    bits.advance(start // _DRAWS)
    before = start % _DRAWS
    draws = np.random.Generator(bits).random(before + stop - start, dtype=np.float32)
    return draws[before:]
