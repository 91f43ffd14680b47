"""Decoding that starts from shared caches, and stops each row at its own stop sequence.

Within one call a :class:`~harness_ext.models.prefix.walk.Walk` shares beginnings; between calls nothing is kept, but
for dialogues: what a model has read of one turn is not read again for the next. Their player says how long they will be
and learns how many fit at a time; until those have ended, a :class:`History` keeps the cache of each prompt for the
prompt that continues it. Tokens decide: if the next prompt is encoded differently, or has lost its beginning to
truncation, all of it is run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from lm_eval.models.utils_hf import MultiTokenEOSCriteria

from harness_ext.models.hf import padded
from harness_ext.models.prefix import cache as prefix_cache
from harness_ext.models.prefix.engine import Engine
from harness_ext.models.prefix.tree import Node, arrange, nodes
from harness_ext.models.prefix.walk import Prefix, Walk, padding_pays

SHARE = 1 / 4
"""Of the budget for caches: while a turn is run, the caches before and after it are both alive, and it needs room."""


class History:
    """Caches by the tokens they hold.

    Args:
        limit: bytes; the caches longest unused are dropped first.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.bytes = 0
        self._kept: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def keep(self, tokens: Sequence[int], prefix: Prefix) -> None:
        """Keep the cache of these tokens, if it fits at all."""
        key = tuple(tokens)
        if prefix.bytes > self.limit or key in self._kept:
            return
        self._kept[key] = prefix
        self.bytes += prefix.bytes
        while self.bytes > self.limit:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.bytes

    def take(self, contexts: Sequence[Sequence[int]]) -> list[Prefix | None]:
        """For each context the longest kept beginning, which is no longer kept then.

        A beginning is shorter than its context by two tokens at least: the last one is decoded from, and the cache
        of one that is there already would be computed again for nothing.
        """
        found: list[Prefix | None] = []
        used = set()
        for context in contexts:
            text = tuple(context)
            fitting = [key for key in self._kept if len(key) < len(text) - 1 and text[: len(key)] == key]
            best = max(fitting, key=len, default=None)
            used.update(fitting)
            found.append(None if best is None else self._kept[best])
        for key in used:
            self.bytes -= self._kept.pop(key).bytes
        return found


@dataclass(frozen=True)
class Decoding:
    """How answers are generated."""

    stop: list[str]
    new_tokens: int
    """At most so many tokens are decoded."""
    arguments: dict[str, Any]
    """Further arguments of ``generate``."""


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


class SharedDecoding:
    """Greedy answers to contexts, from one walk over the tree of their tokens.

    The walk computes the cache of every context but for its last token; rows that follow each other wait for one
    another and are decoded together, as many as the limits allow. Contexts that share nothing are read in the first
    step of their decoding, which saves a call, unless their lengths differ too much.

    Args:
        engine: a causal model whose caches can be shared.
        decoding: how answers are generated.
        contexts: token ids, at least one in each.
        take: gets the number of a context and its new tokens, up to and with those of its stop sequence.
        after_call: called after each batch of forward passes.
        history: caches of earlier contexts that these may continue; gets those of these contexts.
    """

    def __init__(
        self,
        engine: Engine,
        decoding: Decoding,
        contexts: Sequence[Sequence[int]],
        take: Callable[[int, list[int]], None],
        after_call: Callable[[], None],
        history: History | None = None,
    ) -> None:
        self._engine = engine
        self._decoding = decoding
        self._contexts = contexts
        self._take = take
        self._after_call = after_call
        self._history = history
        self._roots: list[Node] = []
        self._befores: list[Prefix | None] = []
        self._alone: list[list[int]] = []
        """Contexts that are read and decoded together, without the walk."""
        self.tree_tokens = self.plain_tokens = 0
        self._plant([index for index, context in enumerate(contexts) if len(context) > 1])
        self._walk = Walk(engine, on_logits=lambda *_: None, on_end=self._end, after_call=after_call)
        self._waiting: list[tuple[int, Prefix | None]] = []
        self._families: set[int] = set()

    def run(self) -> None:
        """Answer all contexts."""
        kept = self._history.bytes if self._history else 0
        self._walk.hold(sum({id(one): one.bytes for one in self._befores if one}.values()) + kept)
        self._walk.run(self._roots, self._befores)
        self._decode_waiting()
        for index, context in enumerate(self._contexts):
            if len(context) == 1:
                self._alone.append([index])
        for batch in self._alone:
            self._waiting = [(index, None) for index in batch]
            self._decode_waiting()

    def _plant(self, indices: list[int]) -> None:
        """Arrange contexts in trees: those that continue the same kept beginning, or none, share their roots."""
        found = self._history.take([self._contexts[index] for index in indices]) if self._history else None
        befores = found or [None] * len(indices)
        families: dict[int, list[int]] = {}
        for index, before in zip(indices, befores, strict=True):
            families.setdefault(id(before), []).append(index)
        known = {id(before): before for before in befores}
        for identity, family in families.items():
            before = known[identity]
            start = before.length if before else 0
            rests = [self._contexts[index][start:-1] for index in family]
            forest = arrange(rests, [0] * len(rests), min_saving=self._engine.limits.min_saving)
            for node in nodes(forest.roots):
                node.start += start
                node.ends = [family[sequence] for sequence in node.ends]
            roots = forest.roots if self._history else self._shared(forest.roots)
            self._roots += roots
            self._befores += [before] * len(roots)
            self.tree_tokens += forest.tree_tokens
            self.plain_tokens += forest.distinct_tokens + start * len({tuple(rest) for rest in rests})

    def _shared(self, roots: list[Node]) -> list[Node]:
        """Roots for the walk: all but those of contexts that share nothing and are better read as they are decoded."""
        traits, limits = self._engine.traits, self._engine.limits
        lone = sorted((root for root in roots if not root.children and len(root.ends) == 1), key=lambda root: -root.end)
        together = limits.contexts if traits and traits.joinable else 1
        taken: set[int] = set()
        for batch in (lone[first : first + together] for first in range(0, len(lone), together)):
            tokens, longest = len(batch) * (batch[0].end + 1), batch[0].end + 1 + self._decoding.new_tokens
            if (
                tokens <= limits.row_tokens
                # The walk would take two calls more at least, and some padding of its own.
                and padding_pays(tokens, sum(root.end + 1 for root in batch), 3 * limits.min_saving)
                and (len(batch) == 1 or (traits and len(batch) * traits.size(longest) <= limits.cache_bytes))
            ):
                self._alone.append([root.ends[0] for root in batch])
                taken.update(map(id, batch))
        return [root for root in roots if id(root) not in taken]

    def _end(self, node: Node, prefix: Prefix, shared: Prefix | None) -> None:
        if self._history and node.ends:
            held = self._history.bytes
            self._history.keep(self._contexts[node.ends[0]][:-1], prefix)
            self._walk.hold(self._history.bytes - held)
        for sequence in node.ends:
            # Rows of one shared beginning are one family; a row without one is a family of its own.
            family = id(shared or prefix)
            if self._waiting and not self._fits(prefix, family):
                self._decode_waiting()
            self._waiting.append((sequence, prefix))
            self._families.add(family)
            self._walk.hold(prefix.bytes)

    def _fits(self, prefix: Prefix, family: int) -> bool:
        """Whether one more row may be decoded together with those that wait."""
        traits, limits = self._engine.traits, self._engine.limits
        held = [one for _, one in self._waiting if one] + [prefix]
        longest = max(one.length for one in held) + self._decoding.new_tokens
        return bool(
            traits
            and traits.joinable
            and len(self._families | {family}) <= limits.contexts
            and len(held) <= max(limits.contexts, limits.rows)
            and sum(one.bytes for one in held) + len(held) * traits.size(longest) <= limits.cache_bytes
        )

    def _decode_waiting(self) -> None:
        if not self._waiting:
            return
        rows = [index for index, _ in self._waiting]
        prefixes = [prefix for _, prefix in self._waiting if prefix]
        outputs = _decode(self._engine, self._decoding, [self._contexts[row] for row in rows], prefixes)
        self._walk.hold(-sum(prefix.bytes for prefix in prefixes))
        self._waiting.clear()
        self._families.clear()
        for row, tokens in zip(rows, outputs, strict=True):
            self._take(row, tokens)
        self._after_call()


def _decode(
    engine: Engine, decoding: Decoding, contexts: Sequence[Sequence[int]], prefixes: Sequence[Prefix]
) -> list[list[int]]:
    """New tokens of some contexts, given the caches of all their tokens but the last (or none)."""
    ids, mask = padded(contexts, engine.tokenizer.pad_token_id, left=True)
    width = ids.shape[1]
    caches = [prefix.cache for prefix in prefixes]
    past = {}
    if caches:
        past = {"past_key_values": prefix_cache.join(caches)[0] if len(caches) > 1 else prefix_cache.branch(caches[0])}
    output, lengths = _generated(engine, decoding, ids, mask, width, max_length=width + decoding.new_tokens, **past)
    outputs = [row[width:length] for row, length in zip(output.tolist(), lengths, strict=True)]
    # Each step runs one token of every row: the last of the context, then all new ones but the last. Without caches the
    # first step runs the other tokens of the contexts, too.
    read = 0 if caches else sum(len(context) - 1 for context in contexts)
    given = 0 if caches else len(outputs) * (width - 1)
    steps = len(outputs) * (output.shape[1] - width)
    engine.work.count(given + steps, read + sum(len(tokens) for tokens in outputs))
    return outputs


def _generated(
    engine: Engine, decoding: Decoding, ids: Any, mask: Any, given: int, **limits: Any
) -> tuple[Any, list[int | None]]:
    """Tokens of each row, the first ``given`` of which are not new, and after how many of them it stopped."""
    stops = RowStops(engine.tokenizer, decoding.stop, given, ids.shape[0])
    with engine.running():
        output = engine.model.generate(
            input_ids=ids.to(engine.device),
            attention_mask=mask.to(engine.device),
            stopping_criteria=transformers.StoppingCriteriaList([stops]),
            pad_token_id=engine.tokenizer.pad_token_id,
            use_cache=True,
            **limits,
            **decoding.arguments,
        )
    return output, stops.lengths


def decode_with_encoder(engine: Engine, decoding: Decoding, ids: Any, mask: Any) -> list[list[int]]:
    """Decoder tokens of an encoder-decoder model for encoder inputs of shape (rows, tokens).

    lm-eval 0.4.13 adds the length of the padded *encoder* input to the limit, and looks for stop sequences only after
    as many decoder tokens. Here the limit is the number of new tokens, so that an answer does not depend on its batch.
    """
    # 1: the decoder's start token
    output, lengths = _generated(engine, decoding, ids, mask, 1, max_new_tokens=decoding.new_tokens)
    outputs = [row[:length] for row, length in zip(output.tolist(), lengths, strict=True)]
    engine.work.count(ids.numel(), int(mask.sum()))
    engine.work.count(len(outputs) * (output.shape[1] - 1), sum(len(tokens) for tokens in outputs))
    return outputs
