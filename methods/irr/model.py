"""IRR in a whole model: its layers are edited in order, each with the activations that the edits before it leave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from harness_ext.errors import InputError
from harness_ext.methods.irr.linear import Variant, check_settings, prune_delta
from harness_ext.methods.layers.decoder import Batch, DecoderLayers, States

TargetSet = Literal["lora", "full"]
TARGETS: dict[TargetSet, tuple[str, ...]] = {
    "lora": ("q_proj", "v_proj"),
    "full": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
"""The linears that are edited (source: ``IRR/llama.py`` of the released code, whose flag ``--true-sequential`` means
``lora``)."""


@dataclass(frozen=True)
class Pruning:
    """How every linear is pruned: the keywords of `irr_linear.prune_delta`, and what counts as calibration."""

    retain: float = 0.0
    block: int = 128
    recalibrate: bool = True
    variant: Variant = "irr"
    percdamp: float = 0.01
    include_padding: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that make no sense (InputError)."""
        check_settings(self.retain, self.block, self.variant, self.percdamp)


class Parts(NamedTuple):
    """What a linear's edit needs besides the fine-tuned weight, each of the weight's shape."""

    aligned: torch.Tensor
    safety_vector: torch.Tensor
    fisher: torch.Tensor


class Edit(NamedTuple):
    """What was done to one weight."""

    entries: int
    mismatched: int
    removed: int
    percdamp: float
    """What the factorisation took; above the setting when it had to be raised."""
    delta_norm: float
    """‖θ_F − θ_A‖ before."""
    kept_norm: float
    """‖W − θ_A‖ after."""


def realign(
    model: Any,
    base_state: Mapping[str, torch.Tensor],
    fisher: Mapping[str, torch.Tensor],
    safety_vector: Mapping[str, torch.Tensor],
    calib: Sequence[Batch],
    *,
    targets: TargetSet = "lora",
    retain: float = 0.0,
    block: int = 128,
    recalibrate: bool = True,
    variant: Variant = "irr",
    percdamp: float = 0.01,
    include_padding: bool = True,
    seed: int = 0,
) -> dict[str, Edit]:
    """Apply IRR to a fine-tuned model in memory, in place; `irr.apply` does the same from and to disk.

    Args:
        model: θ_F, a Hugging Face causal language model. The released code used eager attention; other
            implementations give padding positions other states.
        base_state: θ_A, name → tensor.
        fisher: `importance.diagonal_fisher` of θ_A on safe answers.
        safety_vector: θ_A − θ_U, name → tensor.
        calib: batches with ``input_ids`` and ``attention_mask``, each (rows, tokens).
        targets: which linears are edited, see `TARGETS`.
        retain: see `irr_linear.prune_delta`, as ``block``, ``recalibrate``, ``variant`` and ``percdamp``.
        include_padding: count padding positions in the Hessian, as the released code does.
        seed: of ``variant="random"``.

    Returns:
        weight name → what was done, for every edited weight; all other weights stay as they are.

    Raises:
        InputError: a target is missing in the model or in one of the three mappings, or a weight cannot be pruned;
            the sentence names it.

    Source: IRR (arXiv 2412.11041), ``IRR/llama.py`` of the released code.
    """
    pruning = Pruning(retain, block, recalibrate, variant, percdamp, include_padding, seed)
    layers = DecoderLayers(model)
    require_targets(layers, targets)
    sources = {"base_state": base_state, "fisher": fisher, "safety_vector": safety_vector}
    for index in range(len(layers)):
        for name in layers.linears(index, TARGETS[targets]):
            for what, mapping in sources.items():
                if name not in mapping:
                    raise InputError(f"{name}: missing in {what}")
    training = model.training
    model.eval()
    edits: dict[str, Edit] = {}
    states = [layers.embed(batch) for batch in calib]
    for index in range(len(layers)):
        for name, _, edit in realign_layer(
            layers,
            index,
            calib,
            states,
            lambda name: Parts(base_state[name], safety_vector[name], fisher[name]),
            TARGETS[targets],
            pruning,
        ):
            edits[name] = edit
        for number, batch in enumerate(calib):
            states[number] = layers.run(index, batch, states[number])
    model.train(training)
    return edits


def realign_layer(
    layers: DecoderLayers,
    index: int,
    calib: Sequence[Batch],
    states: States,
    parts_of: Callable[[str], Parts],
    parts: Sequence[str],
    pruning: Pruning,
    dtype_of: Callable[[str], torch.dtype] | None = None,
) -> Iterator[tuple[str, torch.Tensor, Edit]]:
    """Edit the target linears of one layer in place, after one pass that looks at the layer as it was.

    Args:
        layers: of the model, whose layer ``index`` holds θ_F.
        index: of the layer.
        calib: calibration batches.
        states: hidden states before the layer, one entry a batch.
        parts_of: weight name → what its edit needs.
        parts: last name parts of the targets.
        pruning: how.
        dtype_of: weight name → the type in which the weight will be stored; by default the model's own.

    Yields:
        weight name, new weight in its stored type, and what was done.
    """
    hessians = layers.hessians(index, calib, states, parts, include_padding=pruning.include_padding)
    for name, module in layers.linears(index, parts).items():
        weight = module.weight.data
        aligned, safety_vector, fisher = (part.to(weight.device) for part in parts_of(name))
        wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
        delta = weight.to(wide) - aligned.to(wide)
        try:
            pruned = prune_delta(
                delta,
                safety_vector,
                fisher,
                hessians[name],
                retain=pruning.retain,
                block=pruning.block,
                recalibrate=pruning.recalibrate,
                variant=pruning.variant,
                percdamp=pruning.percdamp,
                generator=torch.Generator().manual_seed(_seed(pruning.seed, name)),
            )
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        new = (aligned.to(wide) + pruned.delta).to(dtype_of(name) if dtype_of else weight.dtype)
        kept_norm = float((new.to(wide) - aligned.to(wide)).norm())
        weight.copy_(new)
        edit = Edit(weight.numel(), pruned.mismatched, pruned.removed, pruned.percdamp, float(delta.norm()), kept_norm)
        yield name, new, edit


def require_targets(layers: DecoderLayers, targets: TargetSet) -> None:
    """Refuse a model in which a target linear occurs in no layer."""
    if targets not in TARGETS:
        raise InputError(f"targets is {targets!r}: choose one of {', '.join(TARGETS)}")
    found = {name.split(".")[-2] for index in range(len(layers)) for name in layers.linears(index, TARGETS[targets])}
    missing = [part for part in TARGETS[targets] if part not in found]
    if missing:
        raise InputError(
            f"{type(layers.model).__name__} has no linear layer named {', '.join(missing)}; targets={targets} needs "
            "them in its decoder layers"
        )


def _seed(seed: int, name: str) -> int:
    """One seed a tensor, whatever the order in which tensors are visited."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
