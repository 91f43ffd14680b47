# ruff: noqa: N803 (the letters of the paper)
"""IRR: identify, remove and recalibrate the parts of a fine-tuning that undo a model's safety (arXiv 2412.11041).

A model that was fine-tuned on a harmless task has lost some of its safety. IRR looks for the entries of the change
that point away from safety and matter for safe answers, takes them out, and lets the other entries make up for the
lost output on the task.

From one linear layer (`prune_delta`) over a model in memory (`realign`) to checkpoints (`apply`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.compatibility import Fit, apart, differences, tokenizer_of
from harness_ext.methods.checkpoints.read import Checkpoint
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.work_folder import WorkFolder, work_folder
from harness_ext.methods.checkpoints.write import check_out, write_checkpoint
from harness_ext.methods.layers.decoder import Batch, DecoderLayers, States, StoredStates
from harness_ext.methods.layers.fisher import layerwise_fisher
from harness_ext.methods.layers.loading import best_device, drop_weights, empty_model, load_weights
from harness_ext.methods.settings import Count, Positive, Share, settings
from harness_ext.methods.training.rows import calibration_batches, load_tokenizer, safe_answer_batches

CALIBRATION_ROWS = 8
"""Calibration sequences that pass through a layer together; changes memory and speed, not the result."""
ESCALATIONS = 3
"""How often the damping is raised tenfold before a layer is given up."""
TARGETS: dict[str, tuple[str, ...]] = {
    "lora": ("q_proj", "v_proj"),
    "full": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
"""The linears that are edited (source: ``IRR/llama.py`` of the released code, whose flag ``--true-sequential`` means
``lora``)."""


@settings
class Pruning:
    """How the delta of one linear layer is pruned."""

    retain: Share = 0.0
    """Share of the interfering entries that is kept, those with the lowest Fisher score (scripts: ``--sparsity``)."""
    block: Count = 128
    """Columns that are judged together (scripts; the default in the authors' code is 4096)."""
    percdamp: Positive = 0.01
    """Share of the mean diagonal that is added to the Hessian, raised tenfold at most three times where a layer needs
    it; ``method.json`` says where (scripts)."""
    recalibrate: bool = True
    """Let the kept entries make up for the removed ones (paper)."""
    variant: Literal["irr", "more", "no_sign", "random"] = "irr"
    """``irr`` (paper); ``more``: all entries compete, those that agree with the safety vector with their score
    negated (paper: IRR_more); ``no_sign``: all entries compete by score (paper's ablation); ``random``: a control of
    ours, as many entries as ``irr`` would remove."""


@settings
class Realignment(Pruning):
    """How a model is realigned."""

    targets: Literal["lora", "full"] = "lora"
    """Linears that are edited: ``lora`` the query and value projections, ``full`` all seven of a layer (scripts, which
    use ``lora`` for models that were fine-tuned with LoRA). All other weights are those of ``finetuned``."""
    include_padding: bool = True
    """Count padding positions in the Hessian (as the authors' code does)."""
    seed: int = 0
    """Of ``variant=random`` (ours)."""


@settings
class Config(Realignment, Fit):
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
    nsamples: Count = 1000
    """Records of ``calib_data`` that are used, the first ones (scripts; the default in the authors' code is 128)."""
    seqlen: Count = 512
    """Tokens of a calibration sequence; shorter ones are padded on the left, longer ones cut (scripts)."""
    system_prompt: str | None = None
    """System prompt of both data files (ours; the scripts use Llama-2's for Llama models)."""
    fisher_batch: Count = 8
    """Records of a batch for the Fisher score, whose value depends on it: it squares the gradient of a batch
    (scripts)."""
    fisher_max_tokens: Count = 1024
    """Longer records lose the end of their answer; one whose prompt alone is as long is refused (scripts; there such
    a record gives NaN)."""
    fisher_samples: Count = 1000
    """Records of ``safe_data`` that are used, the first ones (scripts)."""
    fisher_layers: Count | None = None
    """Layers whose scores are computed in one pass over ``safe_data``; fewer take less memory and more time, the
    result is the same. None: all (ours)."""
    compat: Literal["full_rows_see_ahead"] | None = None
    """Repeat a quirk of the authors' code: calibration sequences without padding are attended to in both directions
    (ours: off)."""


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
    generator: torch.Generator | None = None,
    **pruning: Any,
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
        generator: source of ``variant="random"``, which draws from all of a block.
        pruning: the fields of `Pruning`.

    Raises:
        InputError: shapes or settings make no sense, an entry is not finite, or H cannot be factorised.

    Source: IRR (arXiv 2412.11041), ``IRR/sparsegpt.py`` of the released code; ``"random"`` is ours.

    >>> delta, safety = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    >>> prune_delta(delta, safety, torch.ones(2, 2), torch.eye(2)).delta
    tensor([[1., 0.],
            [3., 4.]])
    """
    how = Pruning(**pruning)
    d = _floating(delta).clone()
    v, f, h = (torch.as_tensor(t).to(device=d.device, dtype=d.dtype) for t in (safety_vector, fisher, H))
    _refuse_bad_tensors(d, v, f, h)
    columns = d.shape[1]
    d[:, h.diagonal() == 0] = 0  # a column that never gets input
    upper, damped_with = inverse_factor(h, how.percdamp)
    removed = mismatched = 0
    for start in range(0, columns, how.block):
        stop = min(start + how.block, columns)
        here = d[:, start:stop]
        mismatch = here.sign() != v[:, start:stop].sign()
        mask = _removal_mask(mismatch, f[:, start:stop], how, generator)
        removed += int(mask.sum())
        mismatched += int(mismatch.sum())
        if not how.recalibrate:
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
    mismatch: torch.Tensor, fisher: torch.Tensor, how: Pruning, generator: torch.Generator | None
) -> torch.Tensor:
    if how.variant == "random":
        count = int(mismatch.sum())
        drawn = torch.randperm(mismatch.numel(), generator=generator)[: count - int(count * how.retain)]
        mask = torch.zeros(mismatch.numel(), dtype=torch.bool)
        mask[drawn] = True
        return mask.view_as(mismatch).to(mismatch.device)
    competing = mismatch if how.variant == "irr" else torch.ones_like(mismatch)
    score = torch.where(mismatch, fisher, -fisher) if how.variant == "more" else fisher
    candidates = competing.flatten().nonzero().flatten()  # in row-major order, which decides between equal scores
    order = score.flatten()[candidates].argsort(stable=True)
    mask = torch.zeros_like(mismatch).flatten()
    mask[candidates[order[int(len(candidates) * how.retain) :]]] = True
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
    **realignment: Any,
) -> dict[str, Edit]:
    """Apply IRR to a fine-tuned model in memory, in place; `irr.apply` does the same from and to disk.

    Args:
        model: θ_F, a Hugging Face causal language model. The released code used eager attention; other
            implementations give padding positions other states.
        base_state: θ_A, name → tensor.
        fisher: `importance.diagonal_fisher` of θ_A on safe answers.
        safety_vector: θ_A − θ_U, name → tensor.
        calib: batches with ``input_ids`` and ``attention_mask``, each (rows, tokens).
        realignment: the fields of `Realignment`.

    Returns:
        weight name → what was done, for every edited weight; all other weights stay as they are.

    Raises:
        InputError: a target is missing in the model or in one of the three mappings, or a weight cannot be pruned;
            the sentence names it.

    Source: IRR (arXiv 2412.11041), ``IRR/llama.py`` of the released code.
    """
    how = Realignment(**realignment)
    layers = DecoderLayers(model)
    parts = require_targets(layers, how.targets)
    sources = {"base_state": base_state, "fisher": fisher, "safety_vector": safety_vector}
    for index in range(len(layers)):
        for name in layers.linears(index, parts):
            for what, mapping in sources.items():
                if name not in mapping:
                    raise InputError(f"{name}: missing in {what}")
    training = model.training
    model.eval()
    edits: dict[str, Edit] = {}
    states = [layers.embed(batch) for batch in calib]
    for index in range(len(layers)):
        for name, _, edit in realign_layer(
            layers, index, calib, states, lambda name: Parts(base_state[name], safety_vector[name], fisher[name]), how
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
    how: Realignment,
    dtype_of: Callable[[str], torch.dtype] | None = None,
) -> Iterator[tuple[str, torch.Tensor, Edit]]:
    """Edit the target linears of one layer in place, after one pass that looks at the layer as it was.

    Args:
        layers: of the model, whose layer ``index`` holds θ_F.
        index: of the layer.
        calib: calibration batches.
        states: hidden states before the layer, one entry a batch.
        parts_of: weight name → what its edit needs.
        how: which linears, and how they are pruned.
        dtype_of: weight name → the type in which the weight will be stored; by default the model's own.

    Yields:
        weight name, new weight in its stored type, and what was done.
    """
    parts, knobs = TARGETS[how.targets], {field.name: getattr(how, field.name) for field in dataclasses.fields(Pruning)}
    hessians = layers.hessians(index, calib, states, parts, include_padding=how.include_padding)
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
                generator=torch.Generator().manual_seed(_seed(how.seed, name)),
                **knobs,
            )
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        new = (aligned.to(wide) + pruned.delta).to(dtype_of(name) if dtype_of else weight.dtype)
        kept_norm = float((new.to(wide) - aligned.to(wide)).norm())
        weight.copy_(new)
        edit = Edit(weight.numel(), pruned.mismatched, pruned.removed, pruned.percdamp, float(delta.norm()), kept_norm)
        yield name, new, edit


def require_targets(layers: DecoderLayers, targets: str) -> tuple[str, ...]:
    """Last name parts of the targets; a model in which one of them occurs in no layer is refused (InputError)."""
    found = {name.split(".")[-2] for index in range(len(layers)) for name in layers.linears(index, TARGETS[targets])}
    missing = [part for part in TARGETS[targets] if part not in found]
    if missing:
        raise InputError(
            f"{type(layers.model).__name__} has no linear layer named {', '.join(missing)}; targets={targets} needs "
            "them in its decoder layers"
        )
    return TARGETS[targets]


def _seed(seed: int, name: str) -> int:
    """One seed a tensor, whatever the order in which tensors are visited."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


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
    base = apart(open_checkpoint(config.base), (config.finetuned, config.unaligned))
    check_out(base, config.out)
    finetuned, unaligned = (
        config.matched(open_checkpoint(path, base), base) for path in (config.finetuned, config.unaligned)
    )
    models = {"base": base, "finetuned": finetuned, "unaligned": unaligned}
    written = tokenizer_of(config, models)
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
    parts = require_targets(layers, config.targets)
    names = [list(layers.linears(index, parts)) for index in range(len(layers))]
    record = Record("irr", config, models, (config.safe_data, config.calib_data))
    record.notes |= differences(models, base)
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
                yield from finetuned.pieces(name)

        return write_checkpoint(base, config.out, new_values, record, tokenizer=written)


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
            done = list(realign_layer(layers, index, calib, states, parts_of, config, base.dtype))
            for number, batch in enumerate(calib):
                following[number] = layers.run(index, batch, states[number])
            following.flush()
            work.finish(
                stage,
                {name: edit._asdict() for name, _, edit in done},
                {name: weight.cpu() for name, weight, _ in done},
            )
            drop_weights(layers.model, layers.weights(index))
        edits |= work.finished(stage)
        states, following = following, states
    return edits
