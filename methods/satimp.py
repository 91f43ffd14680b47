"""SatImp: ascent on tokens weighted by saturation and importance (arXiv 2505.11953)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.losses import satimp
from harness_ext.methods.settings import NotNegative, Positive, settings
from harness_ext.methods.training.objective import answer_logits, per_token, scored_tokens
from harness_ext.methods.training.unlearning import Unlearning, unlearned


@settings
class Config(Unlearning):
    """SatImp (arXiv 2505.11953), with a loss of what to retain beside it where there is such data."""

    beta1: NotNegative = 5.0
    """Power of a token's probability p in its weight (source: open-unlearning)."""
    beta2: NotNegative = 1.0
    """Power of 1 - p (source: open-unlearning)."""
    forget_weight: Positive = 0.1
    """Weight of the forget loss (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    forget = per_token(
        "forget",
        lambda model, batch: satimp(
            answer_logits(model, batch), scored_tokens(batch), config.beta1, config.beta2, "sum"
        ),
        config.forget_weight,
    )
    return unlearned("satimp", config, lambda run: forget)
