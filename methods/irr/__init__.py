"""IRR: identify, remove and recalibrate the parts of a fine-tuning that undo a model's safety (arXiv 2412.11041).

A model that was fine-tuned on a harmless task has lost some of its safety. IRR looks for the entries of the change
that point away from safety and matter for safe answers, takes them out, and lets the other entries make up for the
lost output on the task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.compatibility import matched
from harness_ext.methods.checkpoints.finite import refuse_non_finite
from harness_ext.methods.checkpoints.read import Checkpoint, open_checkpoint, row_ranges
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.work_folder import WorkFolder, work_folder
from harness_ext.methods.checkpoints.write import check_out, write_checkpoint
from harness_ext.methods.irr.linear import Variant, hessian, prune_delta
from harness_ext.methods.irr.model import TARGETS, Parts, Pruning, TargetSet, realign, realign_layer, require_targets
from harness_ext.methods.layers.decoder import Batch, DecoderLayers
from harness_ext.methods.layers.fisher import layerwise_fisher
from harness_ext.methods.layers.loading import best_device, drop_weights, empty_model, load_weights
from harness_ext.methods.layers.states import StoredStates
from harness_ext.methods.training.rows import calibration_batches, file_digest, load_tokenizer, safe_answer_batches

__all__ = ["Config", "apply", "hessian", "prune_delta", "realign"]

CALIBRATION_ROWS = 8
"""Calibration sequences that pass through a layer together; changes memory and speed, not the result."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """IRR (arXiv 2412.11041). Defaults marked "scripts" are those of the authors' command lines."""

    base: str
    """Folder of θ_A, the aligned model."""
    finetuned: str
    """Folder of θ_F, fine-tuned from ``base``; a LoRA adapter of it will do."""
    unaligned: str
    """Folder of θ_U, ``base`` fine-tuned until it answers harmful requests; a LoRA adapter of it will do."""
    safe_data: str
    """JSONL of harmful questions as ``prompt`` and the safe answers that ``base`` gave as ``answer``."""
    calib_data: str
    """JSONL of the fine-tuning's own training set, ``prompt`` and ``answer``."""
    out: str
    """Folder to write: the repaired model."""
    retain: float = 0.0
    """Share of the interfering entries that is kept, those with the lowest Fisher score (scripts: ``--sparsity``)."""
    block: int = 128
    """Columns that are judged together (scripts; the default in the authors' code is 4096)."""
    percdamp: float = 0.01
    """Share of the mean diagonal that is added to the Hessian, raised tenfold at most three times where a layer needs
    it; ``method.json`` says where (scripts)."""
    nsamples: int = 1000
    """Records of ``calib_data`` that are used, the first ones (scripts; the default in the authors' code is 128)."""
    seqlen: int = 512
    """Tokens of a calibration sequence; shorter ones are padded on the left, longer ones cut (scripts)."""
    targets: TargetSet = "lora"
    """Linears that are edited: ``lora`` the query and value projections, ``full`` all seven of a layer (scripts, which
    use ``lora`` for models that were fine-tuned with LoRA). All other weights are those of ``finetuned``."""
    recalibrate: bool = True
    """Let the kept entries make up for the removed ones (paper)."""
    variant: Variant = "irr"
    """``irr`` (paper); ``more``: all entries compete, those that agree with the safety vector with their score
    negated (paper: IRR_more); ``no_sign``: all entries compete by score (paper's ablation); ``random``: a control of
    ours, as many entries as ``irr`` would remove."""
    include_padding: bool = True
    """Count padding positions in the Hessian (as the authors' code does)."""
    system_prompt: str | None = None
    """System prompt of both data files (ours; the scripts use Llama-2's for Llama models)."""
    fisher_batch: int = 8
    """Records of a batch for the Fisher score, whose value depends on it: it squares the gradient of a batch
    (scripts)."""
    fisher_max_tokens: int = 1024
    """Longer records lose the end of their answer; one whose prompt alone is as long is refused (scripts; there such
    a record gives NaN)."""
    fisher_samples: int = 1000
    """Records of ``safe_data`` that are used, the first ones (scripts)."""
    fisher_layers: int | None = None
    """Layers whose scores are computed in one pass over ``safe_data``; fewer take less memory and more time, the
    result is the same. None: all (ours)."""
    compat: Literal["full_rows_see_ahead"] | None = None
    """Repeat a quirk of the authors' code: calibration sequences without padding are attended to in both directions
    (ours: off)."""
    dtypes: Literal["same", "any"] = "same"
    """``any`` accepts models in another floating type than ``base``; the result is in the type of ``base`` (ours)."""
    seed: int = 0
    """Of ``variant=random`` (ours)."""

    def __post_init__(self) -> None:
        """Refuse settings that no run can have (InputError)."""
        self.pruning()
        for name in ("nsamples", "seqlen", "fisher_batch", "fisher_max_tokens", "fisher_samples", "fisher_layers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: must be 1 or more")
        if self.targets not in TARGETS:
            raise InputError(f"targets is {self.targets!r}: choose one of {', '.join(TARGETS)}")
        if self.compat not in (None, "full_rows_see_ahead"):
            raise InputError(f"compat is {self.compat!r}: full_rows_see_ahead, or nothing")

    def pruning(self) -> Pruning:
        """How every linear is pruned."""
        return Pruning(
            self.retain, self.block, self.recalibrate, self.variant, self.percdamp, self.include_padding, self.seed
        )


def apply(config: Config) -> Path:
    """Repair ``config.finetuned`` and write the result to ``config.out``.

    A killed run goes on at the last finished layer when it is called again with the same config; what it needs for
    that is in ``<out>.work``.

    Returns:
        The folder ``config.out``.

    Raises:
        InputError: the three models do not fit together, hold NaN or Inf in what is edited, lack the target linears,
            a data file is wrong, ``out`` is taken, or the disk is too small; nothing is written then.
        DataError: a checkpoint is broken.
    """
    base = open_checkpoint(config.base)
    check_out(base, config.out)
    finetuned, unaligned = (
        matched(open_checkpoint(path, base), base, dtypes=config.dtypes)
        for path in (config.finetuned, config.unaligned)
    )
    models = {"base": base, "finetuned": finetuned, "unaligned": unaligned}
    tokenizer = load_tokenizer(config.base)
    safe = safe_answer_batches(
        tokenizer,
        config.safe_data,
        limit=config.fisher_samples,
        batch_size=config.fisher_batch,
        max_tokens=config.fisher_max_tokens,
        system=config.system_prompt,
    )
    calib = calibration_batches(
        tokenizer,
        config.calib_data,
        limit=config.nsamples,
        seqlen=config.seqlen,
        batch_size=CALIBRATION_ROWS,
        system=config.system_prompt,
    )
    model = empty_model(config.base, best_device())
    layers = DecoderLayers(model, full_rows_see_ahead=config.compat == "full_rows_see_ahead")
    require_targets(layers, config.targets)
    names = [list(layers.linears(index, TARGETS[config.targets])) for index in range(len(layers))]
    for checkpoint in models.values():
        refuse_non_finite(checkpoint, (name for own in names for name in own))
    record = Record("irr", config, models, {path: file_digest(path) for path in (config.safe_data, config.calib_data)})
    sequences = sum(len(batch["input_ids"]) for batch in calib)
    shape = (sequences, config.seqlen, model.config.get_text_config().hidden_size)
    entries = sum(math.prod(base.shape(name)) for own in names for name in own)
    with work_folder(config.out, record.identity(), 4 * (2 * shape[0] * shape[1] * shape[2] + 2 * entries)) as work:
        _score(config, work, DecoderLayers(model), base, names, safe)
        edits = _edit_layers(config, work, layers, models, calib, shape)
        record.facts.update(edits)
        record.notes.update(
            safe_records=sum(len(batch["input_ids"]) for batch in safe),
            calibration_records=sequences,
            raised_percdamp=sorted(name for name, edit in edits.items() if edit["percdamp"] > config.percdamp),
            seconds_before_writing=round(work.seconds, 3),
        )
        stage_of = {name: f"layer-{index:05}" for index, own in enumerate(names) for name in own}

        def new_values(name: str) -> Iterator[torch.Tensor]:
            if name in stage_of:
                yield work.read(stage_of[name], name)
            else:
                for start, stop in row_ranges(finetuned.shape(name)):
                    yield finetuned.rows(name, start, stop)

        return write_checkpoint(base, config.out, new_values, record)


def _score(
    config: Config,
    work: WorkFolder,
    layers: DecoderLayers,
    base: Checkpoint,
    names: Sequence[Sequence[str]],
    batches: Sequence[Batch],
) -> None:
    """Fisher scores of the aligned model, as many layers at a time as the config says."""
    step = config.fisher_layers or len(names)
    starts = [start for start in range(0, len(names), step) if not work.finished(f"fisher-{start:05}")]
    if not starts:
        return
    device = best_device()
    with tqdm(total=len(starts) * len(batches), desc="Fisher scores", unit="batch", disable=None) as bar:

        def shown() -> Iterator[dict[str, torch.Tensor]]:
            for batch in batches:
                yield {key: value.to(device) for key, value in batch.items()}
                bar.update()

        for start in starts:
            wanted = {index: names[index] for index in range(start, min(start + step, len(names)))}
            fisher = layerwise_fisher(layers, base, shown(), wanted, device)
            work.finish(f"fisher-{start:05}", True, {name: values.cpu() for name, values in fisher.items()})


def _edit_layers(
    config: Config,
    work: WorkFolder,
    layers: DecoderLayers,
    models: dict[str, Checkpoint],
    calib: Sequence[Batch],
    shape: tuple[int, int, int],
) -> dict[str, dict[str, Any]]:
    """Edit the layers in order and return what was done to each weight."""
    base, finetuned, unaligned = models.values()
    device = best_device()
    calib = [{key: value.to(device) for key, value in batch.items()} for batch in calib]
    states, following = (
        StoredStates(work.folder / f"states-{which}", shape, CALIBRATION_ROWS, device) for which in (0, 1)
    )
    load_weights(layers.model, finetuned, layers.weights(None), device)
    if not work.finished("embedded"):
        for number, batch in enumerate(calib):
            states[number] = layers.embed(batch)
        states.flush()
        work.finish("embedded", True)
    step = config.fisher_layers or len(layers)

    def parts_of(name: str) -> Parts:
        index = int(name.removeprefix(f"{layers.prefix}.").partition(".")[0])
        aligned = base.tensor(name)
        fisher = work.read(f"fisher-{index // step * step:05}", name)
        return Parts(aligned, aligned.float() - unaligned.tensor(name).float(), fisher)

    edits: dict[str, dict[str, Any]] = {}
    for index in tqdm(range(len(layers)), desc="Layers", unit="layer", disable=None):
        stage = f"layer-{index:05}"
        if not work.finished(stage):
            load_weights(layers.model, finetuned, layers.weights(index), device)
            done = {
                name: (weight, edit)
                for name, weight, edit in realign_layer(
                    layers, index, calib, states, parts_of, TARGETS[config.targets], config.pruning(), base.dtype
                )
            }
            for number, batch in enumerate(calib):
                following[number] = layers.run(index, batch, states[number])
            following.flush()
            work.finish(
                stage,
                {name: edit._asdict() for name, (_, edit) in done.items()},
                {name: weight.cpu() for name, (weight, _) in done.items()},
            )
            drop_weights(layers.model, layers.weights(index))
        edits |= work.finished(stage)
        states, following = following, states
    return edits
