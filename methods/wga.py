"""Weighted gradient ascent: tokens that are unlikely already are pushed less (arXiv 2502.19301)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.losses import wga
from harness_ext.methods.settings import NotNegative, Positive, settings
from harness_ext.methods.training.objective import answer_logits, per_token, scored_tokens
from harness_ext.methods.training.unlearning import Unlearning, unlearned


@settings
class Config(Unlearning):
    """WGA (arXiv 2502.19301), with a loss of what to retain beside it where there is such data."""

    beta: NotNegative = 1.0
    """Power of a token's probability in its weight; 0 is gradient ascent (source: open-unlearning)."""
    forget_weight: Positive = 1.0
    """Weight of the forget loss (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    forget = per_token(
        "forget",
        lambda model, batch: wga(answer_logits(model, batch), scored_tokens(batch), config.beta, "sum"),
        config.forget_weight,
    )
    return unlearned("wga", config, lambda run: forget)
