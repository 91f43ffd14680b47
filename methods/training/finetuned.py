"""Fine-tuning as every trained method does it: load, choose what trains, train, write a checkpoint or an adapter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.read import Checkpoint
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.work_folder import WorkFolder, work_folder
from harness_ext.methods.checkpoints.write import check_out, write_adapter, write_checkpoint
from harness_ext.methods.layers.loading import best_device, load_model
from harness_ext.methods.settings import Count, NotNegative, Positive, Share, settings
from harness_ext.methods.training.loop import TrainingConfig, train
from harness_ext.methods.training.objective import Objective, answer_logits
from harness_ext.methods.training.pairs import Rows
from harness_ext.methods.training.reference import Reference, Says, StoredTokens, adapter_off, looked_up, of_rows
from harness_ext.methods.training.rows import Row, Separator, load_tokenizer, read_pairs, token_rows


@settings
class FineTuning:
    """What all trained methods can be told."""

    model: str
    """Folder of the model to start from."""
    out: str
    """Folder to write: a checkpoint, or an adapter with ``trained=lora``."""
    epochs: Count = 10
    """How often every row of the first data file is seen (source: open-unlearning)."""
    lr: Positive = 1e-5
    """Peak learning rate of AdamW, linear decay (source: open-unlearning; LoRA usually takes ten times as much)."""
    warmup_epochs: NotNegative = 1.0
    """Epochs in which the rate rises to its peak (source: RKLU)."""
    batch_size: Count = 8
    """Records of each data file that are computed together (ours; only its product with ``accumulation`` matters)."""
    accumulation: Count = 4
    """Batches of a step (ours; with ``batch_size``, 32 records a step as in open-unlearning)."""
    weight_decay: NotNegative = 0.01
    """Decoupled decay of every trained weight (source: TOFU)."""
    max_gradient_norm: Positive = 1.0
    """Gradients are scaled down to this norm (source: default of transformers)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; ``no`` computes in float32 (ours)."""
    max_loss: Positive | None = None
    """Stop before the first step whose loss exceeds this, its sign aside; null: never (ours)."""
    max_tokens: Count = 1024
    """Longer records lose the end of their answer; one whose prompt alone is as long is refused (ours)."""
    separator: Separator = "line break"
    """Between prompt and answer where the tokenizer has no chat template. ``blank`` is what lm-eval's tasks put there,
    and is scored with the answer as they score it (ours)."""
    system_prompt: str | None = None
    """System prompt of the data (ours)."""
    trained: Literal["all", "lora"] | tuple[str, ...] = "all"
    """``all`` weights, a new ``lora`` adapter, or weights by parts of their names: [layers.5, layers.6.mlp] (ours)."""
    lora_rank: Count = 8
    """Rank of the adapter (peft)."""
    lora_alpha: Count = 16
    """The adapter is scaled by alpha / rank (ours)."""
    lora_dropout: Share = 0.0
    """Of the adapter's input (peft)."""
    lora_targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Adapted linears, by the ends of their names (ours)."""
    keep: Literal["last", "all"] | tuple[int, ...] = "last"
    """Epochs after which the model is written to ``<out>-epoch-<number>``, too: ``all`` or a list (ours)."""
    seed: int = 0
    """Of the order of records, of dropout and of a new adapter (ours)."""

    def __post_init__(self) -> None:
        """Refuse epochs that there are not (InputError)."""
        if wrong := set(self.kept()).difference(range(1, self.epochs + 1)):
            raise InputError(f"keep names epoch {min(wrong)}, but there are 1 to {self.epochs}.")

    def kept(self) -> Sequence[int]:
        """Epochs after which the model is written, too."""
        if self.keep == "all":
            return range(1, self.epochs + 1)
        return () if self.keep == "last" else self.keep


@dataclass
class Run:
    """A fine-tuning that is about to begin: what a method makes its objective from."""

    config: FineTuning
    model: Any
    rows: Rows
    work: WorkFolder
    notes: dict[str, Any]
    """Of ``method.json``."""

    def reference(self, role: str, says: Says, of: str | None = None) -> Reference:
        """What the model says of each row of a role before its training, such as `objective.answer_nll`.

        ``of`` names it where more than one thing is asked of a role.
        """
        stage = f"reference-{of or role}"
        if not self.work.finished(stage):
            values = of_rows(self.model, self.rows[role], says, batch_size=self.config.batch_size)
            self.work.finish(stage, True, {"values": values})
        return looked_up(self.work.read(stage, "values"))

    def reference_logits(self, role: str) -> Reference:
        """`objective.answer_logits` before the training, as `reference_tokens`."""
        return self.reference_tokens(role, self.vocabulary, answer_logits)

    def reference_tokens(self, role: str, width: int, says: Says) -> Reference:
        """A vector for each scored token before the training: stored, or asked with the adapter switched off."""
        if self.config.trained == "lora":
            return adapter_off(self.model, says)
        stage = f"tokens-{role}"
        tokens = StoredTokens(self.work.folder / stage, self.rows[role], width, says)
        if not self.work.finished(stage):
            tokens.fill(self.model, self.config.batch_size)
            self.work.finish(stage, True)
        return tokens

    @property
    def vocabulary(self) -> int:
        """Logits of a token."""
        return int(self.model.config.get_text_config().vocab_size)


def answer_rows(config: FineTuning, model: Any, path: str) -> list[Row]:
    """Rows of a JSONL file of prompts and answers.

    Raises:
        InputError: the file or a record is wrong, or the model is a masked one, which writes no answers.
    """
    encoder_decoder = model.config.is_encoder_decoder
    if not (encoder_decoder or model.can_generate()):
        raise InputError(f"{config.model}: {type(model).__name__} writes no answers. Give a model that generates.")
    return token_rows(
        load_tokenizer(config.model),
        read_pairs(path),
        source=path,
        system=config.system_prompt,
        max_tokens=config.max_tokens,
        targets=encoder_decoder,
        separator=config.separator,
    )


def finetuned(
    method: str,
    config: FineTuning,
    data: Mapping[str, str],
    objective: Callable[[Run], Objective],
    rows_of: Callable[[FineTuning, Any, str], Sequence[Mapping[str, Any]]] = answer_rows,
    beside: Callable[[Path], None] | None = None,
) -> Path:
    """Train ``config.model`` and write what came of it to ``config.out``.

    A killed run goes on at its last checkpoint when it is called again with the same config; what it needs for that is
    in ``<out>.work``.

    Args:
        method: its name, for ``method.json``.
        config: of the method.
        data: role → file; an epoch is counted in the rows of the first.
        objective: makes the objective, once model and rows are there.
        rows_of: config, model and file → the file's rows.
        beside: writes more files into the folder of a checkpoint, before it gets its name.

    Returns:
        The folder ``config.out``.

    Raises:
        InputError: the data is wrong, the model cannot be loaded or is not what its files hold, nothing would be
            trained, a loss is not finite, ``out`` is taken, or the disk is too small.
        DataError: a file is broken.
    """
    base = open_checkpoint(config.model)
    check_out(base, config.out)
    model = load_model(config.model)
    places = places_in(base, model)
    rows = {role: rows_of(config, model, path) for role, path in data.items()}
    record = Record(method, config, {"base": base}, data.values())
    record.notes["rows"] = {role: len(own) for role, own in rows.items()}
    model = _choose(config, model).to(best_device())  # where a reference is computed before the training
    training = training_of(config, rows)
    ends = {epoch: _steps(config, rows, epoch) for epoch in range(1, config.epochs + 1)}
    record.notes |= {
        "effective_batch": config.batch_size * config.accumulation,
        "steps_an_epoch": ends[1],
        "total_steps": training.steps,
    }
    with work_folder(config.out, record.identity(), training_bytes(model)) as work:
        untrained = work.folder / "untrained"
        if config.trained == "lora":
            model.save_pretrained(untrained)

        def write(out: str) -> Path:
            if config.trained == "lora":
                return _write_lora(model, untrained, out, record)
            return write_checkpoint(
                base, out, lambda name: _trained_values(model, places.get(name)), record, beside=beside
            )

        def keep(step: int) -> None:
            for epoch in config.kept():
                out, stage = f"{config.out}-epoch-{epoch}", f"epoch-{epoch}"
                if step == ends[epoch] and work.finished(stage) != "written":
                    if work.finished(stage) is None:
                        check_out(base, out)
                        work.finish(stage, "begun")  # what is there from now on is ours
                    if not Path(out).exists():
                        record.notes |= {"epoch": epoch, "steps": step}
                        write(out)
                    work.finish(stage, "written")

        for epoch in config.kept():
            if work.finished(f"epoch-{epoch}") is None:
                check_out(base, f"{config.out}-epoch-{epoch}")
        run = Run(config, model, rows, work, record.notes)
        summary = trained(model, rows, training, objective(run), work.folder / "training", method, keep)
        ended = config.epochs if summary["stopped"] == "steps" else None
        record.notes |= {"epoch": ended, **summary, "seconds_before_writing": round(work.seconds, 3)}
        return write(config.out)


def training_of(config: FineTuning, rows: Rows) -> TrainingConfig:
    """How to train on rows for all epochs of a config."""
    steps = _steps(config, rows, config.epochs)
    return TrainingConfig(
        steps=steps,
        learning_rate=config.lr,
        warmup_steps=min(steps, _steps(config, rows, config.warmup_epochs)),
        whole_epochs=True,
        schedule=getattr(config, "schedule", "linear"),
        checkpoint_every=max(_STEPS_WORTH_KEEPING, steps // 10),
        **{name: getattr(config, name) for name in _SAME_IN_TRAINING},
    )


def trained(
    model: Any,
    rows: Rows,
    config: TrainingConfig,
    objective: Objective,
    folder: Path,
    title: str,
    after: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Train, and return what to note of it: why it ended, its steps, and the first and last loss and term means.

    Raises:
        InputError: as `loop.train`, or not one step could be made.
    """
    curve, stopped = train(model, rows, config, objective=objective, folder=folder, title=title, after=after)
    if not curve:
        raise InputError(
            f"{title[0].lower()}{title[1:]} made no step: the first loss exceeds max_loss {config.max_loss:g} already."
        )
    note: dict[str, Any] = {"stopped": stopped, "steps": len(curve)}
    for when, point in (("first", curve[0]), ("last", curve[-1])):
        note |= {f"loss_{when}": point.loss, **{f"{term}_{when}": mean for term, mean in point.parts.items()}}
    return note


def train_only(model: Any, parts: Sequence[str]) -> None:
    """Train the parameters with one of ``parts`` in their dotted names, and no others.

    Raises:
        InputError: a part is in no name.

    >>> model = torch.nn.ModuleDict({"up_proj": torch.nn.Linear(1, 1), "down_proj": torch.nn.Linear(1, 1)})
    >>> train_only(model, ["down_proj", "up_proj.bias"])
    >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    ['up_proj.bias', 'down_proj.weight', 'down_proj.bias']
    """
    names = {name: f".{name}." for name, _ in model.named_parameters()}
    if lost := [part for part in parts if not any(f".{part}." in name for name in names.values())]:
        raise InputError(f"no parameter of the model has {lost[0]!r} in its name, such as {next(iter(names))}.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(f".{part}." in names[name] for part in parts))


def add_lora(
    model: Any, *, rank: int = 8, alpha: int = 16, dropout: float = 0.0, targets: Sequence[str] | str = "all-linear"
) -> Any:
    """Wrap a model so that low-rank adapters are all that is trained; ``save_pretrained`` then writes the adapter.

    Args:
        model: a model of transformers.
        rank: of the adapters; 8 is peft's default.
        alpha: the adapters are scaled by alpha / rank; ours.
        dropout: of the adapters' input; 0 is peft's default.
        targets: ends of the names of the adapted linears, or peft's ``all-linear`` (ours).

    Raises:
        InputError: peft is not installed, or no linear has such a name.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError('LoRA needs peft: pip install "harness-ext[methods]"') from None
    kind = None if not model.can_generate() else "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    chosen = targets if isinstance(targets, str) else list(targets)
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen, task_type=kind)
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise InputError(f"no adapter can be added ({str(error).partition('.')[0]}).") from None


def training_bytes(model: Any) -> int:
    """What the checkpoints of a training take on the disk: two of them while one replaces the other, in float32."""
    everything: int = sum(parameter.numel() for parameter in model.parameters())
    moments: int = 2 * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return 2 * 4 * (everything + moments)


def places_in(base: Checkpoint, model: Any) -> dict[str, str]:
    """Name of a tensor in the files → name of the parameter that it is in the model; tied ones may have two names.

    Raises:
        InputError: a parameter is in no file, so that it would be random, or could not be written.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    prefix = f"{model.base_model_prefix}."
    places = {
        stored: own
        for stored in base.names
        for own in (stored, f"{prefix}{stored}", stored.removeprefix(prefix))
        if own in parameters
    }
    found = {id(parameters[own]) for own in places.values()}
    if lost := [name for name, parameter in parameters.items() if id(parameter) not in found]:
        raise InputError(f"{base.path}: there is no tensor {lost[0]}, which {type(model).__name__} has.")
    return places


_STEPS_WORTH_KEEPING = 10
"""Of a training: a checkpoint holds the whole model and costs about as much as a few steps."""

_SAME_IN_TRAINING = (
    "batch_size", "accumulation", "weight_decay", "max_gradient_norm", "precision", "max_loss", "seed",
)  # fmt: skip


def _choose(config: FineTuning, model: Any) -> Any:
    if config.trained == "lora":
        torch.manual_seed(config.seed)
        own = {name: getattr(config, f"lora_{name}") for name in ("rank", "alpha", "dropout", "targets")}
        return add_lora(model, **own)
    if config.trained != "all":
        train_only(model, config.trained)
    return model


def _steps(config: FineTuning, rows: Rows, epochs: float) -> int:
    an_epoch = math.ceil(len(next(iter(rows.values()))) / (config.batch_size * config.accumulation))
    return math.ceil(epochs * an_epoch)


def _trained_values(model: Any, place: str | None) -> list[torch.Tensor] | None:
    """New values for `write_checkpoint`; ``None`` where nothing was trained."""
    parameter = None if place is None else model.get_parameter(place)
    return [parameter.detach().cpu()] if parameter is not None and parameter.requires_grad else None


def _write_lora(model: Any, untrained: Path, out: str, record: Record) -> Path:
    from peft import get_peft_model_state_dict

    values = {name: tensor.detach().cpu() for name, tensor in get_peft_model_state_dict(model).items()}
    return write_adapter(untrained, out, values, {}, record)
