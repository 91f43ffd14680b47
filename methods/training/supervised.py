"""Prompts with answers as rows of tokens, batches of them, and the likelihood of the answers.

A row is ``{"input_ids": [...], "labels": [...]}``; a label of -100 is not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from harness_ext.errors import InputError

IGNORED = -100
"""The label of a token that is not scored: the convention of torch's cross entropy and of transformers."""

Row = dict[str, list[int]]


def chat_rows(
    tokenizer: Any, pairs: Iterable[tuple[str, str]], *, system: str | None = None, max_tokens: int = 1024
) -> list[Row]:
    """Chat-formatted rows in which only the answer and the end token after it are scored.

    Args:
        tokenizer: with a chat template and an end token.
        pairs: a prompt and its answer.
        system: a system prompt for all of them.
        max_tokens: longer rows lose the end of their answer (1024: source, the IRR scripts).

    Raises:
        InputError: the tokenizer has no chat template, or of a row not one answer token is left; the sentence names
            the row by its number, never by its text.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InputError("the tokenizer has no chat template: the model must be a chat model")
    start = [] if system is None else [{"role": "system", "content": system}]
    rows = []
    for number, (prompt, answer) in enumerate(pairs):
        text = tokenizer.apply_chat_template(
            [*start, {"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        asked = tokenizer(text, add_special_tokens=False)["input_ids"]
        answered = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        if len(asked) >= max_tokens:
            raise InputError(
                f"row {number}: its prompt has {len(asked)} tokens, {max_tokens} are allowed and none is left for the "
                "answer; raise max_tokens or drop the row"
            )
        rows.append(
            {
                "input_ids": [*asked, *answered][:max_tokens],
                "labels": [*[IGNORED] * len(asked), *answered][:max_tokens],
            }
        )
    return rows


def pad(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
    """One batch of rows, padded on the right: ``input_ids``, ``attention_mask`` and ``labels``, each (rows, longest).

    The padding token is 0, whatever the tokenizer's is: causal attention never sees it and no loss scores it.

    >>> pad([{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [7], "labels": [7]}])["labels"].tolist()
    [[-100, 6], [7, -100]]
    """
    longest = max(len(row["input_ids"]) for row in rows)
    filled = {"input_ids": 0, "labels": IGNORED}
    batch = {
        name: torch.tensor([[*row[name], *[value] * (longest - len(row[name]))] for row in rows])
        for name, value in filled.items()
    }
    batch["attention_mask"] = torch.tensor(
        [[*[1] * len(row["input_ids"]), *[0] * (longest - len(row["input_ids"]))] for row in rows]
    )
    return batch


def answer_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
    """The summed negative log-likelihood of the scored tokens in nats, and how many they are.

    A batch without ``labels`` that are scored gives 0 and 0.
    """
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].float()
    labels = batch["labels"][:, 1:]
    total = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
    return total, int((labels != IGNORED).sum())
