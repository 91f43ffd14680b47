"""Gradient ascent held back: retained answers stay distributed as they were (baseline of arXiv 2401.06121)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness_ext.methods.settings import settings
from harness_ext.methods.training.objective import nll_of
from harness_ext.methods.training.unlearning import Contrasting, unlearned


@settings
class Config(Contrasting):
    """GA+KL, the "KL minimisation" of TOFU (arXiv 2401.06121)."""

    retain_loss: Literal["kl"] = "kl"
    """KL(before ‖ model) over the answer tokens (ours; TOFU takes all positions, prompt and padding too)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    return unlearned("ga_kl", config, lambda run: nll_of(forget=-1.0))
