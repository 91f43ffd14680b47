"""What methods of unlearning share: a forget set, a retain set that meets it row by row, and the terms of both."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness_ext.errors import InputError
from harness_ext.files import FileError, text_lines
from harness_ext.methods.losses import fkld
from harness_ext.methods.settings import NotNegative, settings
from harness_ext.methods.training.finetuned import FineTuning, Run, answer_rows, finetuned
from harness_ext.methods.training.objective import Objective, answer_logits, nll_of, per_token
from harness_ext.methods.training.rows import load_tokenizer, read_pairs, token_rows

RowsOf = Callable[[Any, Any, str], Sequence[Mapping[str, Any]]]


@settings
class Forgetting(FineTuning):
    """What every method of unlearning can be told."""

    forget_data: str
    """JSONL of what to forget, ``prompt`` and ``answer`` a line."""


@settings
class Keeping(Forgetting):
    """How other answers are kept meanwhile."""

    retain_weight: NotNegative = 1.0
    """Weight of the loss of ``retain_data`` (source: open-unlearning, RKLU)."""
    retain_loss: Literal["nll", "kl"] = "nll"
    """Its negative log-likelihood, or the divergence KL(before ‖ model) of its answers (source: open-unlearning)."""


@settings
class Contrasting(Keeping):
    """What a method can be told that cannot do without a retain set."""

    retain_data: str
    """JSONL of what to keep, ``prompt`` and ``answer`` a line."""


@settings
class Unlearning(Keeping):
    """What a method can be told that may have a retain set."""

    retain_data: str | None = None
    """JSONL of what to keep; null: the forget loss alone (ours; open-unlearning has both)."""


def unlearned(
    method: str, config: Unlearning | Contrasting, forget: Callable[[Run], Objective], rows_of: RowsOf = answer_rows
) -> Path:
    """Train with the objective of the forget set and, where there is a retain set, the term that keeps it.

    Raises as `finetuned`.
    """
    data = {"forget": config.forget_data} | ({"retain": config.retain_data} if config.retain_data else {})

    def objective(run: Run) -> Objective:
        return forget(run) + retained(run, config) if config.retain_data else forget(run)

    return finetuned(method, config, data, objective, rows_of)


def retained(run: Run, config: Keeping) -> Objective:
    """The term of the retain set."""
    if config.retain_loss == "nll":
        return nll_of(retain=config.retain_weight)
    before = run.reference_logits("retain")
    return per_token(
        "retain",
        lambda model, batch: fkld(answer_logits(model, batch), before(batch), reduction="sum"),
        config.retain_weight,
    )


def read_refusals(path: str) -> list[str]:
    """Refusals, one a line of plain text (TOFU's ``idontknow.jsonl`` is such a file, whatever its name).

    Raises:
        InputError: the file cannot be read, or holds none.
    """
    try:
        lines = [line.strip() for line in text_lines(Path(path)) if line.strip()]
    except FileError as error:
        raise InputError(f"{path} cannot be read ({error}). Give a text file of one refusal a line.") from None
    if not lines:
        raise InputError(f"{path} holds no refusal. Write one a line.")
    return lines


def refused_rows(config: Any, model: Any, path: str) -> Sequence[Mapping[str, Any]]:
    """Rows of a file; those of ``config.forget_data`` hold the row of the same question with a refusal, ``alternate``.

    Which of ``config.refusals`` is drawn once for each row, from the seed (ours: TOFU draws anew in every epoch).
    """
    rows = answer_rows(config, model, path)
    if path != config.forget_data:
        return rows
    refusals, draw = read_refusals(config.refusals), random.Random(f"{config.seed}|refusals")  # noqa: S311 (no secret)
    refused = token_rows(
        load_tokenizer(config.model),
        [(prompt, draw.choice(refusals)) for prompt, _ in read_pairs(path)],
        source=path,
        system=config.system_prompt,
        max_tokens=config.max_tokens,
        targets=model.config.is_encoder_decoder,
        separator=config.separator,
    )
    return [{**row, "alternate": other} for row, other in zip(rows, refused, strict=True)]
