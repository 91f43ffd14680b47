"""The diagonal Fisher information of a model that is read from its files layer by layer, forwards and backwards.

Beside the scores, one layer, the embeddings and two batches' hidden states are in memory, not the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch

from harness_ext.methods.checkpoints.read import Checkpoint
from harness_ext.methods.importance import mean_over_batches, refuse_unscored
from harness_ext.methods.layers.decoder import Batch, DecoderLayers
from harness_ext.methods.layers.loading import drop_weights, load_weights

_TOGETHER = 2
"""Batches for which a layer is read once on either way."""


def layerwise_fisher(
    layers: DecoderLayers,
    checkpoint: Checkpoint,
    batches: Iterable[Batch],
    targets: Mapping[int, Sequence[str]],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """`importance.diagonal_fisher` of the linears ``targets``, with weights that are read when they are needed.

    A layer is read on the way to the loss and on the way back, each time for two batches: once a batch.

    Args:
        layers: of a model without weights, which is left without weights.
        checkpoint: where its weights are.
        batches: ``input_ids``, ``attention_mask`` and ``labels`` (-100 where no loss is taken), each (rows, tokens).
        targets: number of a layer → names of its linears' weights that are scored.
        device: on which to compute.

    Returns:
        name → float32 tensor >= 0 of the weight's shape, on ``device``.

    Raises:
        InputError: there is no batch, a batch has no token with a loss, a gradient is not finite, or ``checkpoint``
            lacks a weight of the model.

    Source: as `importance.diagonal_fisher`.
    """
    layers.model.requires_grad_(False)
    sums: dict[str, torch.Tensor] = {}
    count = 0
    with _weights_outside(layers, checkpoint, device):
        coming = iter(batches)
        while some := list(itertools.islice(coming, _TOGETHER)):
            for number, batch in enumerate(some, start=count + 1):
                refuse_unscored(batch, number)
            _add_squares(layers, checkpoint, some, targets, device, sums)
            count += len(some)
    return mean_over_batches(sums, count)


def _add_squares(
    layers: DecoderLayers,
    checkpoint: Checkpoint,
    batches: Sequence[Batch],
    targets: Mapping[int, Sequence[str]],
    device: torch.device,
    sums: dict[str, torch.Tensor],
) -> None:
    """Add the squares of each batch's gradients to ``sums``."""
    first = min(targets)
    states = [[layers.embed(batch)] for batch in batches]
    for index in range(len(layers)):
        with _weights_of_layer(layers, index, checkpoint, device):
            for batch, own in zip(batches, states, strict=True):
                after = layers.run(index, batch, own[-1])
                own[:] = [*own, after] if index >= first else [after]
    gradients = [_gradient_of_loss(layers, batch, own.pop()) for batch, own in zip(batches, states, strict=True)]
    for index in reversed(range(first, len(layers))):
        with _weights_of_layer(layers, index, checkpoint, device):
            weights = {name: layers.linears(index)[name].weight for name in targets.get(index, ())}
            for weight in weights.values():
                weight.requires_grad_()
            for number, batch in enumerate(batches):
                before = states[number].pop().requires_grad_()
                layers.run(index, batch, before, gradients=True).backward(gradients[number])
                gradients[number] = before.grad
                for name, weight in weights.items():
                    square = cast(torch.Tensor, weight.grad).square_()
                    sums[name] = sums[name].add_(square) if name in sums else square
                    weight.grad = None
            for weight in weights.values():
                weight.requires_grad_(False)


def _gradient_of_loss(layers: DecoderLayers, batch: Batch, behind: torch.Tensor) -> torch.Tensor | None:
    """The gradient of a batch's loss by the states behind the last layer."""
    layers.loss(batch, behind.requires_grad_()).backward()
    return behind.grad


@contextmanager
def _weights_of_layer(
    layers: DecoderLayers, index: int, checkpoint: Checkpoint, device: torch.device
) -> Iterator[None]:
    load_weights(layers.model, checkpoint, layers.weights(index), device)
    yield
    drop_weights(layers.model, layers.weights(index))


@contextmanager
def _weights_outside(layers: DecoderLayers, checkpoint: Checkpoint, device: torch.device) -> Iterator[None]:
    """Meanwhile all weights that are in no layer are there; an output that is not stored shares the embeddings."""
    model = layers.model
    entering = layers.weights(None)
    leaving = [name for name in layers.weights_outside() if name not in entering]
    load_weights(model, checkpoint, entering, device)
    if model.config.get_text_config().tie_word_embeddings and not set(leaving) & set(checkpoint.names):
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    else:
        load_weights(model, checkpoint, leaving, device)
    yield
    drop_weights(model, layers.weights_outside())
