"""LoRA extraction: the adapter of a given rank that comes closest to what a fine-tuning changed.

The difference of every linear is cut to its largest singular values (Eckart and Young 1936), and what the rank costs is
reported.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import ADAPTER, WEIGHTS
from harness_ext.methods.checkpoints.compatibility import Fit, differences, tokenizer_of
from harness_ext.methods.checkpoints.read import Checkpoint, Folder, row_ranges
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.tied import skeleton
from harness_ext.methods.checkpoints.work_folder import WorkFolder, work_folder, write_whole
from harness_ext.methods.checkpoints.write import check_out, write_adapter
from harness_ext.methods.layers.loading import best_device
from harness_ext.methods.settings import Count, settings


@settings
class Config(Fit):
    """The best approximation of a fine-tuning by a LoRA adapter (arXiv 2106.09685)."""

    base: str
    """Folder of the checkpoint that the adapter will be for."""
    model: str
    """Folder of the checkpoint that was made from it."""
    rank: Count
    """Rank of the adapter. The error falls with it; ``method.json`` has it for every linear and for all of them."""
    out: str
    """Folder to write: the adapter."""
    tokenizer_from: str = "base"
    """Whose tokenizer, chat template and special tokens go with the adapter: ``base``, whose own need no copy, or
    ``model``. Ours."""
    others: Literal["error", "leave"] = "error"
    """What to do about differences outside of linears (norms, embeddings, biases): refuse, or leave them out and count
    them into the error. Ours."""


def apply(config: Config) -> Path:
    """Write the adapter; a killed run goes on behind the last finished linear when it is called again.

    Returns:
        The folder ``config.out``.

    Raises:
        InputError: the models do not fit together or are equal, other tensors than linears differ, or ``out`` is taken.
        DataError: a file is broken.
    """
    check_out(None, config.out)
    base = Folder(config.base)
    model = config.matched(Folder(config.model), base)
    checkpoints = {"base": base, "model": model}
    tokenizer = tokenizer_of(config, checkpoints) if config.tokenizer_from != "base" else None
    record = Record("lora_extraction", config, checkpoints)
    record.notes |= differences({"model": model}, base)
    changed = {name: norm for name in base.names if (norm := _distance(model, base, name))}
    if not changed:
        raise InputError(f"{config.model} and {config.base} are equal: there is nothing to extract.")
    linears = _linears(base)
    left = sorted(set(changed) - set(linears))
    if left and config.others == "error":
        raise InputError(
            f"{left[0]} of {config.model} differs from {config.base}, but is no linear. Set others=leave to leave out "
            f"{len(left)} such tensors, {_share(changed, left):.1%} of the change."
        )
    names = [name for name in base.names if name in changed and name in linears]
    size = 4 * config.rank * sum(sum(base.shape(name)) for name in names)
    with work_folder(config.out, record.identity(), 2 * size) as work:
        for number, name in enumerate(tqdm(names, desc="Singular values", unit="tensor", disable=None)):
            if not work.finished(f"linear-{number:05}"):
                _decompose(work, f"linear-{number:05}", model.delta(base, name, 0, base.shape(name)[0]), config.rank)
        lost = {name: work.finished(f"linear-{number:05}")["lost"] for number, name in enumerate(names)}
        record.notes["error"] = _share(changed, left, lost)
        record.notes["left_out"] = left
        errors = {name: lost[name] / changed[name] for name in names}
        return write_adapter(
            _adapter(config, work, names, linears), config.out, {}, _facts(errors), record, tokenizer=tokenizer
        )


def factors(delta: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Factors (rows, rank) and (rank, columns) whose product is as close to a matrix as the rank allows.

    Returns:
        Both factors, and the norm of what they miss: the root of the squares of the singular values left out.

    >>> left, right, lost = factors(torch.diag(torch.tensor([4.0, 3.0])), rank=1)
    >>> (left @ right).tolist(), lost
    ([[4.0, 0.0], [0.0, 0.0]], 3.0)
    """
    u, values, v = torch.linalg.svd(delta.float(), full_matrices=False)
    kept = values.sqrt()[:rank]
    left, right = u[:, :rank] * kept, kept[:, None] * v[:rank]
    lacking = rank - len(kept)
    pad = torch.nn.functional.pad
    return pad(left, (0, lacking)), pad(right, (0, 0, 0, lacking)), float(values[rank:].double().norm())


def _decompose(work: WorkFolder, step: str, delta: torch.Tensor, rank: int) -> None:
    left, right, lost = factors(delta.to(best_device()), rank)
    work.finish(step, {"lost": lost}, {"left": left.cpu(), "right": right.cpu()})


def _distance(model: Checkpoint, base: Checkpoint, name: str) -> float:
    if not base.dtype(name).is_floating_point:
        return 0.0
    pieces = (model.delta(base, name, *rows).double() for rows in row_ranges(base.shape(name)))
    return math.sqrt(sum(float(piece.square().sum()) for piece in pieces))


def _linears(base: Checkpoint) -> dict[str, bool]:
    """Weights of a model's linears, and whether they are stored as (inputs, outputs)."""
    from transformers.pytorch_utils import Conv1D

    model = skeleton(base.path)
    if model is None:
        raise InputError(f"{base.path}: transformers has no class for it, which is asked for its linears.")
    return {
        f"{name}.weight": isinstance(module, Conv1D)
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and f"{name}.weight" not in model.all_tied_weights_keys
    }


def _share(changed: dict[str, float], left: list[str], lost: dict[str, float] | None = None) -> float:
    """What is missed, as a share of the change, both as norms over all tensors."""
    missed = [*(changed[name] for name in left), *(lost or {}).values()]
    return math.hypot(*missed) / math.hypot(*changed.values())


def _adapter(config: Config, work: WorkFolder, names: list[str], transposed: dict[str, bool]) -> Path:
    """Gather the factors of all linears in the folder of an adapter."""
    tensors: dict[str, torch.Tensor] = {}
    for number, name in enumerate(names):
        left, right = (work.read(f"linear-{number:05}", side) for side in ("left", "right"))
        a, b = (left.T, right.T) if transposed[name] else (right, left)
        tensors |= {f"{_prefix(name)}.lora_A.weight": a, f"{_prefix(name)}.lora_B.weight": b}
    adapter = work.folder / "adapter"
    adapter.mkdir(exist_ok=True)
    write_whole(adapter / WEIGHTS, tensors, {"format": "pt"})
    about = {
        "peft_type": "LORA",
        "base_model_name_or_path": config.base,
        "r": config.rank,
        "lora_alpha": config.rank,
        "target_modules": [name.removesuffix(".weight") for name in names],
        "fan_in_fan_out": any(transposed[name] for name in names),
        "bias": "none",
    }
    (adapter / ADAPTER).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return adapter


def _prefix(name: str) -> str:
    return f"base_model.model.{name.removesuffix('.weight')}"


def _facts(errors: dict[str, float]) -> dict[str, dict[str, float]]:
    return {f"{_prefix(name)}.lora_B.weight": {"error": error} for name, error in errors.items()}
