"""The one small training loop that methods share: ``accelerate`` for devices, precision and processes, ours for order.

The point of variation is an `objective`. Data order is a pure function of seed and step, so a run that was killed
continues from its last checkpoint to the same weights, on CPU to the last bit. One process with ``accumulation=2`` and
two processes with ``accumulation=1`` see the same rows in the same step.

Data parallelism only: every process holds the whole model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from harness_ext.errors import InputError
from harness_ext.methods.settings import Count, CountFrom0, NotNegative, settings
from harness_ext.methods.training.loss_curve import LossCurve, Point
from harness_ext.methods.training.objective import Batch, Objective, nll_of
from harness_ext.methods.training.pairs import Rows, laid_out
from harness_ext.methods.training.resume import Checkpoints, identity
from harness_ext.methods.training.rows import pad


@settings
class TrainingConfig:
    """How to train. Every default is ours unless its docstring names a source."""

    steps: Count
    """Optimizer steps."""
    learning_rate: NotNegative = 2e-5
    """Peak rate of AdamW (source: full fine-tuning in Stanford Alpaca's train.py recipe; LoRA usually takes 1e-4)."""
    batch_size: Count = 8
    """Rows of a micro-batch, of each role and in each process."""
    accumulation: Count = 1
    """Micro-batches of a step, in each process."""
    whole_epochs: bool = False
    """The last step of an epoch holds what is left of the first role's rows, however few (source: as transformers'
    ``Trainer`` does); otherwise rows of the next epoch fill it."""
    schedule: str = "linear"
    """A name that ``transformers.get_scheduler`` knows (source: default of transformers' ``TrainingArguments``)."""
    warmup_steps: CountFrom0 = 0
    """Steps in which the rate rises to its peak (source: default of transformers' ``TrainingArguments``)."""
    weight_decay: NotNegative = 0.0
    """Decoupled decay of every trained weight (source: default of transformers' ``TrainingArguments``)."""
    max_gradient_norm: float | None = 1.0
    """Gradients are scaled down to this norm; None: never (source: default of transformers' ``TrainingArguments``)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision of accelerate; ``no`` computes in the weights' own type."""
    max_loss: float | None = None
    """Stop before the first step whose loss is larger than this, its sign aside: gradient ascent, whose loss is a
    negated likelihood without bound, has no other end. None: never."""
    checkpoint_every: Count | None = None
    """Steps between checkpoints; None: only one, at the end. Needs a folder."""
    seed: int = 0
    """Of the order of rows, and of dropout."""


class Trained(NamedTuple):
    """What a run did: its curve, and why it ended (``steps`` were done, or the loss passed ``max_loss``)."""

    curve: list[Point]
    stopped: Literal["steps", "max_loss"]


def train(
    model: Any,
    rows: Rows,
    config: TrainingConfig,
    *,
    objective: Objective | None = None,
    collate: Callable[[Sequence[Mapping[str, Any]]], Any] = pad,
    folder: Path | None = None,
    after: Callable[[int], None] | None = None,
    title: str = "training",
) -> Trained:
    """Train ``model`` in place on ``rows``; parameters without ``requires_grad`` stay as they are.

    Args:
        model: a module; a peft model trains its adapter only.
        rows: of each role, what ``collate`` takes, by default token lists of any length; `pairs` says which meet.
        config: how to train.
        objective: what to minimise; by default the negative log-likelihood of the answers of all roles.
        collate: makes a batch of one role's rows; tensors in it are moved to the model's device.
        folder: where ``losses.csv``, ``losses.svg`` and ``checkpoint-<step>`` go, and where a killed run of the same
            config and rows continues. None: nothing is written, and nothing can be resumed.
        after: is called with the number of each step that was done, before its checkpoint is written; a resumed run
            repeats the calls for steps after its last checkpoint.
        title: of the progress bar, which is shown on a terminal only.

    Returns:
        The curve, one point a step, those before a resume included.

    Raises:
        InputError: there are no rows or no trainable parameters, the folder holds another run, or the loss or its
            gradient is not finite; the sentence names the step, and the weights of that step are not changed.
        DataError: a checkpoint or the curve cannot be written, or a checkpoint is damaged; an unwritten one leaves the
            one before it intact.

    >>> layer = torch.nn.Linear(1, 1)
    >>> squares = Objective(
    ...     {"squares": 1.0},
    ...     counts=lambda batch: {"squares": len(batch["rows"]["x"])},
    ...     sums=lambda model, batch: {"squares": ((model(batch["rows"]["x"]) - 3) ** 2).sum()},
    ... )
    >>> stack = lambda rows: {"x": torch.tensor([row["x"] for row in rows])}
    >>> config = TrainingConfig(steps=60, batch_size=2, learning_rate=0.2)
    >>> trained = train(layer, {"rows": [{"x": [1.0]}, {"x": [-1.0]}]}, config, objective=squares, collate=stack)
    >>> trained.curve[-1].loss < trained.curve[0].loss / 10
    True
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import send_to_device, set_seed
    from tqdm import tqdm
    from transformers import get_scheduler

    if not rows or not all(len(own) for own in rows.values()):
        raise InputError("there are no rows to train on: give at least one prompt with its answer")
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise InputError("no parameter of the model requires a gradient: nothing can be trained")

    objective = objective or nll_of(**dict.fromkeys(rows, 1.0))
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
    curve = LossCurve(folder if accelerator.is_main_process else None, first, list(objective.weights))
    stopped: Literal["steps", "max_loss"] = "steps"
    steps = range(first + 1, config.steps + 1)
    bar = tqdm(total=config.steps, initial=first, desc=title, disable=None, leave=False)
    wrapped.train()
    try:
        for step, micro_batches in zip(steps, _own_batches(rows, config, collate, first, accelerator), strict=False):
            counts = _over_processes(accelerator, _counted(objective, micro_batches))
            scales = {term: weight / counts[term] for term, weight in objective.weights.items() if counts[term]}
            if not scales:
                raise InputError("a step has nothing to score: every row needs at least one answer token")
            sums = dict.fromkeys(scales, torch.zeros((), device=accelerator.device))
            for number, micro_batch in enumerate(micro_batches, start=1):
                batch = send_to_device(micro_batch, accelerator.device)
                parts = [part for part in objective.parts() if part.weights.keys() & scales.keys()]
                for place, part in enumerate(parts, start=1):
                    last = number == len(micro_batches) and place == len(parts)
                    with nullcontext() if last else accelerator.no_sync(wrapped):
                        own = {term: value for term, value in part.sums(wrapped, batch).items() if term in scales}
                        loss = sum(scales[term] * value for term, value in own.items())
                        accelerator.backward(loss * processes)  # whose gradients are averaged
                    sums |= {term: sums[term] + value.detach() for term, value in own.items()}
            totals = _over_processes(accelerator, sums)
            loss_of_step = sum(scale * totals[term] for term, scale in scales.items())
            if not math.isfinite(loss_of_step):
                raise InputError(_not_finite("loss", loss_of_step, step, config))
            if config.max_loss is not None and abs(loss_of_step) > config.max_loss:
                stopped = "max_loss"
                break
            norm = float(accelerator.clip_grad_norm_(trainable, config.max_gradient_norm or math.inf))
            if not math.isfinite(norm) and config.precision != "fp16":  # fp16 skips such a step and lowers its scale
                raise InputError(_not_finite("gradient", norm, step, config))
            means = {term: totals[term] / counts[term] for term in scales}
            rate = scheduler.get_last_lr()[0]
            curve.add(Point(step, loss_of_step, rate, norm, int(sum(counts.values())), means))
            prepared.step()
            scheduler.step()
            prepared.zero_grad()
            bar.update()
            bar.set_postfix(loss=f"{loss_of_step:.3f}")
            if after:
                after(step)
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


def _own_batches(
    rows: Rows, config: TrainingConfig, collate: Callable[..., Any], steps_done: int, accelerator: Any
) -> Iterator[list[Batch]]:
    """For each step the micro-batches of this process."""
    processes = accelerator.num_processes
    in_step = config.batch_size * config.accumulation * processes
    count = len(next(iter(rows.values())))
    in_epoch = range(0, count, in_step) if config.whole_epochs else None
    epoch, done = divmod(steps_done, len(in_epoch)) if in_epoch else (0, steps_done)
    layout = laid_out(rows, config.seed, epoch * count + done * in_step)
    if in_epoch and count - in_epoch[-1] < processes:
        raise InputError(
            f"the last step of an epoch has {count - in_epoch[-1]} rows for {processes} processes: change batch_size"
        )
    for step in itertools.count(steps_done):
        size = min(in_step, count - in_epoch[step % len(in_epoch)]) if in_epoch else in_step
        own = list(itertools.islice(layout, size))[accelerator.process_index :: processes]
        yield [
            {role: collate([pair[role] for pair in own[start : start + config.batch_size]]) for role in rows}
            for start in range(0, len(own), config.batch_size)
        ]


def _counted(objective: Objective, batches: Sequence[Batch]) -> dict[str, int]:
    counted = [objective.counts(batch) for batch in batches]
    return {term: sum(counts[term] for counts in counted) for term in objective.weights}


def _over_processes(accelerator: Any, values: Mapping[str, Any]) -> dict[str, float]:
    """The sum of each value over all processes."""
    own = torch.stack(
        [torch.as_tensor(value, dtype=torch.float64, device=accelerator.device) for value in values.values()]
    )
    return dict(zip(values, accelerator.reduce(own, reduction="sum").tolist(), strict=True))


def _not_finite(what: str, value: float, step: int, config: TrainingConfig) -> str:
    return (
        f"the {what} is {value} at step {step} of {config.steps}: the weights of step {step - 1} were the last good "
        f"ones; lower learning_rate ({config.learning_rate}), or look for rows that the model cannot score"
    )
