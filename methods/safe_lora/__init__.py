# ruff: noqa: N803, N806 (the letters of the paper)
"""Safe LoRA: project the updates that leave the direction of alignment back onto it (arXiv 2405.16833).

The difference between an aligned model and the model it was aligned from is a direction in each linear layer. Where a
later fine-tuning's update is least similar to its own image in that direction, the image takes its place. No data and
no training are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import MergedAdapter, open_checkpoint
from harness_ext.methods.checkpoints.compatibility import Fit, apart, differences, tokenizer_of
from harness_ext.methods.checkpoints.read import Checkpoint
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.write import check_out, write_adapter, write_checkpoint
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.layers.loading import empty_model
from harness_ext.methods.settings import Count, Finite, settings

Mode = Literal["threshold", "number"]

COSINE_DECIMALS = 5
"""Cosines are compared after rounding, as in the released code: near ties count as ties."""


@settings
class Config(Fit):
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
    tokenizer_from: str = "aligned"
    """Whose tokenizer, chat template and special tokens are written: ``aligned`` (an adapter keeps what lies beside
    it), ``adapter`` or ``base``. Ours."""
    select: Mode = "number"
    """Which modules are projected: ``number``, those with the lowest cosines; ``threshold``, those with a cosine of at
    most ``threshold`` (code)."""
    num_layers: Count = 10
    """How many modules ``select=number`` projects, and with them all whose cosine equals the last one's; fewer modules
    than this are all projected (code)."""
    threshold: Finite = 0.5
    """The highest cosine that ``select=threshold`` projects (code)."""
    variant: Literal["lora", "full_delta"] = "lora"
    """``lora``: project the factor B of an adapter and write an adapter (paper). ``full_delta``: project the whole
    change of a linear in the decoder layers and write a model (from the comparison in IRR's code)."""


def projection(V: torch.Tensor) -> torch.Tensor:
    """The map onto the direction of alignment, ``V Vᵀ / ‖V‖_F``.

    Not a projector in the strict sense: it grows with ‖V‖.

    Args:
        V: aligned minus unaligned weight of a linear layer, shape (rows, columns).

    Returns:
        Shape (rows, rows).

    Raises:
        InputError: V is no matrix, or is zero, so that there is no direction.

    Source: Safe LoRA (arXiv 2405.16833), the authors' code.

    >>> projection(torch.tensor([[3.0], [4.0]]))
    tensor([[1.8000, 2.4000],
            [2.4000, 3.2000]])
    """
    V = torch.as_tensor(V)
    if V.ndim != 2:
        raise InputError(f"an alignment direction has the shape {tuple(V.shape)}: only linear layers have one")
    norm = V.norm()
    if not bool(norm > 0):
        raise InputError("the aligned and the unaligned weight are equal (or not finite): there is no direction")
    return V @ V.T / norm


def lora_cosine(V: torch.Tensor, B: torch.Tensor, A: torch.Tensor) -> float:
    """Cosine between a LoRA update and its image under `projection`: low where it leaves the alignment.

    Args:
        V: as in `projection`.
        B: shape (rows, rank).
        A: shape (rank, columns).

    Returns:
        In [-1, 1], rounded to 5 decimals; an update of zero has 1.0, there is nothing to project.

    >>> lora_cosine(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0, 0.0]]))
    0.6
    """
    return delta_cosine(V, torch.as_tensor(B) @ torch.as_tensor(A))


def delta_cosine(V: torch.Tensor, D: torch.Tensor) -> float:
    """The same as `lora_cosine` for a full update D of shape (rows, columns).

    >>> delta_cosine(torch.eye(2), torch.ones(2, 2))
    1.0
    """
    V, D = torch.as_tensor(V), torch.as_tensor(D)
    if V.shape != D.shape:
        raise InputError(f"the alignment direction has the shape {tuple(V.shape)}, the update {tuple(D.shape)}")
    projected = (projection(V) @ D).flatten()
    if not bool(D.any()):
        return 1.0
    return round(float(torch.nn.functional.cosine_similarity(projected, D.flatten(), dim=0)), COSINE_DECIMALS)


def select(
    cosines: Mapping[str, float],
    *,
    mode: Mode = "threshold",
    threshold: float | None = None,
    num_layers: int | None = None,
) -> list[str]:
    """The modules to project, in the order given.

    Args:
        cosines: module → cosine.
        mode: ``"threshold"``: those with a cosine of at most ``threshold``; ``"number"``: the ``num_layers`` lowest,
            all that are equal to the last of them included, and all modules if there are fewer.
        threshold: for the first mode.
        num_layers: for the second mode.

    Raises:
        InputError: the mode's own setting is missing, or ``num_layers`` is below 1.

    >>> select({"q": 0.3, "k": 0.5, "v": 0.3}, mode="number", num_layers=1)
    ['q', 'v']
    """
    if mode not in get_args(Mode):
        raise InputError(f"select is {mode!r}: choose one of {', '.join(get_args(Mode))}")
    if mode == "number":
        if num_layers is None or num_layers < 1:
            raise InputError(f"num_layers is {num_layers}: select=number projects at least one module")
        threshold = sorted(cosines.values())[:num_layers][-1] if cosines else 0.0
    if threshold is None:
        raise InputError("select=threshold needs a threshold")
    return [name for name, cosine in cosines.items() if cosine <= threshold]


def apply(config: Config) -> Path:
    """Project the updates that leave the direction of alignment, and write the adapter or the model.

    Returns:
        The folder ``config.out``.

    Raises:
        InputError: the models do not fit together, hold NaN or Inf in what is compared, are equal everywhere, or
            ``out`` is taken; nothing is written then.
        DataError: a file is broken.
    """
    aligned = apart(open_checkpoint(config.aligned), (config.base, config.adapter))
    base = config.matched(open_checkpoint(config.base, aligned), aligned)
    tuned = open_checkpoint(config.adapter, aligned)
    if config.variant == "full_delta":
        return _project_deltas(config, aligned, base, config.matched(tuned, aligned))
    if not isinstance(tuned, MergedAdapter):
        raise InputError(f"{config.adapter} is no adapter. Give a LoRA adapter, or set variant=full_delta.")
    return _project_adapter(config, aligned, base, tuned)


def _project_adapter(config: Config, aligned: Checkpoint, base: Checkpoint, adapter: MergedAdapter) -> Path:
    check_out(None, config.out)
    if adapter.transposed:
        raise InputError(f"{adapter.path}: its weights are transposed (fan_in_fan_out), which is not supported.")
    names = list(adapter.places)
    if not names:
        raise InputError(f"{adapter.path}: the adapter changes no linear layer.")
    models = {"base": base, "aligned": aligned, "adapter": adapter}
    told = tokenizer_of(config, models)
    record = Record("safe_lora", config, models, notes=dict(differences(models, aligned)))
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
    tokenizer = told if config.tokenizer_from != Config.tokenizer_from else None
    return write_adapter(adapter.path, config.out, replaced, facts, record, tokenizer=tokenizer)


def _project_deltas(config: Config, aligned: Checkpoint, base: Checkpoint, tuned: Checkpoint) -> Path:
    check_out(aligned, config.out)
    layers = DecoderLayers(empty_model(config.aligned, torch.device("cpu")))
    names = [name for index in range(len(layers)) for name in layers.linears(index) if name in set(aligned.names)]
    if not names:
        raise InputError(f"{config.aligned}: its decoder layers have no linear layers, which are what is projected.")
    models = {"base": base, "aligned": aligned, "adapter": tuned}
    tokenizer = tokenizer_of(config, models)
    record = Record("safe_lora", config, models, notes=dict(differences(models, aligned)))

    def change(name: str) -> torch.Tensor:
        return tuned.delta(aligned, name, 0, aligned.shape(name)[0])

    cosines = {name: delta_cosine(direction, change(name)) for name, direction in _directions(aligned, base, names)}
    chosen = set(_chosen(config, cosines, record))

    def new_values(name: str) -> Iterator[torch.Tensor]:
        if name in chosen:
            ((_, direction),) = _directions(aligned, base, [name], shown=False)
            yield (projection(direction) @ change(name)).add_(aligned.tensor(name))
        else:
            yield from tuned.pieces(name)

    return write_checkpoint(aligned, config.out, new_values, record, tokenizer=tokenizer)


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
