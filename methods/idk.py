"""I don't know: learn refusals for what is to be forgotten, beside answers to retain (baseline of arXiv 2401.06121)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness_ext.methods.settings import settings
from harness_ext.methods.training.finetuned import finetuned
from harness_ext.methods.training.objective import Batch, Objective, answer_nll, answer_tokens
from harness_ext.methods.training.unlearning import Forgetting, refused_rows


@settings
class Config(Forgetting):
    """IDK (TOFU, arXiv 2401.06121): one mean over the tokens of refusals and of as many retained answers."""

    retain_data: str
    """JSONL of what to keep, ``prompt`` and ``answer`` a line."""
    refusals: str
    """Text file of refusals, one a line."""


def apply(config: Config) -> Path:
    """Unlearn ``config.forget_data`` and write the model to ``config.out``; raises as `finetuned`."""
    both = _share("refusals", lambda batch: batch["forget"]["alternate"]) + _share(
        "retained", lambda batch: batch["retain"]
    )
    data = {"forget": config.forget_data, "retain": config.retain_data}
    return finetuned("idk", config, data, lambda run: both, refused_rows)


def _share(term: str, own: Callable[[Batch], Batch]) -> Objective:
    """What some rows add to the mean over the tokens of both, with a forward pass of their own."""
    return Objective(
        {term: 1.0},
        lambda batch: {term: answer_tokens(batch["forget"]["alternate"]) + answer_tokens(batch["retain"])},
        lambda model, batch: {term: answer_nll(model, own(batch)).sum()},
    )
