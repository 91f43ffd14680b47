"""Gradient difference: ascent on what to forget, descent on what to retain (baseline of arXiv 2401.06121)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.settings import Positive, settings
from harness_ext.methods.training.objective import nll_of
from harness_ext.methods.training.unlearning import Contrasting, unlearned


@settings
class Config(Contrasting):
    """GradDiff (Liu et al., arXiv 2203.12817, as in TOFU and open-unlearning)."""

    forget_weight: Positive = 1.0
    """Weight of the ascent (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    return unlearned("graddiff", config, lambda run: nll_of(forget=-config.forget_weight))
