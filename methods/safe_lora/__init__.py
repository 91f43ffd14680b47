"""Safe LoRA: project the updates that leave the direction of alignment back onto it (arXiv 2405.16833).

The difference between an aligned model and the model it was aligned from is a direction in each linear layer. Where a
later fine-tuning's update is least similar to its own image in that direction, the image takes its place. No data and
no training are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import MergedAdapter
from harness_ext.methods.checkpoints.compatibility import matched
from harness_ext.methods.checkpoints.finite import refuse_non_finite
from harness_ext.methods.checkpoints.read import Checkpoint, open_checkpoint, row_ranges
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.write import check_out, write_checkpoint
from harness_ext.methods.checkpoints.write_adapter import check_adapter_out, write_adapter
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.layers.loading import empty_model
from harness_ext.methods.safe_lora.projection import Mode, delta_cosine, lora_cosine, projection, select

__all__ = ["Config", "apply", "delta_cosine", "lora_cosine", "projection", "select"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Safe LoRA (arXiv 2405.16833). Defaults marked "code" are those of the authors' configuration."""

    base: str
    """Folder of the model before it was aligned; for the variant ``full_delta`` any model of ``aligned`` that lost
    its safety."""
    aligned: str
    """Folder of the aligned model."""
    adapter: str
    """Folder of the LoRA adapter that was fine-tuned on ``aligned``; for ``full_delta`` also a whole model."""
    out: str
    """Folder to write: an adapter of ``aligned``, or for ``full_delta`` a model."""
    select: Mode = "number"
    """Which modules are projected: ``number``, those with the lowest cosines; ``threshold``, those with a cosine of at
    most ``threshold`` (code)."""
    num_layers: int = 10
    """How many modules ``select=number`` projects: equal cosines count once, fewer modules than this are all
    projected (code)."""
    threshold: float = 0.5
    """The highest cosine that ``select=threshold`` projects (code)."""
    variant: Literal["lora", "full_delta"] = "lora"
    """``lora``: project the factor B of an adapter and write an adapter (paper). ``full_delta``: project the whole
    change of a linear in the decoder layers and write a model (from the comparison in IRR's code)."""
    dtypes: Literal["same", "any"] = "same"
    """``any`` accepts models in another floating type than ``aligned`` (ours)."""

    def __post_init__(self) -> None:
        """Refuse settings that no run can have (InputError)."""
        select({"": 0.0}, mode=self.select, threshold=self.threshold, num_layers=self.num_layers)
        if not math.isfinite(self.threshold):
            raise InputError(f"threshold is {self.threshold}: give a cosine")
        if self.variant not in ("lora", "full_delta"):
            raise InputError(f"variant is {self.variant!r}: choose one of lora, full_delta")


def apply(config: Config) -> Path:
    """Project the updates that leave the direction of alignment, and write the adapter or the model.

    Returns:
        The folder ``config.out``.

    Raises:
        InputError: the models do not fit together, hold NaN or Inf in what is compared, are equal everywhere, or
            ``out`` is taken; nothing is written then.
        DataError: a file is broken.
    """
    aligned = open_checkpoint(config.aligned)
    base = matched(open_checkpoint(config.base, aligned), aligned, dtypes=config.dtypes)
    tuned = open_checkpoint(config.adapter, aligned)
    if config.variant == "full_delta":
        return _project_deltas(config, aligned, base, matched(tuned, aligned, dtypes=config.dtypes))
    if not isinstance(tuned, MergedAdapter):
        raise InputError(f"{config.adapter} is no adapter. Give a LoRA adapter, or set variant=full_delta.")
    return _project_adapter(config, aligned, base, tuned)


def _project_adapter(config: Config, aligned: Checkpoint, base: Checkpoint, adapter: MergedAdapter) -> Path:
    check_adapter_out(config.out)
    if adapter.settings.get("fan_in_fan_out"):
        raise InputError(f"{adapter.path}: its weights are transposed (fan_in_fan_out), which is not supported.")
    names = list(adapter.places)
    if not names:
        raise InputError(f"{adapter.path}: the adapter changes no linear layer.")
    for checkpoint in (aligned, base):
        refuse_non_finite(checkpoint, names)
    record = Record("safe_lora", config, {"base": base, "aligned": aligned, "adapter": adapter})
    factors, cosines = {}, {}
    for name, direction in _directions(aligned, base, names):
        product = adapter.factors(name)
        if product is not None:
            factors[name] = product[0].float()
            cosines[name] = lora_cosine(direction, factors[name], product[1].float())
    chosen = _chosen(config, cosines, record)
    replaced = {
        adapter.places[name]: projection(direction) @ factors[name]
        for name, direction in _directions(aligned, base, chosen)
    }
    facts = {adapter.places[name]: record.facts[name] for name in cosines}
    return write_adapter(adapter.path, config.out, replaced, facts, record)


def _project_deltas(config: Config, aligned: Checkpoint, base: Checkpoint, tuned: Checkpoint) -> Path:
    check_out(aligned, config.out)
    layers = DecoderLayers(empty_model(config.aligned, torch.device("cpu")))
    names = [name for index in range(len(layers)) for name in layers.linears(index) if name in set(aligned.names)]
    if not names:
        raise InputError(f"{config.aligned}: its decoder layers have no linear layers, which are what is projected.")
    for checkpoint in (aligned, base, tuned):
        refuse_non_finite(checkpoint, names)
    record = Record("safe_lora", config, {"base": base, "aligned": aligned, "adapter": tuned})

    def change(name: str) -> torch.Tensor:
        return tuned.delta(aligned, name, 0, aligned.shape(name)[0])

    cosines = {name: delta_cosine(direction, change(name)) for name, direction in _directions(aligned, base, names)}
    chosen = set(_chosen(config, cosines, record))

    def new_values(name: str) -> Iterator[torch.Tensor]:
        if name in chosen:
            ((_, direction),) = _directions(aligned, base, [name], shown=False)
            yield (projection(direction) @ change(name)).add_(aligned.tensor(name))
        else:
            for start, stop in row_ranges(tuned.shape(name)):
                yield tuned.rows(name, start, stop)

    return write_checkpoint(aligned, config.out, new_values, record)


def _directions(
    aligned: Checkpoint, base: Checkpoint, names: Iterable[str], *, shown: bool = True
) -> Iterator[tuple[str, torch.Tensor]]:
    """Aligned minus unaligned weight of every module in which they differ, one at a time, in float32."""
    for name in tqdm(list(names), desc="Directions", unit="tensor", disable=None if shown else True):
        direction = aligned.tensor(name).float() - base.tensor(name).float()
        if bool(direction.any()):
            yield name, direction


def _chosen(config: Config, cosines: dict[str, float], record: Record) -> list[str]:
    """Modules to project; what is known of each goes to the record."""
    if not cosines:
        raise InputError(
            f"{config.aligned} and {config.base} are equal in all linears of the adapter: there is no direction of "
            "alignment. Give the model before its alignment as base."
        )
    chosen = select(cosines, mode=config.select, threshold=config.threshold, num_layers=config.num_layers)
    for name, cosine in cosines.items():
        record.facts[name] = {"cosine": cosine, "projected": name in chosen}
    record.notes["projected"] = len(chosen)
    return chosen
