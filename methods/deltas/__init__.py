"""Task vectors (a model minus its base): arithmetic, thresholds and masks, for whole tensors and for pieces of them.

peft's ``merge_utils`` define task arithmetic and TIES (per tensor), and these functions agree with them to the last
bit up to four models. They are not called here because from five models on the last bit of their sums depends on where
an entry stands in its tensor, and a streamed merge must not depend on how it is cut; sums here run in the order of the
models, everywhere. Arrays may be numpy or torch, in float32 or float64; results are torch tensors.
:mod:`harness_ext.methods.deltas.merging` applies them to checkpoints.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint as open_checkpoint
from harness_ext.methods.checkpoints.write import write_checkpoint as write_checkpoint

Elect = Literal["total", "frequency"]
"""Whether a sign is elected by the sum of the values or by the number of the signs."""

_DRAWS = 8
"""Single-precision draws that one step of the counter of a mask's generator gives."""
_DIGIT = 16
"""Bits of a magnitude that one pass settles."""
_PIECE = 2**20
"""Entries that are looked at together."""


def task_arithmetic(taus: Sequence[Any], weights: Sequence[float]) -> torch.Tensor:
    """The weighted sum of task vectors.

    Raises:
        InputError: there is not one weight a task vector, or shapes differ.

    Source: Editing Models with Task Arithmetic (arXiv 2212.04089); peft's ``task_arithmetic``.

    >>> task_arithmetic([[1.0, 2.0], [3.0, -4.0]], [1.0, 0.5])
    tensor([2.5000, 0.0000])
    """
    tensors = _tensors(taus, weights)
    total = tensors[0] * float(weights[0])
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total += tensor * float(weight)
    return total


def trim(tau: Any, density: float) -> torch.Tensor:
    """Keep the ``int(density · n)`` entries of the largest magnitude and set the others to zero.

    Of entries with the same magnitude the earlier ones (row by row) are kept.

    Raises:
        InputError: ``density`` is outside [0, 1].

    Source: TIES-Merging (arXiv 2306.01708), section 4.1; peft's ``magnitude_based_pruning``.

    >>> trim([1.0, -3.0, 1.0, 2.0], density=0.75)
    tensor([ 1., -3.,  0.,  2.])
    """
    tensor = torch.as_tensor(tau)
    return next(trimmed([tensor], density, tensor.numel()))


def trimmed(chunks: Iterable[torch.Tensor], density: float, entries: int) -> Iterator[torch.Tensor]:
    """Trim a tensor that comes in pieces, as :func:`trim` does the whole one; ``chunks`` is iterated several times."""
    check_share(density, "density")
    threshold, ties_left = select(chunks, int(density * entries))
    for chunk in chunks:
        kept = above(chunk, threshold)
        if threshold:
            equal = (kept.abs() == threshold).flatten()
            here = int(equal.sum())
            if here > ties_left:
                kept.view(-1)[equal.nonzero().flatten()[ties_left:]] = 0.0
            ties_left -= min(here, ties_left)
        yield kept


def ties(taus: Sequence[Any], weights: Sequence[float], density: float, elect: Elect = "total") -> torch.Tensor:
    """Trim each task vector of one tensor, elect a sign for every entry, and average what agrees with it.

    Args:
        taus: task vectors of one shape.
        weights: enter after the election, and not into the number that is divided by.
        density: share of entries that each task vector keeps, from 0 to 1.
        elect: see :func:`elected_signs`.

    Raises:
        InputError: there is not one weight a task vector, shapes differ, or ``density`` is outside [0, 1].

    Source: TIES-Merging (arXiv 2306.01708), trimming per tensor as in peft's ``ties``.

    >>> ties([[2.0, -1.0], [4.0, 3.0]], [1.0, 1.0], density=1.0)
    tensor([3., 3.])
    """
    kept = [trim(tau, density) for tau in _tensors(taus, weights)]
    return elected_mean(kept, weights, elect)


def ties_global(
    taus: Sequence[Mapping[str, Any]],
    weights: Sequence[float] | None,
    density: float,
    elect: Elect = "total",
    compat: Literal["mergelm"] | None = None,
) -> dict[str, torch.Tensor]:
    """TIES with one threshold a task vector over all of its tensors, as the paper formulates it.

    Args:
        taus: task vectors: name of a tensor → values.
        weights: one a task vector; ``None`` for all 1.
        density: share of all entries that each task vector keeps (more if magnitudes are equal), from 0 to 1.
        elect: see :func:`elected_signs`.
        compat: ``"mergelm"`` repeats MergeLM: one or two more entries are kept, and an entry whose sum is 0 gets the
            sign of the majority of all entries. It knows no weights.

    Raises:
        InputError: numbers, names or shapes disagree, ``density`` is outside [0, 1], or ``compat`` is combined with
            weights or ``elect``.

    Source: TIES-Merging (arXiv 2306.01708); yule-BUAA/MergeLM, commit 6d49ad9.
    """
    weights = [1.0] * len(taus) if weights is None else weights
    check_compat(compat, weights, elect)
    names = sorted(taus[0]) if taus else []
    if any(sorted(tau) != names for tau in taus):
        raise InputError("the task vectors do not have the same tensors.")
    vectors = [{name: torch.as_tensor(tau[name]) for name in names} for tau in taus]
    kept = []
    for vector in vectors:
        threshold = global_threshold(vector.values(), density, compat)
        kept.append({name: above(tau, threshold) for name, tau in vector.items()})
    pieces = {name: _tensors([vector[name] for vector in kept], weights) for name in names}
    majority = majority_sign(pieces.values()) if compat == "mergelm" else None
    return {name: elected_mean(own, weights, elect, majority) for name, own in pieces.items()}


def global_threshold(chunks: Iterable[torch.Tensor], density: float, compat: Literal["mergelm"] | None = None) -> float:
    """The magnitude from which on entries of a whole task vector are kept; ``chunks`` is iterated several times."""
    check_share(density, "density")
    entries = sum(chunk.numel() for chunk in chunks)
    if compat == "mergelm":  # the int(n·(1 − density))-th smallest magnitude, itself kept
        dropped = int(entries * (1 - density))
        return magnitude_threshold(chunks, entries - dropped + 1) if dropped else 0.0
    return magnitude_threshold(chunks, int(density * entries))


def above(tau: torch.Tensor, threshold: float) -> torch.Tensor:
    """Set entries below a magnitude to zero."""
    below = torch.nextafter(torch.tensor(threshold, dtype=tau.dtype), torch.tensor(-math.inf, dtype=tau.dtype))
    return torch.nn.functional.hardshrink(tau, float(below))  # keeps what is beyond, in one pass


def elected_signs(taus: Sequence[torch.Tensor], elect: Elect = "total", majority: float | None = None) -> torch.Tensor:
    """The sign (+1 or -1) that each entry's values elect; a tie elects + or, if given, ``majority``.

    >>> elected_signs([torch.tensor([1.0, 1.0, 2.0]), torch.tensor([-3.0, 1.0, -2.0])])
    tensor([-1.,  1.,  1.])
    """
    total = _sums(taus, elect)
    if majority is None:
        return torch.ones_like(total).copysign_(total)  # a sum of 0 that starts from 0 is never -0
    return torch.where(total == 0, majority, total.sign())


def majority_sign(pieces: Iterable[Sequence[torch.Tensor]]) -> float:
    """The sign (+1, 0 or -1) that most of the entries elect, over pieces of all tensors."""
    balance = sum(float(_sums(taus, "total").sign().sum(dtype=torch.float64)) for taus in pieces)
    return (balance > 0) - (balance < 0)


def elected_mean(
    taus: Sequence[torch.Tensor], weights: Sequence[float], elect: Elect, majority: float | None = None
) -> torch.Tensor:
    """`disjoint_mean` with the signs that the values themselves elect."""
    return disjoint_mean(taus, weights, elected_signs(taus, elect, majority))


def disjoint_mean(taus: Sequence[torch.Tensor], weights: Sequence[float], signs: torch.Tensor) -> torch.Tensor:
    """The weighted sum of the values that have the elected sign, divided by their number (at least 1)."""
    total = torch.zeros_like(taus[0])
    count = torch.zeros_like(taus[0])
    for tau, weight in zip(taus, weights, strict=True):
        agreeing = (tau * signs).clamp_(min=0.0)  # the magnitude, or 0
        count += agreeing.sign()
        total += agreeing.mul_(signs).mul_(float(weight))
    return total.div_(count.clamp_(min=1.0))


def dare(tau: Any, keep: Any, drop: float, rescale: bool = True) -> torch.Tensor:
    """Drop entries of a task vector and rescale the others so that the expected value stays.

    Args:
        tau: task vector.
        keep: true or 1 where an entry is kept, of the same shape.
        drop: the probability with which entries were dropped, from 0 to below 1.
        rescale: divide by ``1 - drop``.

    Raises:
        InputError: ``drop`` is outside [0, 1), or shapes differ.

    Source: DARE, Language Models are Super Mario (arXiv 2311.03099).

    >>> dare([1.0, 2.0], [True, False], drop=0.5)
    tensor([2., 0.])
    """
    check_drop(drop)
    values, mask = torch.as_tensor(tau), torch.as_tensor(keep).bool()
    if values.shape != mask.shape:
        raise InputError(f"the mask has shape {tuple(mask.shape)}, the task vector {tuple(values.shape)}.")
    kept = values * mask
    return kept.div_(1 - drop) if rescale else kept


def dare_ties(
    taus: Sequence[Any], keeps: Sequence[Any], weights: Sequence[float], drop: float, elect: Elect = "total"
) -> torch.Tensor:
    """DARE on each task vector of one tensor, then TIES' election and mean, without trimming.

    Source: peft's ``dare_ties``; arguments as in :func:`dare` and :func:`ties`.

    >>> dare_ties([[2.0, -1.0], [4.0, 3.0]], [[1, 1], [1, 0]], [1.0, 1.0], drop=0.5)
    tensor([ 6., -2.])
    """
    tensors = _tensors(taus, weights)
    kept = [dare(tau, keep, drop) for tau, keep in zip(tensors, keeps, strict=True)]
    return elected_mean(kept, weights, elect)


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


def check_share(value: float, what: str) -> None:
    """Refuse what is no share.

    Raises:
        InputError: ``value`` is outside [0, 1] or no number.
    """
    if not 0 <= value <= 1:
        raise InputError(f"{what} is {value}. Give a number from 0 to 1.")


def check_drop(drop: float) -> None:
    """Refuse what is no rate of dropping.

    Raises:
        InputError: ``drop`` is outside [0, 1): at 1 nothing would be left to rescale.
    """
    if not 0 <= drop < 1:
        raise InputError(f"drop is {drop}. Give a number from 0 to below 1.")


def check_compat(compat: str | None, weights: Sequence[float], elect: Elect) -> None:
    """Refuse what MergeLM does not know.

    Raises:
        InputError: weights other than 1, or an election by frequency, with ``compat="mergelm"``.
    """
    if compat == "mergelm" and (any(weight != 1 for weight in weights) or elect != "total"):
        raise InputError("compat=mergelm knows neither weights nor elect=frequency. Leave all weights 1; use scale.")


def _sums(taus: Sequence[torch.Tensor], elect: Elect) -> torch.Tensor:
    total = torch.zeros_like(taus[0])
    for tau in taus:
        total += tau if elect == "total" else tau.sign()
    return total


def _tensors(taus: Sequence[Any], weights: Sequence[float]) -> list[torch.Tensor]:
    if not taus or len(taus) != len(weights):
        raise InputError(f"{len(taus)} task vectors and {len(weights)} weights: give one weight a task vector.")
    tensors = [torch.as_tensor(tau) for tau in taus]
    if any(tensor.shape != tensors[0].shape for tensor in tensors):
        raise InputError(f"task vectors of one tensor have shapes {[tuple(tensor.shape) for tensor in tensors]}.")
    return tensors
