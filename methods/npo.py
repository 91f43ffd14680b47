"""Negative preference optimisation: unlearn answers as the rejected ones of a preference (arXiv 2404.05868)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.losses import npo
from harness_ext.methods.settings import Positive, settings
from harness_ext.methods.training.finetuned import Run
from harness_ext.methods.training.objective import Objective, answer_nll, per_row
from harness_ext.methods.training.unlearning import Unlearning, unlearned


@settings
class Config(Unlearning):
    """NPO (arXiv 2404.05868), with a loss of what to retain beside it where there is such data."""

    beta: Positive = 0.1
    """How early the push away from an answer ends (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""

    def forget(run: Run) -> Objective:
        before = run.reference("forget", answer_nll)
        return per_row("forget", lambda model, batch: npo(answer_nll(model, batch), before(batch), config.beta, "sum"))

    return unlearned("npo", config, forget)
