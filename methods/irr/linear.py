# ruff: noqa: N803 (the letters of the paper)
"""IRR in one linear layer: which entries of its delta interfere with safety, and how the others make up for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import torch

from harness_ext.errors import InputError

Variant = Literal["irr", "more", "no_sign", "random"]

ESCALATIONS = 3
"""How often the damping is raised tenfold before a layer is given up."""


class Pruned(NamedTuple):
    """What is left of one linear layer's delta, and what was done to it."""

    delta: torch.Tensor
    """The delta to add to the aligned weight, shape and dtype as given."""
    removed: int
    """Entries that were set to 0 by a mask."""
    mismatched: int
    """Entries whose sign differed from the safety vector's when their block was looked at; zeros count."""
    percdamp: float
    """The damping that the Cholesky factorisation succeeded with."""


def hessian(xs: Iterable[torch.Tensor]) -> torch.Tensor:
    """The Hessian of a linear layer's squared output error, ``(2 / n) Σ XᵀX`` over n sequences.

    Args:
        xs: inputs of the layer, one tensor (tokens, columns) a sequence; a tensor (n, tokens, columns) will do.

    Returns:
        Shape (columns, columns), float64 for float64 inputs and float32 otherwise.

    Raises:
        InputError: there is no sequence.

    Source: IRR (arXiv 2412.11041), ``IRR/sparsegpt.py`` of the released code.

    >>> hessian([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])])
    tensor([[10.,  2.],
            [ 2.,  4.]])
    """
    total: torch.Tensor | None = None
    count = 0
    for x in xs:
        x = _floating(x)
        total = x.T @ x if total is None else total.addmm_(x.T, x)
        count += 1
    if total is None:
        raise InputError("no calibration sequence: a layer's Hessian needs at least one")
    return total.mul_(2 / count)


def prune_delta(
    delta: torch.Tensor,
    safety_vector: torch.Tensor,
    fisher: torch.Tensor,
    H: torch.Tensor,
    *,
    retain: float = 0.0,
    block: int = 128,
    recalibrate: bool = True,
    variant: Variant = "irr",
    percdamp: float = 0.01,
    generator: torch.Generator | None = None,
) -> Pruned:
    """Remove the interfering entries of one linear layer's delta and let the others make up for the lost output.

    Going through the columns in blocks, entries whose sign differs from the safety vector's (sign(0) = 0, so zeros
    differ from everything but zeros that meet zeros) compete by their Fisher score: the share ``retain`` with the
    lowest score stays, the others become 0. The error that a removal makes is then spread over the columns behind it
    with the inverse Hessian, as in SparseGPT.

    Args:
        delta: θ_F − θ_A of a linear weight, shape (rows, columns).
        safety_vector: θ_A − θ_U, same shape.
        fisher: importance of θ_A's weights for safe answers, same shape.
        H: `hessian` of the layer's inputs, shape (columns, columns), not damped.
        retain: share of the competing entries that is kept, in [0, 1]; ``--sparsity`` in the released code.
        block: columns that are judged together.
        recalibrate: spread the error of removed entries.
        variant: ``"irr"``; ``"more"``: all entries compete, matching ones with their Fisher score negated;
            ``"no_sign"``: all entries compete by Fisher score; ``"random"``: a control, as many entries as ``"irr"``
            would remove from the block, drawn from all of the block.
        percdamp: share of the mean diagonal that is added to H; raised tenfold up to three times when H is still not
            positive definite.
        generator: source of ``"random"``.

    Raises:
        InputError: shapes or settings make no sense, an entry is not finite, or H cannot be factorised.

    Source: IRR (arXiv 2412.11041), ``IRR/sparsegpt.py`` of the released code; ``"random"`` is ours.

    >>> delta, safety = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    >>> prune_delta(delta, safety, torch.ones(2, 2), torch.eye(2)).delta
    tensor([[1., 0.],
            [3., 4.]])
    """
    check_settings(retain, block, variant, percdamp)
    d = _floating(delta).clone()
    v, f, h = (torch.as_tensor(t).to(device=d.device, dtype=d.dtype) for t in (safety_vector, fisher, H))
    _refuse_bad_tensors(d, v, f, h)
    columns = d.shape[1]
    d[:, h.diagonal() == 0] = 0  # a column that never gets input
    upper, damped_with = inverse_factor(h, percdamp)
    removed = mismatched = 0
    for start in range(0, columns, block):
        stop = min(start + block, columns)
        here = d[:, start:stop]
        mismatch = here.sign() != v[:, start:stop].sign()
        mask = _removal_mask(mismatch, f[:, start:stop], retain, variant, generator)
        removed += int(mask.sum())
        mismatched += int(mismatch.sum())
        if not recalibrate:
            here[mask] = 0
            continue
        errors = torch.zeros_like(here)
        for j in range(stop - start):
            column = here[:, j]
            kept = column.masked_fill(mask[:, j], 0)
            errors[:, j] = (column - kept) / upper[start + j, start + j]
            here[:, j + 1 :] -= torch.outer(errors[:, j], upper[start + j, start + j + 1 : stop])
            here[:, j] = kept
        d[:, stop:] -= errors @ upper[start:stop, stop:]
    return Pruned(d, removed, mismatched, damped_with)


def _removal_mask(
    mismatch: torch.Tensor, fisher: torch.Tensor, retain: float, variant: Variant, generator: torch.Generator | None
) -> torch.Tensor:
    if variant == "random":
        count = int(mismatch.sum())
        drawn = torch.randperm(mismatch.numel(), generator=generator)[: count - int(count * retain)]
        mask = torch.zeros(mismatch.numel(), dtype=torch.bool)
        mask[drawn] = True
        return mask.view_as(mismatch).to(mismatch.device)
    competing = mismatch if variant == "irr" else torch.ones_like(mismatch)
    score = torch.where(mismatch, fisher, -fisher) if variant == "more" else fisher
    candidates = competing.flatten().nonzero().flatten()  # in row-major order, which decides between equal scores
    order = score.flatten()[candidates].argsort(stable=True)
    mask = torch.zeros_like(mismatch).flatten()
    mask[candidates[order[int(len(candidates) * retain) :]]] = True
    return mask.view_as(mismatch)


def inverse_factor(H: torch.Tensor, percdamp: float) -> tuple[torch.Tensor, float]:
    """The upper Cholesky factor of the inverse of the damped Hessian, and the damping that it took.

    Raises:
        InputError: H stays indefinite although the damping was raised tenfold three times.

    >>> inverse_factor(torch.tensor([[4.0, 0.0], [0.0, 0.0]]), 1e-6)[0].diag()  # the dead column counts as 1
    tensor([0.5000, 1.0000])
    """
    h = H.clone()
    diagonal = h.diagonal()
    diagonal[diagonal == 0] = 1
    mean = float(diagonal.mean())
    for escalation in range(ESCALATIONS + 1):
        damping = percdamp * 10**escalation
        damped = h.clone()
        damped.diagonal().add_(damping * mean)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not int(failed) and bool(torch.isfinite(upper).all()):
                return upper, damping
    raise InputError(
        f"the Hessian is not positive definite, not even with percdamp {damping:g}; start from a larger percdamp"
    )


def _floating(x: torch.Tensor) -> torch.Tensor:
    x = torch.as_tensor(x)
    return x if x.dtype == torch.float64 else x.float()


def check_settings(retain: float, block: int, variant: Variant, percdamp: float) -> None:
    """Refuse settings of `prune_delta` that make no sense (InputError)."""
    if not 0 <= retain <= 1:
        raise InputError(f"retain is {retain}: it is a share, 0 to 1")
    if block < 1:
        raise InputError(f"block is {block}: a block has at least one column")
    if variant not in get_args(Variant):
        raise InputError(f"variant is {variant!r}: choose one of {', '.join(get_args(Variant))}")
    if not percdamp > 0:
        raise InputError(f"percdamp is {percdamp}: the Hessian needs some damping, > 0")


def _refuse_bad_tensors(d: torch.Tensor, v: torch.Tensor, f: torch.Tensor, h: torch.Tensor) -> None:
    if d.ndim != 2 or v.shape != d.shape or f.shape != d.shape or h.shape != (d.shape[1], d.shape[1]):
        shapes = ", ".join(str(tuple(t.shape)) for t in (d, v, f, h))
        raise InputError(
            f"delta, safety_vector, fisher, H have the shapes {shapes}; they must be (rows, columns) three times and "
            "(columns, columns)"
        )
    for name, tensor in (("delta", d), ("safety_vector", v), ("fisher", f), ("H", h)):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name} has an entry that is NaN or infinite")
