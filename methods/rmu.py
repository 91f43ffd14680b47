"""RMU: steer what the model thinks of forgotten answers to a random direction, at one layer (arXiv 2403.03218)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from harness_ext.errors import InputError
from harness_ext.methods.layers.decoder import DecoderLayers
from harness_ext.methods.losses import IGNORED, steered
from harness_ext.methods.settings import CountFrom0, NotNegative, Positive, settings
from harness_ext.methods.training.finetuned import Run, finetuned
from harness_ext.methods.training.objective import Batch, Objective, nll_of, per_row
from harness_ext.methods.training.unlearning import Forgetting


@settings
class Config(Forgetting):
    """Representation misdirection for unlearning (WMDP, arXiv 2403.03218), as in open-unlearning."""

    retain_data: str
    """JSONL of what to keep, ``prompt`` and ``answer`` a line."""
    layer: CountFrom0 = 7
    """Decoder layer whose output is steered, from 0 (source: open-unlearning, for a model of 7 billion)."""
    trained: Literal["all", "lora"] | tuple[str, ...] = tuple(f"layers.{layer}.mlp.down_proj" for layer in (5, 6, 7))
    """Parts of the names of what trains (source: the same); for other models name the layers up to ``layer``."""
    coefficient: Positive = 20.0
    """Length of the direction, c (source: open-unlearning)."""
    forget_weight: Positive = 1.0
    """Weight of the steering, γ (source: open-unlearning)."""
    retain_weight: NotNegative = 1.0
    """Weight of what keeps the others, α (source: open-unlearning; WMDP's own script takes 1,200)."""
    retain_loss: Literal["embed_diff", "nll"] = "embed_diff"
    """Distance of retained answers' states to those before, or their negative log-likelihood (source: as RMU)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""

    def objective(run: Run) -> Objective:
        layers = DecoderLayers(run.model)
        if run.model.config.is_encoder_decoder or config.layer >= len(layers):
            raise InputError(
                f"layer is {config.layer}. Give one of a decoder-only model's layers: 0 to {len(layers) - 1}."
            )
        layer = layers.modules[config.layer]
        width = run.model.config.get_text_config().hidden_size
        drawn = torch.rand(width, generator=torch.Generator().manual_seed(config.seed))
        target = config.coefficient * drawn / drawn.norm()

        def forget(model: Any, batch: Batch) -> torch.Tensor:
            states = states_behind(layer, model, batch)
            return steered(states, target.to(states), batch["labels"] != IGNORED).sum()

        steering = per_row("forget", forget, config.forget_weight)
        if config.retain_loss == "nll":
            return steering + nll_of(retain=config.retain_weight)
        before = run.reference_tokens(
            "retain", width, lambda model, batch: states_behind(layer, model, batch)[batch["labels"] != IGNORED]
        )

        def retain(model: Any, batch: Batch) -> torch.Tensor:
            states, scored = states_behind(layer, model, batch), batch["labels"] != IGNORED
            wanted = torch.zeros_like(states)
            wanted[scored] = before(batch).to(states)
            return steered(states, wanted, scored).sum()

        return steering + per_row("retain", retain, config.retain_weight)

    return finetuned("rmu", config, {"forget": config.forget_data, "retain": config.retain_data}, objective)


def states_behind(layer: torch.nn.Module, model: Any, batch: Batch) -> torch.Tensor:
    """Hidden states that a layer of the model hands on, shape (rows, tokens, hidden)."""
    seen: list[torch.Tensor] = []

    def see(_: Any, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    with layer.register_forward_hook(see):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return seen[-1]
