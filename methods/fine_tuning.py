"""Fine-tuning: make right answers more likely, and nothing else; the baseline that every other method has to beat."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.settings import settings
from harness_ext.methods.training.finetuned import FineTuning, finetuned
from harness_ext.methods.training.objective import nll_of


@settings
class Config(FineTuning):
    """Supervised fine-tuning on the mean negative log-likelihood of an answer token."""

    train_data: str
    """JSONL of prompts with right answers, ``prompt`` and ``answer`` a line; `harness-ext pairs` writes one."""


def apply(config: Config) -> Path:
    """Fine-tune on ``config.train_data`` and write the model to ``config.out``; raises as `finetuned`."""
    return finetuned("fine_tuning", config, {"train": config.train_data}, lambda run: nll_of(train=1.0))
