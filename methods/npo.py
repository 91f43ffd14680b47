"""Negative preference optimisation: unlearn answers as the rejected ones of a preference (arXiv 2404.05868)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.losses import npo
from harness_ext.methods.settings import NotNegative, Positive, settings
from harness_ext.methods.training.finetuned import FineTuning, Run, finetuned
from harness_ext.methods.training.objective import Objective, answer_nll, nll_of


@settings
class Config(FineTuning):
    """NPO (arXiv 2404.05868), with the likelihood of what to retain beside it where there is such data."""

    forget_data: str
    """JSONL of what to forget, ``prompt`` and ``answer`` a line."""
    retain_data: str | None = None
    """JSONL of what to keep; null: the forget loss alone (ours; open-unlearning has both)."""
    beta: Positive = 0.1
    """How early the push away from an answer ends (source: open-unlearning)."""
    retain_weight: NotNegative = 1.0
    """Weight of the negative log-likelihood of ``retain_data`` (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    data = {"forget": config.forget_data} | ({"retain": config.retain_data} if config.retain_data else {})

    def objective(run: Run) -> Objective:
        reference = run.reference("forget", answer_nll)
        forget = Objective(
            {"forget": 1.0},
            lambda batch: {"forget": len(batch["forget"]["input_ids"])},
            lambda model, batch: {
                "forget": npo(answer_nll(model, batch["forget"]), reference(batch["forget"]), config.beta, "sum")
            },
        )
        return forget + nll_of(retain=config.retain_weight) if config.retain_data else forget

    return finetuned("npo", config, data, objective)
