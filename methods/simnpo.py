"""Simple NPO: the push on an answer fades with its likelihood a token, without a reference (arXiv 2410.07163)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.losses import simnpo
from harness_ext.methods.settings import Finite, Positive, settings
from harness_ext.methods.training.objective import answer_lengths, answer_nll, per_row
from harness_ext.methods.training.unlearning import Unlearning, unlearned


@settings
class Config(Unlearning):
    """SimNPO (arXiv 2410.07163), with a loss of what to retain beside it where there is such data."""

    beta: Positive = 4.5
    """How early the push away from an answer ends (source: open-unlearning)."""
    delta: Finite = 0.0
    """Negative log-likelihood of a token from which on it fades (source: open-unlearning)."""
    forget_weight: Positive = 0.125
    """Weight of the forget loss, γ (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    forget = per_row(
        "forget",
        lambda model, batch: simnpo(
            answer_nll(model, batch), answer_lengths(batch), config.beta, config.delta, reduction="sum"
        ),
        config.forget_weight,
    )
    return unlearned("simnpo", config, lambda run: forget)
