"""Runs a causal model over prefix trees: each node once, siblings in one batch, with bounded memory.

The walk goes depth first over batches: a batch of nodes is run, then everything below it, then the next batch. So only
the caches on the way to the current batch are alive. Nodes whose cache would not fit the budget give their tokens to
their children, which costs tokens and never memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from harness_ext.models.prefix import cache as prefix_cache
from harness_ext.models.prefix.engine import Engine
from harness_ext.models.prefix.tree import Node

log = logging.getLogger(__name__)

PADDING = 0.05
"""Largest part of a large batch that may be padding."""


_T = TypeVar("_T")


def batches(rows: Iterable[_T], fits: Callable[[list[_T], _T], bool]) -> Iterator[list[_T]]:
    """Rows in batches, in their order; a new one is begun where the next row does not fit.

    >>> list(batches([1, 2, 3, 9], lambda batch, row: sum(batch) + row <= 5))
    [[1, 2], [3], [9]]
    """
    batch: list[_T] = []
    for row in rows:
        if batch and not fits(batch, row):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def padding_pays(tokens: int, real: int, min_saving: int) -> bool:
    """Whether ``tokens`` of one call, padding included, are cheaper than another call: ``min_saving`` is its cost.

    >>> padding_pays(100, 70, min_saving=32), padding_pays(100, 60, min_saving=32)
    (True, False)
    """
    return tokens - real <= max(PADDING * tokens, min_saving)


class Prefix(NamedTuple):
    """The cache of a beginning, and what it holds."""

    cache: Any
    length: int
    bytes: int


@dataclass
class _Entry:
    node: Node
    parent: Prefix | None


class Walk:
    """One walk over the trees of a run.

    Args:
        engine: a causal model whose caches can be shared.
        on_logits: takes scored positions (nodes with places in them) and their logits, shape (positions, vocabulary).
        on_end: takes a node in which sequences end, their cache, and that of the beginning they share with others.
        after_call: called after each forward pass.

    Raises:
        ValueError: the engine does not say what the model's caches allow.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        on_logits: Callable[[Sequence[tuple[Node, int]], Any], None],
        on_end: Callable[[Node, Prefix, Prefix | None], None],
        after_call: Callable[[], None],
    ) -> None:
        if engine.traits is None:
            raise ValueError("a walk needs to know what the model's caches allow")
        self._engine = engine
        self._traits = engine.traits
        self._limits = engine.limits
        self._on_logits = on_logits
        self._on_end = on_end
        self._after_call = after_call
        self._alive = 0.0
        self._needed: dict[int, int] = {}
        """How many nodes have yet to run on a cache, by the cache's id."""

    def run(self, roots: Sequence[Node], parents: Sequence[Prefix | None] | None = None) -> None:
        """Run every node of these trees; ``parents`` are the caches of what stands before their roots, if anything."""
        befores = parents or [None] * len(roots)
        entries = [_Entry(root, before) for root, before in zip(roots, befores, strict=True)]
        # A batch is either all from the start or all on top of caches.
        self._visit([entry for entry in entries if entry.parent is None])
        self._visit([entry for entry in entries if entry.parent is not None])

    def hold(self, bytes_: float) -> None:
        """Count bytes of a cache that somebody keeps (or, if negative, gives up)."""
        self._alive += bytes_

    def _visit(self, entries: list[_Entry]) -> None:
        leaves, inner = self._affordable(entries)
        for batch in list(self._batches(leaves, keep=False)):
            self._forward(batch, keep=False)
            self._let_go(batch)
        for batch in list(self._batches(inner, keep=True)):
            prefixes = self._forward(batch, keep=True)
            below = []
            for entry, prefix in zip(batch, prefixes, strict=True):
                if entry.node.ends:
                    self._on_end(entry.node, prefix, entry.parent)
                if entry.node.children:
                    self._needed[id(prefix)] = len(entry.node.children)
                    self._alive += prefix.bytes
                below += [_Entry(child, prefix) for child in entry.node.children]
            del prefix, prefixes
            self._let_go(batch)
            self._visit(below)

    def _let_go(self, batch: list[_Entry]) -> None:
        """Give up the caches that these were the last to run on: a chain of turns keeps one, not one for each turn."""
        for entry in batch:
            parent, entry.parent = entry.parent, None
            if parent is not None and id(parent) in self._needed:
                self._needed[id(parent)] -= 1
                if not self._needed[id(parent)]:
                    del self._needed[id(parent)]
                    self._alive -= parent.bytes

    def _affordable(self, entries: list[_Entry]) -> tuple[list[_Entry], list[_Entry]]:
        """Leaves and inner nodes, after inner nodes with a cache that does not fit gave their tokens away."""
        leaves: list[_Entry] = []
        inner: list[_Entry] = []
        waiting = list(reversed(entries))
        while waiting:
            entry = waiting.pop()
            node = entry.node
            if not node.children and not node.ends:
                leaves.append(entry)
            elif node.children and self._alive + self._traits.size(node.end) > self._limits.cache_bytes:
                log.debug("a shared beginning of %d tokens does not fit the budget for caches", node.end)
                waiting.extend(_Entry(child, entry.parent) for child in reversed(node.dissolve()))
                if id(entry.parent) in self._needed:
                    self._needed[id(entry.parent)] += len(node.children) - 1
            else:
                inner.append(entry)
        return leaves, inner

    def _batches(self, entries: list[_Entry], *, keep: bool) -> Iterator[list[_Entry]]:
        """Entries in batches of similar length that fit the limits; siblings are always pooled."""
        families: dict[object, list[_Entry]] = {}
        for entry in sorted(entries, key=lambda entry: -len(entry.node.tokens)):
            families.setdefault(id(entry.parent) if entry.parent else id(entry), []).append(entry)
        pool: list[_Entry] = []
        pooled = 0
        for family in families.values():
            together = self._traits.joinable or (family[0].parent is None and not keep)
            if pool and (pooled == self._limits.contexts or not together):
                yield from self._cut(pool, keep=keep)
                pool, pooled = [], 0
            pool += family
            pooled += 1
        yield from self._cut(pool, keep=keep)

    def _cut(self, pool: list[_Entry], *, keep: bool) -> Iterator[list[_Entry]]:
        ordered = sorted(pool, key=lambda entry: -len(entry.node.tokens))
        return batches(ordered, lambda batch, entry: self._fits([*batch, entry], keep=keep))

    def _fits(self, batch: list[_Entry], *, keep: bool) -> bool:
        rows, longest = len(batch), len(batch[0].node.tokens)
        real = sum(len(entry.node.tokens) for entry in batch)
        deepest = longest + max(entry.parent.length if entry.parent else 0 for entry in batch)
        padded = real < rows * longest
        if keep and not (self._traits.plain and (self._traits.records or not padded)):
            return False
        cache = self._traits.size(deepest) if keep else self._traits.largest_layer(deepest)
        scored = max(sum(span.length for span in entry.node.spans) for entry in batch)
        return bool(
            rows * longest <= self._limits.batch_tokens
            and padding_pays(rows * longest, real, self._limits.min_saving)
            and self._alive + rows * cache <= self._limits.cache_bytes
            and rows * min(scored, longest) * self._engine.position_bytes <= self._limits.logit_bytes
        )

    def _forward(self, batch: list[_Entry], *, keep: bool) -> list[Prefix]:
        """Run a batch and report its logits; with ``keep`` return the cache of each row."""
        lengths = [len(entry.node.tokens) for entry in batch]
        longest = max(lengths)
        if longest == 0:  # a sequence that ends where its beginning does
            return [entry.parent for entry in batch if entry.parent]
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        for line, entry in zip(ids, batch, strict=True):
            line[: len(entry.node.tokens)] = entry.node.tokens
        tokens = torch.from_numpy(ids).to(self._engine.device)
        wanted = [
            sorted({span.first + step for span in entry.node.spans for step in range(span.length)}) for entry in batch
        ]
        pieces = self._pieces(longest, len(batch), wanted)
        cache, pads, starts = self._past(batch, keep=keep, pieces=len(pieces))
        if cache is not None and keep and min(lengths) < longest:
            cache = prefix_cache.recording(cache)
        for first, stop in pieces:
            last = stop == longest
            if last and not keep and len(pieces) > 1 and self._traits.plain:
                cache = prefix_cache.glance(cache, len(batch))
            columns = sorted({column for row in wanted for column in row if first <= column < stop})
            real = sum(max(0, min(length, stop) - first) for length in lengths)
            logits = self._call(tokens[:, first:stop], real, cache, pads, starts, first, columns)
            lines = {column: line for line, column in enumerate(columns)}
            picked = [(row, column) for row, some in enumerate(wanted) for column in some if column in lines]
            if len(picked) == len(batch) * len(columns):
                logits = logits.flatten(0, 1)
            else:
                logits = logits[[row for row, _ in picked], [lines[column] for _, column in picked]]
            if picked:
                self._on_logits([(batch[row].node, column) for row, column in picked], logits)
            del logits
            self._after_call()
        if not keep:
            return []
        if not self._traits.plain:
            return [Prefix(cache, batch[0].node.end, prefix_cache.nbytes(cache))]
        prefixes = []
        for index, entry in enumerate(batch):
            own = prefix_cache.row(cache, index, length=entry.node.end, surplus=longest - lengths[index])
            prefixes.append(Prefix(own, entry.node.end, prefix_cache.nbytes(own)))
        return prefixes

    def _pieces(self, longest: int, rows: int, wanted: list[list[int]]) -> list[tuple[int, int]]:
        """Column ranges to run one after the other, so that tokens and logits stay within their limits."""
        most = max(1, int(self._limits.logit_bytes // (self._engine.position_bytes * rows)))
        columns = sorted({column for row in wanted for column in row})
        pieces = []
        first = 0
        while first < longest:
            stop = min(longest, first + max(1, self._limits.row_tokens // rows))
            inside = [column for column in columns if first <= column < stop]
            if len(inside) > most:
                stop = inside[most]
            pieces.append((first, stop))
            first = stop
        return pieces

    def _past(self, batch: list[_Entry], *, keep: bool, pieces: int) -> tuple[Any, list[int] | None, list[int]]:
        """The cache to run a batch on, the padding on the left of its rows, and their lengths before this batch."""
        parents = [entry.parent for entry in batch]
        starts = [parent.length if parent else 0 for parent in parents]
        if parents[0] is None:
            needs_cache = keep or pieces > 1
            return (prefix_cache.fresh(self._engine.model.config) if needs_cache else None), None, starts
        if all(parent is parents[0] for parent in parents):
            derive = prefix_cache.branch if keep or pieces > 1 else prefix_cache.glance
            return derive(parents[0].cache, len(batch)), None, starts
        cache, pads = prefix_cache.join([parent.cache for parent in parents if parent])
        if not keep and pieces == 1:
            cache = prefix_cache.glance(cache, len(batch))
        return cache, pads if any(pads) else None, starts

    def _call(
        self,
        tokens: Any,
        real: int,
        cache: Any,
        pads: list[int] | None,
        starts: list[int],
        first: int,
        columns: list[int],
    ) -> Any:
        """One forward pass; returns the logits of ``columns``, shape (rows, columns, vocabulary)."""
        rows, size = tokens.shape
        arguments: dict[str, Any] = {"input_ids": tokens, "use_cache": cache is not None}
        if cache is not None:
            arguments["past_key_values"] = cache
        if pads:
            past = max(starts) + first
            mask = torch.ones((rows, past + size), dtype=torch.long, device=tokens.device)
            for line, pad in zip(mask, pads, strict=True):
                line[:pad] = 0
            arguments["attention_mask"] = mask
            positions = torch.arange(first, first + size, device=tokens.device)
            arguments["position_ids"] = torch.tensor(starts, device=tokens.device)[:, None] + positions
        inside = [column - first for column in columns]
        selects = self._engine.selects_logits()
        if selects:
            tail = inside and inside == list(range(size - len(inside), size))
            # Without anything to score no position is named: the number 0 would mean all of them.
            arguments["logits_to_keep"] = (
                len(inside) if tail else torch.tensor(inside, dtype=torch.long, device=tokens.device)
            )
        logits = self._engine.logits(real, **arguments)
        return logits if selects else logits[:, inside]
