"""SafePatching: two patches from one harmful set, one for safety and one against over-refusal (arXiv 2405.13820).

From questions with harmful answers, gradient ascent on the answers makes a model that refuses too much and gradient
descent one that refuses too little. Each one's change is a patch; each is applied, at random, to the entries that
matter for it and not for the other.

Neither code nor the full text of the paper could be read: the algorithm follows public reviews and summaries, and
every choice they leave open, and every number, is a setting of ours.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.work_folder import WorkFolder, work_folder
from harness_ext.methods.checkpoints.write import check_out, write_checkpoint
from harness_ext.methods.deltas import uniform
from harness_ext.methods.importance import snip
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.layers.loading import empty_model, load_model
from harness_ext.methods.safepatching.tensor import Mode, filled_up, patch_tensor, patched, select, top_share
from harness_ext.methods.settings import Count, Finite, Positive, Share, settings
from harness_ext.methods.training.finetuned import train_only, trained
from harness_ext.methods.training.loop import TrainingConfig
from harness_ext.methods.training.objective import nll_of
from harness_ext.methods.training.rows import Row, load_tokenizer, pad, read_pairs, token_rows

__all__ = ["Config", "apply", "patch_tensor"]

Order = Literal["mask_and_difference", "retain_fill"]
ScoreWeights = Literal["patched", "base"]


@settings
class Config:
    """SafePatching (arXiv 2405.13820). All defaults are ours: the paper's values could not be read."""

    model: str
    """Folder of the chat model to patch."""
    harmful_data: str
    """JSONL of harmful questions as ``prompt`` and harmful answers as ``answer``."""
    out: str
    """Folder to write: the patched model."""
    a: Share = 0.03
    """Share of a tensor's entries that the safety patch is interested in, those with the largest scores (ours)."""
    b: Share = 0.02
    """The same for the patch against over-refusal (ours)."""
    p: Share = 0.30
    """Probability with which an entry of either patch is kept; nothing is rescaled (ours)."""
    alpha: Finite = 1.0
    """Weight of the safety patch (ours)."""
    beta: Finite = 0.2
    """Weight of the patch against over-refusal (ours)."""
    mode: Mode = "difference"
    """Where the patches may go: ``difference``, each where the other is not interested; ``intersection``, both where
    both are; ``top``, each where it is; ``all``, everywhere. The last three are ablations (default: ours)."""
    order: Order = "mask_and_difference"
    """``mask_and_difference``: an entry is patched if it is in the set and kept at random. ``retain_fill``: the whole
    set is patched, and random entries beside it until the share ``p`` of the tensor is (ours; the sources leave it
    open)."""
    score_weights: ScoreWeights = "patched"
    """Whether a patch's scores are taken at its own trained weights or at the model's. In the second case both patches
    have the same scores, so the difference set of the smaller share is empty (ours; the sources leave it open)."""
    lr: Positive = 2e-6
    """Peak learning rate of AdamW, with linear decay (ours; llm_unlearn's gradient ascent uses the same number)."""
    steps: Count = 1000
    """Optimizer steps of each of the two trainings (ours; the most that llm_unlearn allows)."""
    batch_size: Count = 2
    """Records of a step (ours; as in llm_unlearn)."""
    max_loss: Positive = 100.0
    """A training ends before the first step whose token mean of the answers' negative log-likelihood, in nats, exceeds
    this (ours; as in llm_unlearn)."""
    max_tokens: Count = 1024
    """Longer records lose the end of their answer; one whose prompt alone is as long is refused (ours)."""
    system_prompt: str | None = None
    """System prompt of the data (ours)."""
    seed: int = 0
    """Of the order of records and of the random retention (ours)."""


class _Patch(NamedTuple):
    """One of the two: its name, and the direction in which the likelihood of harmful answers is moved."""

    name: str
    sign: int


_SAFETY, _OVER_SAFETY = _Patch("ascent", -1), _Patch("descent", 1)


def apply(config: Config) -> Path:
    """Patch the linears of the decoder layers and write the model to ``config.out``.

    A killed run goes on at the last checkpoint of its training when it is called again with the same config; what it
    needs for that is in ``<out>.work``.

    Returns:
        The folder ``config.out``.

    Raises:
        InputError: the data is wrong, the model has no linears in its decoder layers or holds NaN or Inf there, a
            training's loss is not finite, ``out`` is taken, or the disk is too small.
        DataError: the checkpoint is broken.
    """
    base = open_checkpoint(config.model)
    check_out(base, config.out)
    rows = token_rows(
        load_tokenizer(config.model),
        read_pairs(config.harmful_data),
        source=config.harmful_data,
        system=config.system_prompt,
        max_tokens=config.max_tokens,
    )
    layers = DecoderLayers(empty_model(config.model, torch.device("cpu")))
    names = [name for index in range(len(layers)) for name in layers.linears(index)]
    if not names:
        raise InputError(f"{config.model}: its decoder layers have no linear layers, which are what is patched.")
    if lost := sorted(set(names) - set(base.names)):
        raise InputError(f"{config.model}: there is no tensor {lost[0]}, which the model of its config.json has.")
    record = Record("safepatching", config, {"base": base}, [config.harmful_data])
    entries, everything = (sum(math.prod(base.shape(name)) for name in some) for some in (names, base.names))
    with work_folder(config.out, record.identity(), 4 * (4 * entries + 2 * (everything + 2 * entries))) as work:
        for patch in (_SAFETY, _OVER_SAFETY):
            if not work.finished(patch.name):
                _derive(config, patch, work, names, rows)
            record.notes[patch.name] = work.finished(patch.name)
        record.notes.update(records=len(rows), seconds_before_writing=round(work.seconds, 3))
        targets = set(names)

        def new_values(name: str) -> Iterator[torch.Tensor] | None:
            if name not in targets:
                return None
            new, record.facts[name] = _patched(config, work, name, base.tensor(name).float())
            return iter([new])

        return write_checkpoint(base, config.out, new_values, record)


def _derive(config: Config, patch: _Patch, work: WorkFolder, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Train one patch, score its weights, and store both."""
    model = load_model(config.model)
    train_only(model, names)
    training = TrainingConfig(
        steps=config.steps,
        learning_rate=config.lr,
        batch_size=config.batch_size,
        max_loss=config.max_loss,
        checkpoint_every=max(1, config.steps // 10),
        seed=config.seed,
    )
    folder = work.folder / f"{patch.name}-training"
    note = trained(model, {"rows": rows}, training, nll_of(rows=patch.sign), folder, f"Gradient {patch.name}")
    for when in ("first", "last"):
        note[f"nll_{when}"] = patch.sign * note.pop(f"loss_{when}")
    weights = {name: model.get_parameter(name).detach().cpu().clone() for name in names}
    if config.score_weights == "base":
        model = load_model(config.model).to(next(model.parameters()).device)
    device = next(model.parameters()).device

    def samples() -> Iterator[dict[str, torch.Tensor]]:
        for row in tqdm(rows, desc=f"Scores after {patch.name}", unit="record", disable=None):
            yield {key: value.to(device) for key, value in pad([row]).items()}

    scores = snip(model.eval(), samples(), names)
    work.finish(patch.name, note, weights | {f"{name}|score": values.cpu() for name, values in scores.items()})
    shutil.rmtree(folder)


def _patched(config: Config, work: WorkFolder, name: str, theta: torch.Tensor) -> tuple[torch.Tensor, dict[str, int]]:
    """One patched tensor in float32, and its counts."""

    def drawn(patch: _Patch) -> torch.Tensor:
        draws = uniform(config.seed, f"{name}|{patch.name}", 0, theta.numel())
        return torch.from_numpy(draws).view(theta.shape)

    se, osm = (work.read(patch.name, name) - theta for patch in (_SAFETY, _OVER_SAFETY))
    s_se, s_osm = (work.read(patch.name, f"{name}|score") for patch in (_SAFETY, _OVER_SAFETY))
    draws = drawn(_SAFETY), drawn(_OVER_SAFETY)
    if config.order == "mask_and_difference":
        keeps = (draw < config.p for draw in draws)
        how = {name: getattr(config, name) for name in ("a", "b", "alpha", "beta", "mode")}
        return patch_tensor(theta, se, osm, s_se, s_osm, *keeps, **how)
    top_se, top_osm = top_share(s_se, config.a), top_share(s_osm, config.b)
    d_se, d_osm = select(top_se, top_osm, config.mode)
    masks = filled_up(d_se, draws[0], config.p), filled_up(d_osm, draws[1], config.p)
    return patched(theta, (se, osm), (config.alpha, config.beta), (d_se, d_osm), masks, top_se & top_osm)
