"""Decoding that starts from shared caches, and stops each row at its own stop sequence.

Rows that are done make way for those that wait (:mod:`harness_ext.models.prefix.rows`). Within one call a
:class:`~harness_ext.models.prefix.walk.Walk` shares beginnings; between calls nothing is kept, but for dialogues: what
a model has read of one turn is not read again for the next. Their player says how long they will be and learns how many
fit at a time; until those have ended, a :class:`History` keeps the cache of each prompt for the prompt that continues
it. Tokens decide: if the next prompt is encoded differently, or has lost its beginning to truncation, all of it is run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from harness_ext.models.prefix.engine import Engine
from harness_ext.models.prefix.rows import Decoding, Rows, generated
from harness_ext.models.prefix.tree import Node, arrange, nodes
from harness_ext.models.prefix.walk import Prefix, Walk

_T = TypeVar("_T")

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


def is_greedy(arguments: dict[str, Any]) -> bool:
    """Whether normalised generation arguments ask for one greedy answer."""
    return not arguments.get("do_sample") and (arguments.get("num_beams") or 1) == 1 and "max_length" not in arguments


class SharedDecoding:
    """Greedy answers to contexts, from one walk over the tree of their tokens.

    The walk computes the cache of every context but for its last token; its row is then decoded together with others,
    as many as the limits allow. When there is no room for the next row, all are decoded until one is done. Contexts
    that share nothing are read in the first step of their answers, which saves a call.

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
        self._contexts = contexts
        self._take = take
        self._after_call = after_call
        self._history = history
        self._roots: list[Node] = []
        self._befores: list[Prefix | None] = []
        self._alone = [index for index, context in enumerate(contexts) if len(context) == 1]
        """Contexts that the walk does not read."""
        self.tree_tokens = self.plain_tokens = 0
        self._plant([index for index, context in enumerate(contexts) if len(context) > 1])
        self._walk = Walk(engine, on_logits=lambda *_: None, on_end=self._end, after_call=after_call)
        self._rows = Rows(engine, decoding)

    def run(self) -> None:
        """Answer all contexts."""
        kept = self._history.bytes if self._history else 0
        self._walk.hold(sum({id(one): one.bytes for one in self._befores if one}.values()) + kept)
        self._walk.run(self._roots, self._befores)
        waiting = sorted(self._alone, key=lambda index: -len(self._contexts[index]))
        while waiting:
            some = self._next(waiting)
            limits = self._engine.limits
            lengths = [len(self._contexts[index]) for index in some]
            for batch in _similar(some, lengths, limits.row_tokens, limits.min_saving):
                self._changed(lambda: self._rows.read(batch, [self._contexts[index] for index in batch]))  # noqa: B023
            del waiting[: len(some)]
            if waiting:
                self._advance()
        while len(self._rows):
            self._advance()

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
            roots = forest.roots if self._history else [root for root in forest.roots if not self._is_alone(root)]
            self._roots += roots
            self._befores += [before] * len(roots)
            self.tree_tokens += forest.tree_tokens
            self.plain_tokens += forest.distinct_tokens + start * len({tuple(rest) for rest in rests})

    def _is_alone(self, root: Node) -> bool:
        """Whether a context shares nothing and is read in one call; it is noted then."""
        alone = not root.children and len(root.ends) == 1 and root.end < self._engine.limits.row_tokens
        if alone:
            self._alone.append(root.ends[0])
        return alone

    def _next(self, waiting: Sequence[int]) -> list[int]:
        """Those of the waiting contexts, longest first, that are read now: none while there is little room for them."""
        some: list[int] = []
        if len(self._rows) <= self._engine.limits.contexts // 2:  # few at a time would take many calls
            longest = len(self._contexts[waiting[0]])
            for index in waiting:
                if not self._rows.fits(longest, [*some, index], 0):
                    break
                some.append(index)
        return some

    def _end(self, node: Node, prefix: Prefix, shared: Prefix | None) -> None:
        if self._history and node.ends:
            held = self._history.bytes
            self._history.keep(self._contexts[node.ends[0]][:-1], prefix)
            self._walk.hold(self._history.bytes - held)
        # Rows of one shared beginning are one family; a row without one is a family of its own.
        family = id(shared or prefix)
        for sequence in node.ends:
            while len(self._rows) and not self._rows.fits(prefix.length + 1, [family], prefix.bytes):
                self._advance()
            self._changed(lambda: self._rows.add(sequence, self._contexts[sequence], prefix, family))  # noqa: B023

    def _advance(self) -> None:
        """Decode until a row is done."""
        for index, tokens in self._changed(self._rows.advance):
            self._take(index, tokens)
        self._after_call()

    def _changed(self, change: Callable[[], _T]) -> _T:
        """Do something with the rows, and count the memory of their caches."""
        held = self._rows.bytes
        result = change()
        self._walk.hold(self._rows.bytes - held)
        return result


def _similar(indices: list[int], lengths: Sequence[int], most: int, min_saving: int) -> list[list[int]]:
    """Rows, longest first, in batches of up to ``most`` tokens; each cut saves more padding than one more call costs.

    >>> _similar([7, 8, 9], [100, 99, 20], most=2048, min_saving=32)
    [[7, 8], [9]]
    """
    if not indices:
        return []
    cuts = range(1, len(lengths))
    saved, cut = max((((len(lengths) - cut) * (lengths[0] - lengths[cut]), cut) for cut in cuts), default=(0, 0))
    if saved <= 2 * min_saving:  # such a call has a product with the head, too
        if len(lengths) * lengths[0] <= most or len(lengths) == 1:
            return [indices]
        cut = max(1, most // lengths[0])
    parts = slice(None, cut), slice(cut, None)
    return [batch for part in parts for batch in _similar(indices[part], lengths[part], most, min_saving)]


def decode_with_encoder(engine: Engine, decoding: Decoding, ids: Any, mask: Any) -> list[list[int]]:
    """Decoder tokens of an encoder-decoder model for encoder inputs of shape (rows, tokens).

    lm-eval 0.4.13 adds the length of the padded *encoder* input to the limit, and looks for stop sequences only after
    as many decoder tokens. Here the limit is the number of new tokens, so that an answer does not depend on its batch.
    """
    # 1: the decoder's start token
    output, lengths = generated(engine, decoding, ids, mask, 1, max_new_tokens=decoding.new_tokens)
    outputs = [row[:length] for row, length in zip(output.tolist(), lengths, strict=True)]
    engine.work.count(ids.numel(), int(mask.sum()))
    engine.work.count(len(outputs) * (output.shape[1] - 1), sum(len(tokens) for tokens in outputs))
    return outputs
