"""Direct preference optimisation: refusals are preferred to what is to be forgotten (arXiv 2305.18290)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from harness_ext.methods.losses import dpo
from harness_ext.methods.settings import Positive, settings
from harness_ext.methods.training.finetuned import Run
from harness_ext.methods.training.objective import Batch, Objective, answer_nll, per_row
from harness_ext.methods.training.unlearning import Unlearning, refused_rows, unlearned


@settings
class Config(Unlearning):
    """DPO for unlearning (TOFU, arXiv 2401.06121), with a loss of what to retain where there is such data."""

    refusals: str
    """Text file of refusals, one a line."""
    beta: Positive = 0.1
    """How early the push ends (source: open-unlearning)."""
    scale: Literal["ou", "tofu"] = "ou"
    """``ou`` multiplies by 2/β (source: open-unlearning), ``tofu`` does not."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    return unlearned("dpo", config, lambda run: preferred(run, config), refused_rows)


def preferred(run: Run, config: Config) -> Objective:
    """The loss in two parts, the gradient of the refusals and that of the answers: one forward pass is in memory."""
    refused_before = run.reference("forget", refusal_nll, "refusals")
    before = run.reference("forget", answer_nll)

    def loss(refused: torch.Tensor, answered: torch.Tensor, batch: Batch) -> torch.Tensor:
        return dpo(refused, answered, refused_before(batch), before(batch), config.beta, config.scale, "sum")

    def of_refusals(model: Any, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            answered = answer_nll(model, batch)
        return loss(refusal_nll(model, batch), answered, batch)

    def of_answers(model: Any, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            refused = refusal_nll(model, batch)
        own = loss(refused, answer_nll(model, batch), batch)
        return own - own.detach()  # the value is in the other part already

    answers = Objective(
        {"answers": 1.0},
        lambda batch: {"answers": len(batch["forget"]["input_ids"])},
        lambda model, batch: {"answers": of_answers(model, batch["forget"])},
    )
    return per_row("forget", of_refusals) + answers


def refusal_nll(model: Any, batch: Batch) -> torch.Tensor:
    """Negative log-likelihood of each row's refusal, summed over its tokens, shape (rows,)."""
    return answer_nll(model, batch["alternate"])
