"""Greedy decoding that starts from shared caches, and stops each row at its own stop sequence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import transformers
from lm_eval.models.utils_hf import MultiTokenEOSCriteria

from harness_ext.models import prefix_cache
from harness_ext.models.prefix_walk import Prefix


def is_greedy(arguments: dict[str, Any]) -> bool:
    """Whether normalised generation arguments ask for one greedy answer."""
    return not arguments.get("do_sample") and (arguments.get("num_beams") or 1) == 1 and "max_length" not in arguments


class RowStops(transformers.StoppingCriteria):  # type: ignore[misc]
    """lm-eval's test for stop sequences, row by row.

    lm-eval stops a batch once all rows contain the *same* stop sequence; here a row is done with its first one.
    ``lengths`` then holds the number of tokens, prompt included, after which each row stopped.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str], prompt_length: int, rows: int) -> None:
        self._tests = [MultiTokenEOSCriteria(text, tokenizer, prompt_length, rows) for text in stop]
        self.lengths: list[int | None] = [None] * rows

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Which rows are done, as a boolean tensor."""
        for test in self._tests:
            test(input_ids, scores)
        for row, length in enumerate(self.lengths):
            if length is None and any(test.done_tracker[row] for test in self._tests):
                self.lengths[row] = input_ids.shape[1]
        return torch.tensor([length is not None for length in self.lengths], device=input_ids.device)


def decode(
    model: Any,
    tokenizer: Any,
    contexts: Sequence[Sequence[int]],
    prefixes: Sequence[Prefix | None],
    *,
    stop: Sequence[str],
    new_tokens: int,
    arguments: dict[str, Any],
    device: Any,
    autocast: AbstractContextManager[Any],
) -> list[list[int]]:
    """New tokens after each context, up to and with the one that completed a stop sequence.

    Args:
        model: a causal model.
        tokenizer: its tokenizer, with a padding token.
        contexts: token ids, at least one in each.
        prefixes: caches of all tokens of a context but the last; None in all of them runs the contexts whole.
        stop: stop sequences.
        new_tokens: at most so many tokens are decoded.
        arguments: further arguments of ``generate``.
        device: where the model's input belongs.
        autocast: context of the forward passes.
    """
    width = max(len(context) for context in contexts)
    ids = torch.full((len(contexts), width), tokenizer.pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, context in enumerate(contexts):
        ids[row, width - len(context) :] = torch.tensor(context)
        mask[row, width - len(context) :] = 1
    given = [prefix.cache for prefix in prefixes if prefix is not None]
    if len(given) > 1:
        arguments = {**arguments, "past_key_values": prefix_cache.join(given)[0]}
    elif given:
        arguments = {**arguments, "past_key_values": prefix_cache.branch(given[0])}
    stops = RowStops(tokenizer, stop, width, len(contexts))
    with autocast:
        output = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_length=width + new_tokens,
            stopping_criteria=transformers.StoppingCriteriaList([stops]),
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
            **arguments,
        )
    return [row[width:length] for row, length in zip(output.tolist(), stops.lengths, strict=True)]


def decode_with_encoder(
    model: Any,
    tokenizer: Any,
    ids: Any,
    mask: Any,
    *,
    stop: Sequence[str],
    new_tokens: int,
    arguments: dict[str, Any],
    autocast: AbstractContextManager[Any],
) -> list[list[int]]:
    """Decoder tokens of an encoder-decoder model for encoder inputs of shape (rows, tokens).

    Unlike lm-eval 0.4.13, which adds the length of the padded *encoder* input to the limit and looks for stop
    sequences only after as many decoder tokens, ``new_tokens`` is the number of new tokens, and an answer does not
    depend on its batch.
    """
    stops = RowStops(tokenizer, stop, 1, ids.shape[0])  # the decoder's start token
    with autocast:
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            stopping_criteria=transformers.StoppingCriteriaList([stops]),
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
            **arguments,
        )
    return [row[:length] for row, length in zip(output.tolist(), stops.lengths, strict=True)]
