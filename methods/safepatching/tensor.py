"""SafePatching in one tensor: which entries each of the two patches may change, and the patched tensor."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from harness_ext.errors import InputError

Mode = Literal["difference", "intersection", "all", "top"]
Pair = tuple[torch.Tensor, torch.Tensor]
"""Of the safety patch and of the over-safety patch."""


def patch_tensor(
    theta: torch.Tensor,
    delta_se: torch.Tensor,
    delta_osm: torch.Tensor,
    s_se: torch.Tensor,
    s_osm: torch.Tensor,
    keep_se: torch.Tensor | None,
    keep_osm: torch.Tensor | None,
    *,
    a: float,
    b: float,
    alpha: float,
    beta: float,
    mode: Mode = "difference",
) -> tuple[torch.Tensor, dict[str, int]]:
    """Add the safety patch and the over-safety patch to one tensor, each where it matters and the other does not.

    θ' = θ + α (B_SE ∧ D_SE) P_SE + β (B_OSM ∧ D_OSM) P_OSM, where D_SE are the ``int(a · numel)`` entries with the
    largest safety scores without the ``int(b · numel)`` entries with the largest over-safety scores, and D_OSM the
    other way round.

    Args:
        theta: the weight, any shape; numpy or torch, like all others.
        delta_se: P_SE, safety enhancement: the weights after gradient ascent on harmful answers minus ``theta``.
        delta_osm: P_OSM, over-safety mitigation: the same after gradient descent.
        s_se: importance scores of the first.
        s_osm: importance scores of the second.
        keep_se: random retention, True or 1 where an entry may be patched; None keeps all.
        keep_osm: the same for the second patch.
        a: share of entries, in [0, 1], that the first patch is interested in.
        b: the same for the second.
        alpha: weight of the first patch.
        beta: weight of the second.
        mode: which entries may be patched: ``"difference"``; ``"intersection"``, both patches on the entries that both
            are interested in; ``"all"``; ``"top"``, each on its own entries.

    Returns:
        The patched tensor, and counts: ``D_se`` and ``D_osm`` entries that may be patched, ``patched_se`` and
        ``patched_osm`` that were, ``intersection`` of the two interests, ``both`` entries patched twice.

    Raises:
        InputError: shapes differ or a share is outside [0, 1].

    Source: SafePatching (arXiv 2405.13820), second-hand; the top share is truncated as in alignment-attribution-code.

    >>> theta, scores = torch.zeros(4), torch.tensor([4.0, 3.0, 2.0, 1.0])
    >>> new, counts = patch_tensor(theta, torch.ones(4), -torch.ones(4), scores, scores.flip(0), None, None,
    ...                            a=0.75, b=0.5, alpha=1.0, beta=0.5)
    >>> new, counts["D_se"], counts["intersection"]
    (tensor([ 1.0000,  1.0000,  0.0000, -0.5000]), 2, 1)
    """
    theta, delta_se, delta_osm, s_se, s_osm = map(torch.as_tensor, (theta, delta_se, delta_osm, s_se, s_osm))
    top_se, top_osm = top_share(s_se, a), top_share(s_osm, b)
    for name, tensor in (("delta_se", delta_se), ("delta_osm", delta_osm), ("s_se", s_se), ("s_osm", s_osm)):
        if tensor.shape != theta.shape:
            raise InputError(f"{name} has the shape {tuple(tensor.shape)}, theta {tuple(theta.shape)}")
    d_se, d_osm = select(top_se, top_osm, mode)
    masks = _kept(d_se, keep_se), _kept(d_osm, keep_osm)
    return patched(theta, (delta_se, delta_osm), (alpha, beta), (d_se, d_osm), masks, top_se & top_osm)


def patched(
    theta: torch.Tensor, deltas: Pair, weights: tuple[float, float], allowed: Pair, masks: Pair, shared: torch.Tensor
) -> tuple[torch.Tensor, dict[str, int]]:
    """What `patch_tensor` returns: a new tensor with each patch where its mask is True, and the counts.

    >>> masks = torch.tensor([True, False]), torch.tensor([True, True])
    >>> patched(torch.zeros(2), (torch.ones(2), torch.ones(2)), (1, 2), masks, masks, masks[0])[0]
    tensor([3., 2.])
    """
    new = theta.clone()
    for delta, weight, mask in zip(deltas, weights, masks, strict=True):
        new[mask] += weight * delta[mask]
    counted = {"D_se": allowed[0], "D_osm": allowed[1], "patched_se": masks[0], "patched_osm": masks[1]}
    counted |= {"intersection": shared, "both": masks[0] & masks[1]}
    return new, {name: int(mask.sum()) for name, mask in counted.items()}


def filled_up(candidates: torch.Tensor, draws: torch.Tensor, p: float) -> torch.Tensor:
    """``candidates`` and so many entries beside them that ``int(p · numel)`` are marked: those with the lowest draws.

    >>> filled_up(torch.tensor([True, False, False, False]), torch.tensor([0.9, 0.5, 0.1, 0.7]), 0.5)
    tensor([ True, False,  True, False])
    """
    mask = candidates.flatten().clone()
    others = (~mask).nonzero().flatten()
    lacking = max(0, int(p * mask.numel()) - int(mask.sum()))
    mask[others[draws.flatten()[others].argsort(stable=True)[:lacking]]] = True
    return mask.view(candidates.shape)


def top_share(scores: torch.Tensor, share: float) -> torch.Tensor:
    """Mark the ``int(share · numel)`` largest scores; of equal ones those with the lower flat index.

    >>> top_share(torch.tensor([1.0, 2.0, 2.0, 0.0]), 0.25)
    tensor([False,  True, False, False])
    """
    if not 0 <= share <= 1:
        raise InputError(f"a share of {share} of the weights: it must be in 0 to 1")
    order = scores.flatten().argsort(descending=True, stable=True)
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[order[: int(share * scores.numel())]] = True
    return mask.view(scores.shape)


def select(top_se: torch.Tensor, top_osm: torch.Tensor, mode: Mode) -> tuple[torch.Tensor, torch.Tensor]:
    """The entries that each patch may change, given the entries that each is interested in.

    >>> select(torch.tensor([True, True, False]), torch.tensor([False, True, True]), "difference")
    (tensor([ True, False, False]), tensor([False, False,  True]))
    """
    if mode == "difference":
        return top_se & ~top_osm, top_osm & ~top_se
    if mode == "intersection":
        return top_se & top_osm, top_se & top_osm
    if mode == "all":
        return torch.ones_like(top_se), torch.ones_like(top_osm)
    if mode == "top":
        return top_se, top_osm
    raise InputError(f"mode is {mode!r}: choose one of {', '.join(get_args(Mode))}")


def _kept(candidates: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    if keep is None:
        return candidates
    mask = torch.as_tensor(keep).to(device=candidates.device, dtype=torch.bool)
    if mask.shape != candidates.shape:
        raise InputError(f"a keep mask has the shape {tuple(mask.shape)}, the weight {tuple(candidates.shape)}")
    return candidates & mask
