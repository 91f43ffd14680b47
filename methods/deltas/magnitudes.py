"""The k-th largest magnitude of values that do not fit into memory, exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from harness_ext.errors import InputError

_DIGIT = 16
"""Bits that one pass settles."""
_PIECE = 2**20
"""Entries that are looked at together."""


def magnitude_threshold(tensors: Iterable[Any], keep: int) -> float:
    """The ``keep``-th largest magnitude of all entries of ``tensors``: that many have at least this magnitude.

    The bits of a non-negative floating-point number, read as an integer, order as the number does. Each pass over the
    values counts 16 of their bits in a histogram, from the highest on: two passes for float32 (and narrower types),
    four for float64, and half a megabyte of memory.

    Args:
        tensors: numpy or torch arrays of one element type; is iterated once a pass.
        keep: from 0 (the threshold is infinite) to the number of entries.

    Raises:
        InputError: there are fewer than ``keep`` entries.

    >>> magnitude_threshold([torch.tensor([3.0, -1.0]), torch.tensor([-2.0])], keep=2)
    2.0
    """
    return select(tensors, keep)[0]


def select(tensors: Iterable[Any], keep: int) -> tuple[float, int]:
    """The threshold of :func:`magnitude_threshold`, and how many entries of exactly this magnitude are to be kept.

    >>> select([torch.tensor([2.0, -1.0, 2.0, 2.0])], keep=2)
    (2.0, 2)
    """
    if keep == 0:
        return math.inf, 0
    first = next(iter(tensors), None)
    width = 64 if first is not None and torch.as_tensor(first).dtype == torch.float64 else 32
    known, left = 0, keep
    for shift in range(width - _DIGIT, -1, -_DIGIT):
        counts = torch.zeros(2**_DIGIT, dtype=torch.int64)
        for tensor in tensors:
            for piece in torch.as_tensor(tensor).flatten().split(_PIECE):
                _count(piece, width, shift, known, counts)
        at_least = counts.flip(0).cumsum(0)  # entries whose 16 bits are not below the highest, the second highest, …
        place = int(torch.searchsorted(at_least, left))
        if place == len(at_least):
            raise InputError(f"{keep} entries are to be kept, but there are only {int(at_least[-1])}.")
        left -= int(at_least[place - 1]) if place else 0
        known = known << _DIGIT | (2**_DIGIT - 1 - place)
    integer, real = (torch.int64, torch.float64) if width == 64 else (torch.int32, torch.float32)
    return torch.tensor(known, dtype=integer).view(real).item(), left


def _count(values: torch.Tensor, width: int, shift: int, known: int, counts: torch.Tensor) -> None:
    """Add to ``counts`` the 16 bits above ``shift`` of the magnitudes whose higher bits are ``known``."""
    if width == 64:
        bits = values.double().abs().view(torch.int64) >> shift
    else:
        bits = values.float().abs().view(torch.int32) >> shift
    if shift + _DIGIT < width:
        bits = bits[bits >> _DIGIT == known]
    counts += torch.bincount(bits & (2**_DIGIT - 1), minlength=2**_DIGIT)
