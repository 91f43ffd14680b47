"""Lens: move languages apart and keep what they share, without labels (arXiv 2410.04407).

The top layers of a chat model are trained on hidden states alone: each language moves along its own way in the
subspace that languages differ in, keeps to the central language along the one direction that they share, and the
central language stays where it is. The released code and the paper's abstracts were read, not its text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.layers.loading import empty_model
from harness_ext.methods.lens import texts
from harness_ext.methods.lens.probing import (
    LAST,
    Pooling,
    hidden_states,
    last_states,
    mean_states,
    probe,
    prompt_tokens,
)
from harness_ext.methods.lens.space import (
    FILE,
    LanguageSpace,
    languages_of,
    lens_terms,
    load_space,
    retain_term,
    subspaces,
)
from harness_ext.methods.settings import Count, Finite, NotNegative, Positive, settings
from harness_ext.methods.training.finetuned import FineTuning, Run, finetuned
from harness_ext.methods.training.objective import Batch, Objective
from harness_ext.methods.training.rows import load_tokenizer, pad

__all__ = ["Config", "LanguageSpace", "Probing", "apply", "lens_terms", "probe", "subspaces"]

_ROLE = "instructions"


@settings
class Probing:
    """How a model's languages are probed."""

    languages: tuple[str, ...]
    """Languages beside the central one, as the files of texts call them: [zh, ja]."""
    central: str = "en"
    """The language that the others are held against (source: code)."""
    probe_texts: str | None = None
    """JSON Lines of {language: text}; null: the Aya texts of Lens's authors (source: code)."""
    probe_per_language: Count = 300
    """At most so many texts of each language (source: data)."""
    probe_max_length: Count = 64
    """Tokens of a text; the rest of it is cut off (source: code)."""
    probe_system: str = "You are a helpful assistant."
    """System prompt while probing; empty: none (source: code)."""
    probe_batch: Count = 50
    """Texts that are computed together (source: code)."""
    pooling: Pooling = "last_token"
    """How a text becomes one vector: its last token (ours), ``last_position`` of the padded batch (source: code), or
    the ``mean`` over its tokens (ours)."""
    layer: int = LAST
    """Whose states are read; -1 is the output after the final norm (source: code)."""
    rank: Count | None = None
    """Of the language-specific subspace; null: languages less one (source: code)."""
    compat: bool = False
    """Repeat what the released code does: ``last_position``, cut prompts, two begin tokens, unmasked means."""

    def all_languages(self) -> tuple[str, ...]:
        """The central one first.

        Raises:
            InputError: there is none beside it, or one is named twice.
        """
        found = (self.central, *self.languages)
        if len(found) < 2 or len(set(found)) < len(found):
            raise InputError(
                f"languages is {list(self.languages)}. Name one or more beside {self.central!r}, each once."
            )
        return found


@settings
class Config(Probing, FineTuning):
    """Lens (arXiv 2410.04407), with the defaults of its released script where it has any."""

    train_texts: str | None = None
    """JSON Lines of {language: text}, the same instruction in every language; null: those of Lens's authors, of which
    every second one is a harmful request without an answer (source: code)."""
    train_subset: texts.Subset = "all"
    """``benign`` leaves the harmful requests out (source of all: data)."""
    train_system: str = ""
    """System prompt while training; empty: none (source: code; its Phi-3.5 runs take that of probing)."""
    max_source_length: Count = 128
    """Tokens of an instruction; the rest of it is cut off (source: script)."""
    space: str | None = None
    """What `lens_space` wrote of this model; null: probe it now (ours)."""
    w_retain: NotNegative = 1.0
    """Weight of what holds the central language (source: script)."""
    w_agnostic: NotNegative = 1.0
    """Weight of what holds the languages together (source: script, where it is called push)."""
    w_spec: NotNegative = 1.0
    """Weight of what moves them apart (ours; 1 in the released code)."""
    scale: dict[str, Finite] = Field(default_factory=dict)
    """λ by language: how far it moves along its way, 1 where it is not named (source: script, for Chinese)."""
    retain_pooling: Literal["mean", "last", "both"] = "mean"
    """Which states of the central language are held: the mean over its tokens (source: code), the one that the next
    token is read from, or both (ours)."""
    detach_central: bool = False
    """Whether only the other languages move along the shared direction (ours)."""
    last_n_layers: Count = 2
    """So many of the last decoder layers train, and nothing else (source: script)."""
    trained: Literal["last_layers"] | tuple[str, ...] = "last_layers"  # type: ignore[assignment]
    """``last_layers``, or weights by parts of their names (ours)."""
    epochs: Count = 1
    """How often every instruction is seen (source: script)."""
    lr: Positive = 1e-5
    """Peak learning rate of AdamW (source: script)."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the rate falls (source: script)."""
    warmup_epochs: NotNegative = 0.05
    """Epochs in which the rate rises to its peak (source: script)."""
    weight_decay: NotNegative = 0.1
    """Decoupled decay of every trained weight (source: script)."""
    batch_size: Count = 1
    """Instructions, each in all languages, that are computed together (source: script)."""
    accumulation: Count = 8
    """Batches of a step (source: script)."""
    seed: int = 42
    """Of the order of instructions (source: default of the released code)."""


def apply(config: Config) -> Path:
    """Train the last layers and write the model, with ``language_space.safetensors``, to ``config.out``.

    Raises:
        InputError: as `finetuned`; or the texts lack a language, or the space is of another model.
        DataError: a file is missing or broken.
    """
    languages = config.all_languages()
    layers = DecoderLayers(empty_model(config.model, torch.device("cpu")))
    if config.last_n_layers > len(layers):
        raise InputError(f"last_n_layers is {config.last_n_layers}, and {config.model} has {len(layers)} layers.")
    if config.trained == "last_layers":
        last = range(len(layers) - config.last_n_layers, len(layers))
        config = dataclasses.replace(config, trained=tuple(f"{layers.prefix}.{index}" for index in last))
    file = texts.training_file(config.train_texts)
    probing = texts.probing_file(config.probe_texts, languages)
    spaces: list[LanguageSpace] = []

    def objective(run: Run) -> Objective:
        spaces.append(_space(config, run.model, run, probing))
        return _objective(config, run, spaces[0])

    def rows(_: FineTuning, model: Any, path: str) -> list[dict[str, Any]]:
        return _rows(config, path)

    return finetuned(
        "lens", config, {_ROLE: str(file)}, objective, rows, beside=lambda folder: spaces[0].save(folder / FILE)
    )


def space_of(config: Probing, model: Any, folder: str, file: Path, identity: Mapping[str, Any]) -> LanguageSpace:
    """Probe a model with the texts of a file.

    Args:
        config: how.
        model: loaded from ``folder``.
        folder: where its tokenizer is.
        file: of texts.
        identity: what the space is of, kept with it.
    """
    tokenizer = load_tokenizer(folder)
    found = texts.probing_texts(file, config.all_languages(), config.probe_per_language)
    rows = {
        language: [
            prompt_tokens(tokenizer, text, config.probe_system, config.probe_max_length, compat=config.compat)
            for text in own
        ]
        for language, own in found.items()
    }
    pooling: Pooling = "last_position" if config.compat else config.pooling
    return probe(
        model,
        rows,
        layer=config.layer,
        pooling=pooling,
        rank=config.rank,
        batch_size=config.probe_batch,
        about=identity,
    )


def model_identity(folder: str) -> dict[str, Any]:
    """What tells a model's space from another's: a digest of its weights."""
    return {"model": open_checkpoint(folder).sources()}


def _space(config: Config, model: Any, run: Run, file: Path) -> LanguageSpace:
    about = model_identity(config.model)
    if config.space is not None:
        pooling = "last_position" if config.compat else config.pooling
        space = load_space(config.space, {**about, "layer": config.layer, "pooling": pooling})
        languages_of(space, config.all_languages())
        return space
    stage = run.work.folder / FILE
    if not run.work.finished("space"):
        space_of(config, model, config.model, file, about).save(stage)
        run.work.finish("space", True)
    return load_space(stage, about)


def _rows(config: Config, path: str) -> list[dict[str, Any]]:
    """An instruction a row: the central language's tokens, and a row inside it for every other language."""
    tokenizer = load_tokenizer(config.model)
    rows = []
    for texts_of_one in texts.parallel_texts(Path(path), config.all_languages(), config.train_subset):
        tokens = {
            language: prompt_tokens(tokenizer, text, config.train_system, config.max_source_length)
            for language, text in texts_of_one.items()
        }
        central = tokens.pop(config.central)
        rows.append({"input_ids": central, **{name: {"input_ids": own} for name, own in tokens.items()}})
    return rows


def _objective(config: Config, run: Run, space: LanguageSpace) -> Objective:
    languages = config.all_languages()
    before = run.reference(_ROLE, lambda model, batch: torch.stack(_read(config, model, batch), dim=1))
    weights = {"retain": config.w_retain}
    weights |= {f"specific_{name}": config.w_spec for name in languages[1:]}
    weights |= {f"agnostic_{name}": config.w_agnostic for name in languages[1:]}

    def counts(batch: Batch) -> dict[str, int]:
        return dict.fromkeys(weights, len(batch[_ROLE]["input_ids"]))

    def sums(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        mean, *last = _read(config, model, batch[_ROLE])
        mean_before, *last_before = (one.to(mean) for one in before(batch[_ROLE]).unbind(1))
        held = {"mean": [(mean, mean_before)], "last": [(last[0], last_before[0])]}
        held["both"] = held["mean"] + held["last"]
        specific, agnostic = lens_terms(
            space,
            dict(zip(languages, last, strict=True)),
            dict(zip(languages, last_before, strict=True)),
            config.scale,
            detach_central=config.detach_central,
        )
        retain = torch.stack([retain_term(*pair) for pair in held[config.retain_pooling]]).sum()
        return (
            {"retain": retain}
            | {f"specific_{name}": one for name, one in specific.items()}
            | {f"agnostic_{name}": one for name, one in agnostic.items()}
        )

    return Objective(weights, counts, sums)


def _read(config: Config, model: Any, batch: Batch) -> list[torch.Tensor]:
    """Of a batch of instructions the central language's mean state, then each language's last one, in float32.

    All languages are one batch of rows: one forward pass, with as many activations as training on these rows takes.
    """
    parts = [batch, *(batch[name] for name in config.languages)]
    lists = [
        ids[mask.bool()].tolist()
        for part in parts
        for ids, mask in zip(part["input_ids"], part["attention_mask"], strict=True)
    ]
    whole = {
        name: tensor.to(batch["input_ids"].device)
        for name, tensor in pad([{"input_ids": own} for own in lists]).items()
    }
    states = hidden_states(getattr(model, "module", model), whole, config.layer).float()
    rows = len(batch["input_ids"])
    central, mask = states[:rows], whole["attention_mask"][:rows]
    if config.compat:  # the released code counts padding, which a batch of one has none of
        width = batch["input_ids"].shape[1]
        mean = central[:, :width].mean(1)
    else:
        mean = mean_states(central, mask)
    last = last_states(states, whole["attention_mask"])
    return [mean, *last.split(rows)]
