"""What ``hf-prefix`` and ``hf-mlm`` do besides lm-eval's ``hf``, in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence


def share_documents(lm: Any) -> None:
    """Let the processes of ``accelerate launch`` share the documents on CPU too, where ``hf`` gives all to each."""
    accelerator = getattr(lm, "accelerator", None)
    if accelerator is not None and accelerator.num_processes > 1 and lm.world_size == 1:
        lm._rank = accelerator.process_index
        lm._world_size = accelerator.num_processes


def padded(rows: Sequence[Sequence[int]], filled: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of different lengths in one batch, and their attention mask, both of shape (rows, longest).

    >>> padded([[5, 6], [7]], filled=0, left=True)[0].tolist()
    [[5, 6], [0, 7]]
    """
    side, own = "left" if left else "right", [torch.tensor(row, dtype=torch.long) for row in rows]
    ids = pad_sequence(own, batch_first=True, padding_value=filled, padding_side=side)
    return ids, pad_sequence([torch.ones_like(row) for row in own], batch_first=True, padding_side=side)


class Encoded(NamedTuple):
    """Token ids of a context, never empty, and of the continuation to score after it."""

    context: list[int]
    continuation: list[int]
    merged: bool = False
    """The tokenizer joined the whole continuation to the context's end; scoring starts where the tokens part."""


class PairEncoder:
    """Encodes contexts with continuations as lm-eval's ``TemplateLM`` does, where that gives a result.

    Where it fails: an empty context, or one that has no tokens, is the model's prefix token; an empty continuation
    has no tokens; and if the tokenizer merges a continuation so far into the context that nothing of it is left
    behind the context's own tokens, the split moves to where the tokens of the two texts begin to differ.
    """

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self._contexts: dict[str, list[int]] = {}

    def __call__(self, context: str, continuation: str) -> Encoded:
        """Encode one pair."""
        lm = self._lm
        blanks = len(context) - len(context.rstrip())
        if blanks:
            context, continuation = context[:-blanks], context[-blanks:] + continuation
        if not continuation:
            return Encoded([lm.prefix_token_id], [])
        if not context:
            return self._after_prefix_token(lm.tok_encode(continuation, add_special_tokens=False))
        before = self._context(context)
        if lm.backend == "seq2seq":
            return Encoded(before, lm.tok_encode(continuation, add_special_tokens=False))
        whole = lm.tok_encode(context + continuation)
        if before and whole[len(before) :]:
            return Encoded(before, whole[len(before) :])
        shared = next((place for place, pair in enumerate(zip(before, whole, strict=False)) if pair[0] != pair[1]), 0)
        if shared:
            return Encoded(whole[:shared], whole[shared:], merged=True)
        return self._after_prefix_token(whole)._replace(merged=bool(before))

    def _context(self, context: str) -> list[int]:
        # The choices of a document come one after the other with the same context.
        if context not in self._contexts:
            self._contexts = {context: self._lm.tok_encode(context)}
        return self._contexts[context]

    def _after_prefix_token(self, tokens: list[int]) -> Encoded:
        prefix = self._lm.prefix_token_id
        return Encoded([prefix], tokens[1:] if tokens[:1] == [prefix] else tokens)
