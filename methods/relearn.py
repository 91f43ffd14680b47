"""Relearning: a few steps on a share of what was forgotten; what comes back was hidden, not gone (arXiv 2402.16835)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness_ext.errors import InputError
from harness_ext.methods.settings import Count, Share, settings
from harness_ext.methods.training.finetuned import answer_rows, finetuned
from harness_ext.methods.training.objective import nll_of
from harness_ext.methods.training.unlearning import Forgetting


@settings
class Config(Forgetting):
    """The relearning attack (arXiv 2402.16835), which measures how robust an unlearning is; its numbers are ours."""

    share: Share = 0.1
    """Of ``forget_data``, drawn by the seed, at least one row (ours); measure on the others what comes back."""
    epochs: Count = 3
    """How often each of these rows is seen (ours)."""


def apply(config: Config) -> Path:
    """Teach ``config.model`` again and write it to ``config.out``; raises as `finetuned`, and for a share of 0."""
    if not config.share:
        raise InputError("share is 0.0: nothing would be learnt. Give a number above 0.")
    return finetuned("relearn", config, {"forget": config.forget_data}, lambda run: nll_of(forget=1.0), _drawn)


def _drawn(config: Any, model: Any, path: str) -> Sequence[Mapping[str, Any]]:
    rows = answer_rows(config, model, path)
    chosen = random.Random(f"{config.seed}|share").sample(range(len(rows)), max(1, round(config.share * len(rows))))  # noqa: S311
    return [rows[number] for number in sorted(chosen)]
