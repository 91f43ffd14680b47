"""How much a weight matters for a loss: the diagonal Fisher information of IRR and the SNIP score of SafePatching."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch

from harness_ext.errors import InputError

Targets = Sequence[str] | Literal["all"]
Batch = Mapping[str, torch.Tensor]


def is_target(name: str, targets: Targets) -> bool:
    """Whether a parameter is meant: ``"all"``, or one of ``targets`` is a part of its dotted name or all of it.

    >>> is_target("model.layers.0.self_attn.q_proj.weight", ["q_proj"])
    True
    >>> is_target("model.layers.0.self_attn.q_proj.weight", ["proj"])
    False
    """
    return targets == "all" or not {name, *name.split(".")}.isdisjoint(targets)


def diagonal_fisher(model: Any, batches: Iterable[Batch], targets: Targets) -> dict[str, torch.Tensor]:
    """Mean over batches of the squared gradient of the batch's loss, for every target parameter.

    This is the square of a *batch* gradient, as the authors of IRR compute it, not a Fisher information per sample:
    its value depends on which examples share a batch.

    Args:
        model: a causal language model; its gradients and ``requires_grad`` flags are left as they were.
        batches: ``input_ids``, ``attention_mask`` and ``labels`` (-100 where no loss is taken), each (rows, tokens).
        targets: name parts such as ``["q_proj", "v_proj"]``, or ``"all"`` parameters.

    Returns:
        name → float32 tensor >= 0 of the parameter's shape, on its device.

    Raises:
        InputError: no parameter is a target, there is no batch, a batch has no token with a loss, or a gradient is
            not finite.

    Source: IRR (arXiv 2412.11041), ``src/compute_fisher_information_matrix.py`` of the released code.

    >>> from types import SimpleNamespace
    >>> class Slope(torch.nn.Linear):  # the loss is weight * mean(x)
    ...     def forward(self, x, labels):
    ...         return SimpleNamespace(loss=super().forward(x).mean())
    >>> batches = [{"x": torch.tensor([[1.0], [3.0]]), "labels": torch.ones(2, 1)},
    ...            {"x": torch.tensor([[0.0]]), "labels": torch.ones(1, 1)}]
    >>> diagonal_fisher(Slope(1, 1, bias=False), batches, "all")["weight"].item()  # the mean of 2² and 0²
    2.0
    """
    return _mean_of_gradients(model, batches, targets, lambda _, gradient: gradient.square())


def snip(model: Any, batches: Iterable[Batch], targets: Targets) -> dict[str, torch.Tensor]:
    """Mean over samples of ``|W ⊙ ∂L/∂W|`` (SNIP), for every target parameter.

    The loss of a sample is its own token mean, so the way samples are batched does not matter.

    Args, Returns and Raises: as `diagonal_fisher`.

    Source: SNIP (arXiv 1810.02340), in the per-sample form that alignment-attribution-code uses for language models.
    """
    return _mean_of_gradients(
        model, _rows(batches), targets, lambda weight, gradient: (weight.float() * gradient).abs()
    )


def _mean_of_gradients(
    model: Any, batches: Iterable[Batch], targets: Targets, term: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    wanted = {name: weight for name, weight in model.named_parameters() if is_target(name, targets)}
    if not wanted:
        raise InputError(f"the model has no parameter named {' or '.join(targets)}; name parts of its own parameters")
    sums = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in wanted.items()}
    count = 0
    with _only_these_require_gradients(model, wanted), _added_up_while_going_back(wanted, sums, term):
        for batch in batches:
            refuse_unscored(batch, count + 1)
            model(**batch).loss.backward()
            count += 1
    return mean_over_batches(sums, count)


def refuse_unscored(batch: Batch, number: int) -> None:
    """Refuse a batch that has no loss.

    Raises:
        InputError: every label behind the first token is -100; the sentence has the batch's number.
    """
    if not bool((batch["labels"][:, 1:] != -100).any()) and batch["labels"].shape[1] > 1:
        raise InputError(f"batch {number} has no token with a loss: every label is -100")


def mean_over_batches(sums: dict[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """Divide sums over ``count`` batches by their number, in place.

    Raises:
        InputError: there was no batch, or a sum is not finite; the sentence names the weight.
    """
    if not count:
        raise InputError("no batch to compute gradients from")
    for name, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            raise InputError(f"{name}: a gradient is NaN or infinite; look at the data, or compute in float32")
        total /= count
    return sums


def _rows(batches: Iterable[Batch]) -> Iterator[dict[str, torch.Tensor]]:
    """Every sample as a batch of one, without the padding before and behind it."""
    for batch in batches:
        mask = batch["attention_mask"]
        for row in range(len(mask)):
            kept = mask[row].nonzero().flatten()
            first, last = int(kept[0]), int(kept[-1]) + 1
            yield {key: value[row : row + 1, first:last] for key, value in batch.items()}


@contextmanager
def _only_these_require_gradients(model: Any, wanted: Mapping[str, torch.nn.Parameter]) -> Iterator[None]:
    """Neither time nor memory is spent on other gradients; flags, gradients and the training mode come back."""
    parameters = dict(model.named_parameters())
    before = {name: (parameter.requires_grad, parameter.grad) for name, parameter in parameters.items()}
    training = model.training
    if training:
        model.eval()
    try:
        for name, parameter in parameters.items():
            parameter.grad = None
            parameter.requires_grad_(name in wanted)
        yield
    finally:
        for name, parameter in parameters.items():
            required, gradient = before[name]
            parameter.requires_grad_(required)
            parameter.grad = gradient
        if training:
            model.train()


@contextmanager
def _added_up_while_going_back(
    wanted: Mapping[str, torch.nn.Parameter],
    sums: Mapping[str, torch.Tensor],
    term: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Iterator[None]:
    """Each gradient is used and freed as soon as it is there, so that never two of them are in memory."""

    def hook_for(total: torch.Tensor) -> Callable[[torch.Tensor], None]:
        def add(weight: torch.Tensor) -> None:
            if weight.grad is not None:
                total.add_(term(weight.detach(), weight.grad.float()))
                weight.grad = None

        return add

    hooks = [weight.register_post_accumulate_grad_hook(hook_for(sums[name])) for name, weight in wanted.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
