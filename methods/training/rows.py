"""Prompts with answers: files of them, rows of tokens, and batches of rows.

A row is ``{"input_ids": [...], "labels": [...]}``; a label of -100 is not scored. Encoder-decoders have ``targets``
instead, the tokens of the answer alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from harness_ext.errors import InputError
from harness_ext.files import FileError, parse_json, text_lines
from harness_ext.methods.losses import IGNORED

Row = dict[str, list[int]]

Separator = Literal["line break", "blank"]
"""What stands between a prompt and its answer where no chat template says it."""

_UNLIMITED = 2**62


class Pair(NamedTuple):
    """A prompt and the answer to it."""

    prompt: str
    answer: str


def read_pairs(path: str | Path, limit: int | None = None) -> list[Pair]:
    """Read the first ``limit`` lines of a JSONL file, each an object with the texts ``prompt`` and ``answer``.

    Empty lines are skipped; other fields are ignored.

    Raises:
        InputError: the file is missing, is no UTF-8 JSONL, holds no record, or a record lacks a field or has an empty
            one; the sentence names the line and never repeats its text.
    """
    pairs: list[Pair] = []
    try:
        for number, line in enumerate(text_lines(Path(path)), start=1):
            if len(pairs) == limit:
                break
            if line.strip():
                pairs.append(_pair(line, f"{path}, line {number}"))
    except FileError as error:
        raise InputError(f"{path} cannot be read ({error}). Give a JSONL file of prompt and answer.") from None
    if not pairs:
        raise InputError(f"{path} holds no record. Give at least one line with prompt and answer.")
    return pairs


def _pair(line: str, where: str) -> Pair:
    try:
        record = parse_json(line)
    except FileError as error:
        raise InputError(f"{where} is no JSON ({error}). Write one object a line.") from None
    if not isinstance(record, dict):
        raise InputError(f"{where} is no JSON object. Write one object with prompt and answer a line.")
    for field in Pair._fields:
        text = record.get(field)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: {field} is missing or empty or no text. Every record has prompt and answer.")
    return Pair(record["prompt"], record["answer"])


def load_tokenizer(folder: str | Path) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        InputError: there is none, or it has no end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # whatever transformers makes of a broken file
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: its tokenizer cannot be loaded ({first_line})") from None
    if tokenizer.eos_token_id is None:
        raise InputError(f"{folder}: its tokenizer has no end token, with which every answer must end")
    return tokenizer


def token_rows(
    tokenizer: Any,
    pairs: Iterable[tuple[str, str]],
    *,
    source: str | Path | None = None,
    system: str | None = None,
    max_tokens: int = 1024,
    targets: bool = False,
    separator: Separator = "line break",
) -> list[Row]:
    """Rows in which only the answer and the end token after it are scored.

    With a chat template the prompt is the user's turn; without one the row is the system prompt, an empty line, the
    prompt, a separator and the answer (ours).

    Args:
        tokenizer: with an end token.
        pairs: prompts and answers.
        source: their file, for messages.
        system: a system prompt for all of them.
        max_tokens: longer rows lose the end of their answer (1024: source, the IRR scripts).
        targets: for encoder-decoders: the prompt is the input, and the answer's tokens are the row's ``targets``.
        separator: without a chat template; a blank is scored with the answer, as lm-eval scores it.

    Raises:
        InputError: not one answer token of a row is left, the chat template refuses the turns, or the tokenizer joins a
            blank with the prompt before it; the sentence names the row by its number, never by its text.
    """
    from jinja2 import TemplateError

    blank = separator == "blank" and not targets and not getattr(tokenizer, "chat_template", None)

    where = "" if source is None else f"{source}: "
    rows: list[Row] = []
    for number, (prompt, answer) in enumerate(pairs):
        try:
            asked = _asked(tokenizer, prompt, system, "" if blank else "\n")
        except TemplateError as error:
            raise InputError(
                f"{where}the tokenizer's chat template refuses it ({error}); many templates know no system prompt"
            ) from None
        answered = list(tokenizer(answer, add_special_tokens=False)["input_ids"])
        if blank:
            both = _asked(tokenizer, prompt, system, f" {answer}")
            if both[: len(asked)] != asked:
                raise InputError(
                    f"{where}row {number}: the tokenizer joins the end of the prompt with the blank before the answer, "
                    "whose tokens are then not its own; take separator='line break'"
                )
            answered = both[len(asked) :]
        answered.append(tokenizer.eos_token_id)
        if len(asked) >= max_tokens:
            raise InputError(
                f"{where}row {number}: its prompt has {len(asked)} tokens, {max_tokens} are allowed and none is left "
                "for the answer; raise max_tokens or drop the row"
            )
        if targets:
            rows.append({"input_ids": [*asked, tokenizer.eos_token_id], "targets": answered[:max_tokens]})
            continue
        labels = [*[IGNORED] * len(asked), *answered]
        rows.append({"input_ids": [*asked, *answered][:max_tokens], "labels": labels[:max_tokens]})
    return rows


def _asked(tokenizer: Any, prompt: str, system: str | None, after: str) -> list[int]:
    if getattr(tokenizer, "chat_template", None):
        start = [] if system is None else [{"role": "system", "content": system}]
        text = tokenizer.apply_chat_template(
            [*start, {"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    start_text = "" if system is None else f"{system}\n\n"
    asked = list(tokenizer(f"{start_text}{prompt}{after}")["input_ids"])
    return asked[:-1] if asked and asked[-1] == tokenizer.eos_token_id else asked  # some tokenizers end every text


def pad(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One batch of rows, padded on the right: ``input_ids``, ``attention_mask`` and ``labels``, each (rows, longest).

    The padding token is 0, whatever the tokenizer's is: causal attention never sees it and no loss scores it. Numbers
    of the rows become one tensor, rows inside the rows a batch inside the batch.

    >>> pad([{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [7], "labels": [7]}])["labels"].tolist()
    [[-100, 6], [7, -100]]
    """
    batch: dict[str, Any] = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if isinstance(first, Mapping):
            batch[name] = pad(values)
        elif isinstance(first, Sequence):
            batch[name] = _padded(values, 0 if name == "input_ids" else IGNORED)
        else:
            batch[name] = torch.tensor(values)
    batch["attention_mask"] = _padded([[1] * len(row["input_ids"]) for row in rows], 0)
    return batch


def _padded(
    lists: Sequence[Sequence[int]], filled: int, length: int | None = None, *, left: bool = False
) -> torch.Tensor:
    length = length or max(map(len, lists))
    rows = ((list(one[:length]), [filled] * (length - len(one))) for one in lists)
    return torch.tensor([rest + own if left else own + rest for own, rest in rows])


def left_padded(rows: Sequence[Row], pad_id: int, length: int | None = None) -> dict[str, torch.Tensor]:
    """One batch, padded on the left to its longest row or to ``length``: longer rows keep their first tokens.

    >>> batch = left_padded([{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [7], "labels": [7]}], pad_id=2)
    >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["labels"].tolist()
    ([[5, 6], [2, 7]], [[1, 1], [0, 1]], [[-100, 6], [-100, 7]])
    """
    ids, labels = ([row[name] for row in rows] for name in ("input_ids", "labels"))
    return {
        "input_ids": _padded(ids, pad_id, length, left=True),
        "attention_mask": _padded([[1] * len(own) for own in ids], 0, length, left=True),
        "labels": _padded(labels, IGNORED, length, left=True),
    }


def safe_answer_batches(
    tokenizer: Any, path: str | Path, *, limit: int, batch_size: int, max_tokens: int, system: str | None = None
) -> list[dict[str, torch.Tensor]]:
    """Batches in the order of the file, padded on the left: what `importance.diagonal_fisher` takes."""
    rows = token_rows(tokenizer, read_pairs(path, limit), source=path, system=system, max_tokens=max_tokens)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return [left_padded(rows[start : start + batch_size], pad_id) for start in range(0, len(rows), batch_size)]


def calibration_batches(
    tokenizer: Any, path: str | Path, *, limit: int, seqlen: int, batch_size: int, system: str | None = None
) -> list[dict[str, torch.Tensor]]:
    """Batches of ``seqlen`` tokens: prompt, answer and end token, padded on the left with end tokens, or cut."""
    rows = token_rows(tokenizer, read_pairs(path, limit), source=path, system=system, max_tokens=_UNLIMITED)
    return [
        left_padded(rows[start : start + batch_size], tokenizer.eos_token_id, seqlen)
        for start in range(0, len(rows), batch_size)
    ]
