"""Gradient ascent: unlearn answers by making them less likely, until told to stop (baseline of arXiv 2401.06121)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.settings import settings
from harness_ext.methods.training.finetuned import finetuned
from harness_ext.methods.training.objective import nll_of
from harness_ext.methods.training.unlearning import Forgetting


@settings
class Config(Forgetting):
    """GA, gradient ascent on the mean token likelihood (TOFU, arXiv 2401.06121). It has no end: look at every epoch."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    return finetuned("gradient_ascent", config, {"forget": config.forget_data}, lambda run: nll_of(forget=-1.0))
