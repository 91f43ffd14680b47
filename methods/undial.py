"""UNDIAL: distil the model into itself, with the logits of what is to be forgotten lowered (arXiv 2402.10052)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.losses import undial
from harness_ext.methods.settings import Positive, settings
from harness_ext.methods.training.finetuned import Run
from harness_ext.methods.training.objective import Objective, answer_logits, per_token, scored_tokens
from harness_ext.methods.training.unlearning import Unlearning, unlearned


@settings
class Config(Unlearning):
    """UNDIAL (arXiv 2402.10052), with a loss of what to retain beside it where there is such data."""

    beta: Positive = 10.0
    """How much the logit of an answer's token is lowered (source: open-unlearning)."""
    lr: Positive = 1e-4
    """Peak learning rate of AdamW, linear decay (source: open-unlearning)."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""

    def forget(run: Run) -> Objective:
        before = run.reference_logits("forget")
        return per_token(
            "forget",
            lambda model, batch: undial(
                answer_logits(model, batch), before(batch), scored_tokens(batch), config.beta, "sum"
            ),
        )

    return unlearned("undial", config, forget)
