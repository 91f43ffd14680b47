"""The diagonal Fisher information of a model that is read from its files layer by layer, forwards and backwards.

Beside the scores, one layer, the embeddings and one batch's hidden states are in memory, not the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch

from harness_ext.methods.checkpoints.read import Checkpoint
from harness_ext.methods.importance import mean_over_batches, refuse_unscored
from harness_ext.methods.layers.decoder import Batch, DecoderLayers
from harness_ext.methods.layers.loading import drop_weights, load_weights


def layerwise_fisher(
    layers: DecoderLayers,
    checkpoint: Checkpoint,
    batches: Iterable[Batch],
    targets: Mapping[int, Sequence[str]],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """`importance.diagonal_fisher` of the linears ``targets``, with weights that are read when they are needed.

    A layer is read twice a batch: on the way to the loss, and on the way back.

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
        for batch in batches:
            refuse_unscored(batch, count + 1)
            _add_squares(layers, checkpoint, batch, targets, device, sums)
            count += 1
    return mean_over_batches(sums, count)


def _add_squares(
    layers: DecoderLayers,
    checkpoint: Checkpoint,
    batch: Batch,
    targets: Mapping[int, Sequence[str]],
    device: torch.device,
    sums: dict[str, torch.Tensor],
) -> None:
    """Add the squares of a batch's gradients to ``sums``."""
    first = min(targets)
    states = [layers.embed(batch)]
    for index in range(len(layers)):
        with _weights_of_layer(layers, index, checkpoint, device):
            after = layers.run(index, batch, states[-1])
        states = [*states, after] if index >= first else [after]
    behind = states.pop().requires_grad_()
    layers.loss(batch, behind).backward()
    gradient = behind.grad
    for index in reversed(range(first, len(layers))):
        before = states.pop().requires_grad_()
        with _weights_of_layer(layers, index, checkpoint, device):
            linears = layers.linears(index)
            for name in targets.get(index, ()):
                linears[name].weight.requires_grad_()
            layers.run(index, batch, before, gradients=True).backward(gradient)
            for name in targets.get(index, ()):
                weight = linears[name].weight
                square = cast(torch.Tensor, weight.grad).square_()
                sums[name] = sums[name].add_(square) if name in sums else square
                weight.requires_grad_(False)
        gradient = before.grad


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
