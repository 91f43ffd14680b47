"""The one small training loop that methods share: ``accelerate`` for devices, precision and processes, ours for order.

The point of variation is a function ``loss(model, batch)``. Data order is a pure function of seed and step, so a run
that was killed continues from its last checkpoint to the same weights, on CPU to the last bit. One process with
``accumulation=2`` and two processes with ``accumulation=1`` see the same rows in the same step.

Data parallelism only: every process holds the whole model.
:mod:`harness_ext.methods.training.supervised` makes the rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from harness_ext.errors import InputError
from harness_ext.methods.training.loss_curve import LossCurve, Point
from harness_ext.methods.training.resume import Checkpoints, identity
from harness_ext.methods.training.supervised import answer_loss, pad

Batch = Mapping[str, Any]
Loss = Callable[[Any, Any], tuple[torch.Tensor, int]]
"""``loss(model, batch) -> (total, count)``: a sum and the number of its terms (answer tokens, or sequences).

The loop divides the sums of all micro-batches and processes of a step by the sum of their counts: only so do k small
batches with answers of different lengths equal one large batch.
"""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Every default is ours unless its docstring names a source."""

    steps: int
    """Optimizer steps."""
    learning_rate: float = 2e-5
    """Peak rate of AdamW (source: full fine-tuning in Stanford Alpaca's train.py recipe; LoRA usually takes 1e-4)."""
    batch_size: int = 8
    """Rows of a micro-batch, in each process."""
    accumulation: int = 1
    """Micro-batches of a step, in each process."""
    schedule: str = "linear"
    """A name that ``transformers.get_scheduler`` knows (source: default of transformers' ``TrainingArguments``)."""
    warmup_steps: int = 0
    """Steps in which the rate rises to its peak (source: default of transformers' ``TrainingArguments``)."""
    weight_decay: float = 0.0
    """Decoupled decay of every trained weight (source: default of transformers' ``TrainingArguments``)."""
    max_gradient_norm: float | None = 1.0
    """Gradients are scaled down to this norm; None: never (source: default of transformers' ``TrainingArguments``)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision of accelerate; ``no`` computes in the weights' own type."""
    max_loss: float | None = None
    """Stop before the first step whose loss is larger than this, its sign aside: gradient ascent, whose loss is a
    negated likelihood without bound, has no other end. None: never."""
    checkpoint_every: int | None = None
    """Steps between checkpoints; None: only one, at the end. Needs a folder."""
    seed: int = 0
    """Of the order of rows, and of dropout."""

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        for name in ("steps", "batch_size", "accumulation", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: must be 1 or more")
        for name in ("learning_rate", "weight_decay", "warmup_steps"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}: must be 0 or more")


class Trained(NamedTuple):
    """What a run did: its curve, and why it ended (``steps`` were done, or the loss passed ``max_loss``)."""

    curve: list[Point]
    stopped: Literal["steps", "max_loss"]


def train(
    model: Any,
    rows: Sequence[Mapping[str, Any]],
    config: TrainingConfig,
    *,
    loss: Loss = answer_loss,
    collate: Callable[[Sequence[Mapping[str, Any]]], Batch] = pad,
    folder: Path | None = None,
    title: str = "training",
) -> Trained:
    """Train ``model`` in place on ``rows``; parameters without ``requires_grad`` stay as they are.

    Args:
        model: a module; a peft model trains its adapter only (:func:`add_lora`).
        rows: what ``collate`` takes, by default token lists ``input_ids`` and ``labels`` of any length.
        config: how to train.
        loss: see :data:`Loss`; by default the negative log-likelihood of answer tokens.
        collate: makes a batch of rows; tensors in it are moved to the model's device.
        folder: where ``losses.csv``, ``losses.svg`` and ``checkpoint-<step>`` go, and where a killed run of the same
            config and rows continues. None: nothing is written, and nothing can be resumed.
        title: of the progress bar, which is shown on a terminal only.

    Returns:
        The curve, one point a step, those before a resume included.

    Raises:
        InputError: there are no rows or no trainable parameters, the folder holds another run, or the loss or its
            gradient is not finite; the sentence names the step, and the weights of that step are not changed.
        DataError: a checkpoint or the curve cannot be written, or a checkpoint is damaged; an unwritten one leaves the
            one before it intact.

    >>> layer = torch.nn.Linear(1, 1)
    >>> squares = lambda model, batch: (((model(batch["x"]) - 3) ** 2).sum(), len(batch["x"]))
    >>> stack = lambda rows: {"x": torch.tensor([row["x"] for row in rows])}
    >>> config = TrainingConfig(steps=60, batch_size=2, learning_rate=0.2)
    >>> trained = train(layer, [{"x": [1.0]}, {"x": [-1.0]}], config, loss=squares, collate=stack)
    >>> trained.curve[-1].loss < trained.curve[0].loss / 10
    True
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import send_to_device, set_seed
    from tqdm import tqdm
    from transformers import get_scheduler

    if len(rows) == 0:
        raise InputError("there are no rows to train on: give at least one prompt with its answer")
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise InputError("no parameter of the model requires a gradient: nothing can be trained")

    accelerator = Accelerator(mixed_precision=config.precision)
    processes = accelerator.num_processes
    set_seed(config.seed, device_specific=True)
    optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
    # The schedule is not prepared: accelerate would advance it once a process.
    scheduler = get_scheduler(config.schedule, optimizer, config.warmup_steps, config.steps)
    was_training = model.training
    wrapped, prepared = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(scheduler)
    first, checkpoints = 0, None
    if folder is not None:
        checkpoints = Checkpoints(folder, accelerator, identity({**asdict(config), "processes": processes}, rows))
        first = checkpoints.restore()
    curve = LossCurve(folder if accelerator.is_main_process else None, first)
    stopped: Literal["steps", "max_loss"] = "steps"
    steps = range(first + 1, config.steps + 1)
    bar = tqdm(total=config.steps, initial=first, desc=title, disable=None, leave=False)
    wrapped.train()
    try:
        for step, micro_batches in zip(steps, _own_rows(rows, config, first, accelerator), strict=False):
            total, terms = torch.zeros((), device=accelerator.device), 0
            for number, chosen in enumerate(micro_batches, start=1):
                batch = send_to_device(collate(chosen), accelerator.device)
                with nullcontext() if number == len(micro_batches) else accelerator.no_sync(wrapped):
                    part, count = loss(wrapped, batch)
                    accelerator.backward(part)
                total, terms = total + part.detach(), terms + count
            mean, terms = _over_processes(accelerator, total, terms)
            if not math.isfinite(mean):
                raise InputError(_not_finite("loss", mean, step, config))
            if config.max_loss is not None and abs(mean) > config.max_loss:
                stopped = "max_loss"
                break
            for parameter in trainable:
                if parameter.grad is not None:
                    parameter.grad.mul_(processes / terms)  # processes: their gradients were averaged
            norm = float(accelerator.clip_grad_norm_(trainable, config.max_gradient_norm or math.inf))
            if not math.isfinite(norm) and config.precision != "fp16":  # fp16 skips such a step and lowers its scale
                raise InputError(_not_finite("gradient", norm, step, config))
            curve.add(Point(step, mean, scheduler.get_last_lr()[0], norm, terms))
            prepared.step()
            scheduler.step()
            prepared.zero_grad()
            bar.update()
            bar.set_postfix(loss=f"{mean:.3f}")
            if checkpoints and (step == config.steps or step % (config.checkpoint_every or config.steps) == 0):
                checkpoints.save(step)
    finally:
        bar.close()
        curve.close(title)
        prepared.zero_grad()
        accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False).train(was_training)
        accelerator.free_memory()
        AcceleratorState._reset_state()  # the next run of this process may want another precision
    return Trained(curve.points, stopped)


def add_lora(
    model: Any, *, rank: int = 8, alpha: int = 16, dropout: float = 0.0, targets: Sequence[str] | str = "all-linear"
) -> Any:
    """Wrap a model so that :func:`train` trains low-rank adapters only; ``save_pretrained`` then writes the adapter.

    Args:
        model: a causal language model.
        rank: of the adapters; 8 is peft's default.
        alpha: the adapters are scaled by alpha / rank; ours.
        dropout: of the adapters' input; 0 is peft's default.
        targets: name parts of the adapted linears, or peft's ``all-linear`` (ours).

    Raises:
        InputError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError('LoRA needs peft: pip install "harness-ext[methods]"') from None
    chosen = targets if isinstance(targets, str) else list(targets)
    return get_peft_model(
        model,
        LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen, task_type="CAUSAL_LM"),
    )


def order(count: int, seed: int, start: int = 0) -> Iterator[int]:
    """Row numbers without end, every row once an epoch, each epoch shuffled anew; ``start`` skips that many.

    >>> list(islice(order(3, seed=0), 6)) == [*islice(order(3, seed=0), 2), *islice(order(3, seed=0, start=2), 4)]
    True
    """
    epoch, skipped = divmod(start, count)
    while True:
        numbers = list(range(count))
        random.Random(f"{seed}|{epoch}").shuffle(numbers)  # noqa: S311 (an order, no secret)
        yield from numbers[skipped:]
        epoch, skipped = epoch + 1, 0


def _own_rows(
    rows: Sequence[Mapping[str, Any]], config: TrainingConfig, steps_done: int, accelerator: Any
) -> Iterator[list[list[Mapping[str, Any]]]]:
    """For each step the micro-batches of this process."""
    processes = accelerator.num_processes
    in_step = config.batch_size * config.accumulation * processes
    numbers = order(len(rows), config.seed, steps_done * in_step)
    while True:
        own = [rows[number] for number in list(islice(numbers, in_step))[accelerator.process_index :: processes]]
        yield [own[start : start + config.batch_size] for start in range(0, len(own), config.batch_size)]


def _over_processes(accelerator: Any, total: torch.Tensor, terms: int) -> tuple[float, int]:
    both = torch.stack([total.double(), torch.tensor(float(terms), dtype=torch.float64, device=total.device)])
    all_total, all_terms = accelerator.reduce(both, reduction="sum").tolist()
    if not all_terms:
        raise InputError("a step has nothing to score: every row needs at least one answer token")
    return all_total / all_terms, int(all_terms)


def _not_finite(what: str, value: float, step: int, config: TrainingConfig) -> str:
    return (
        f"the {what} is {value} at step {step} of {config.steps}: the weights of step {step - 1} were the last good "
        f"ones; lower learning_rate ({config.learning_rate}), or look for rows that the model cannot score"
    )
