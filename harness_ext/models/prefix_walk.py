"""Runs a causal model over prefix trees: each node once, siblings in one batch, with bounded memory.

The walk goes depth first over batches: a batch of nodes is run, then everything below it, then the next batch. So only
the caches on the way to the current batch are alive. Nodes whose cache would not fit the budget give their tokens to
their children, which costs tokens and never memory.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from harness_ext.models import prefix_cache
from harness_ext.models.prefix_cache import Traits
from harness_ext.models.prefix_tree import Node

log = logging.getLogger(__name__)

PADDING = 0.05
"""Largest part of a batch that may be padding."""


class Prefix(NamedTuple):
    """The cache of a beginning, and what it holds."""

    cache: Any
    length: int
    bytes: int


@dataclass(frozen=True)
class Limits:
    """What one forward pass and all caches together may take."""

    cache_bytes: float
    """All caches alive at a time."""
    logit_bytes: float
    """The logits of one forward pass."""
    batch_tokens: int
    """Tokens of a forward pass of several rows."""
    row_tokens: int
    """Tokens of a forward pass of one row; longer nodes run in pieces."""
    contexts: int
    """Nodes without a common beginning in one forward pass."""


@dataclass
class Work:
    """What was run so far."""

    calls: int = 0
    tokens: int = 0
    """Tokens that went through the model, padding included."""
    padding: int = 0

    def count(self, tokens: int, real: int) -> None:
        """Count a forward pass over so many tokens, ``real`` of which are no padding."""
        self.calls += 1
        self.tokens += tokens
        self.padding += tokens - real


@dataclass
class _Entry:
    node: Node
    parent: Prefix | None


@dataclass
class Walk:
    """One walk over the trees of a run.

    Args:
        model: a causal transformers model.
        device: where its input belongs.
        traits: what its caches allow.
        limits: see `Limits`.
        on_logits: takes a node, the first of its scored positions and their logits, shape (positions, vocabulary);
            called once for each run of scored positions of a node.
        on_end: takes a node in which sequences end, and their cache.
        after_call: called after each forward pass.
        autocast: makes the context that forward passes run in.
    """

    model: Any
    device: Any
    traits: Traits
    limits: Limits
    on_logits: Callable[[Node, Sequence[int], Any], None]
    on_end: Callable[[Node, Prefix | None], None]
    after_call: Callable[[], None]
    autocast: Callable[[], AbstractContextManager[Any]]
    work: Work = field(default_factory=Work)
    _alive: float = 0.0

    def run(self, roots: Sequence[Node]) -> None:
        """Run every node of these trees."""
        with torch.no_grad():
            self._visit([_Entry(root, None) for root in roots])

    def hold(self, bytes_: float) -> None:
        """Count bytes of a cache that somebody keeps (or, if negative, gives up)."""
        self._alive += bytes_

    def _visit(self, entries: list[_Entry]) -> None:
        leaves, inner = self._affordable(entries)
        for batch in self._batches(leaves, keep=False):
            self._forward(batch, keep=False)
        for batch in self._batches(inner, keep=True):
            prefixes = self._forward(batch, keep=True)
            below = []
            for entry, prefix in zip(batch, prefixes, strict=True):
                if entry.node.ends:
                    self.on_end(entry.node, prefix)
                below += [_Entry(child, prefix) for child in entry.node.children]
            held = sum(prefix.bytes for prefix in prefixes)
            self._alive += held
            del prefixes
            self._visit(below)
            self._alive -= held

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
            elif node.children and self._alive + self.traits.size(node.end) > self.limits.cache_bytes:
                log.debug("a shared beginning of %d tokens does not fit the budget for caches", node.end)
                waiting.extend(_Entry(child, entry.parent) for child in reversed(node.dissolve()))
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
            together = self.traits.joinable or (family[0].parent is None and not keep)
            if pool and (pooled == self.limits.contexts or not together):
                yield from self._cut(pool, keep=keep)
                pool, pooled = [], 0
            pool += family
            pooled += 1
        yield from self._cut(pool, keep=keep)

    def _cut(self, pool: list[_Entry], *, keep: bool) -> Iterator[list[_Entry]]:
        batch: list[_Entry] = []
        for entry in sorted(pool, key=lambda entry: -len(entry.node.tokens)):
            if batch and not self._fits([*batch, entry], keep=keep):
                yield batch
                batch = []
            batch.append(entry)
        if batch:
            yield batch

    def _fits(self, batch: list[_Entry], *, keep: bool) -> bool:
        rows, longest = len(batch), len(batch[0].node.tokens)
        real = sum(len(entry.node.tokens) for entry in batch)
        deepest = longest + max(entry.parent.length if entry.parent else 0 for entry in batch)
        padded = real < rows * longest
        if keep and not (self.traits.plain and (self.traits.records or not padded)):
            return False
        cache = self.traits.size(deepest) if keep else self.traits.largest_layer(deepest)
        scored = max(sum(span.length for span in entry.node.spans) for entry in batch)
        return bool(
            rows * longest <= self.limits.batch_tokens
            and rows * longest - real <= PADDING * rows * longest
            and self._alive + rows * cache <= self.limits.cache_bytes
            and rows * min(scored, longest) * self._position_bytes <= self.limits.logit_bytes
        )

    @property
    def _position_bytes(self) -> int:
        """Bytes of the logits of one position, as the model gives them and in single precision."""
        return 8 * int(self.model.config.get_text_config(decoder=True).vocab_size)

    def _forward(self, batch: list[_Entry], *, keep: bool) -> list[Prefix]:
        """Run a batch and report its logits; with ``keep`` return the cache of each row."""
        lengths = [len(entry.node.tokens) for entry in batch]
        longest = max(lengths)
        if longest == 0:  # a sequence that ends where its beginning does
            return [entry.parent for entry in batch if entry.parent]
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        for line, entry in zip(ids, batch, strict=True):
            line[: len(entry.node.tokens)] = entry.node.tokens
        tokens = torch.from_numpy(ids).to(self.device)
        wanted = [
            sorted({span.first + step for span in entry.node.spans for step in range(span.length)}) for entry in batch
        ]
        pieces = self._pieces(longest, len(batch), wanted)
        cache, pads, starts = self._past(batch, keep=keep, pieces=len(pieces))
        if cache is not None and keep and min(lengths) < longest:
            cache = prefix_cache.recording(cache)
        for first, stop in pieces:
            last = stop == longest
            if last and not keep and len(pieces) > 1 and self.traits.plain:
                cache = prefix_cache.glance(cache, len(batch))
            columns = sorted({column for row in wanted for column in row if first <= column < stop})
            real = sum(max(0, min(length, stop) - first) for length in lengths)
            logits = self._call(tokens[:, first:stop], real, cache, pads, starts, first, columns)
            for index, entry in enumerate(batch):
                here = [column for column in wanted[index] if first <= column < stop]
                if here:
                    picks = [columns.index(here[0]) + step for step in range(len(here))]
                    if columns[picks[0] : picks[-1] + 1] != here:
                        picks = [columns.index(column) for column in here]
                    self.on_logits(entry.node, here, logits[index, picks])
            del logits
            self.after_call()
        if not keep:
            return []
        if not self.traits.plain:
            return [Prefix(cache, batch[0].node.end, prefix_cache.nbytes(cache))]
        prefixes = []
        for index, entry in enumerate(batch):
            own = prefix_cache.row(cache, index, length=entry.node.end, surplus=longest - lengths[index])
            prefixes.append(Prefix(own, entry.node.end, prefix_cache.nbytes(own)))
        return prefixes

    def _pieces(self, longest: int, rows: int, wanted: list[list[int]]) -> list[tuple[int, int]]:
        """Column ranges to run one after the other, so that tokens and logits stay within their limits."""
        most = max(1, int(self.limits.logit_bytes // (self._position_bytes * rows)))
        columns = sorted({column for row in wanted for column in row})
        pieces = []
        first = 0
        while first < longest:
            stop = min(longest, first + max(1, self.limits.row_tokens // rows))
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
            return (prefix_cache.fresh(self.model.config) if needs_cache else None), None, starts
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
        arguments: dict[str, Any] = {"use_cache": cache is not None}
        if cache is not None:
            arguments["past_key_values"] = cache
        if pads:
            past = max(starts) + first
            mask = torch.ones((rows, past + size), dtype=torch.long, device=self.device)
            for line, pad in zip(mask, pads, strict=True):
                line[:pad] = 0
            arguments["attention_mask"] = mask
            positions = torch.arange(first, first + size, device=self.device)
            arguments["position_ids"] = torch.tensor(starts, device=self.device)[:, None] + positions
        inside = [column - first for column in columns]
        selects = keeps_logits(self.model)
        if selects:
            tail = inside and inside == list(range(size - len(inside), size))
            # Without anything to score the last position is asked for: 0 would mean all.
            arguments["logits_to_keep"] = (
                len(inside) if tail else torch.tensor(inside or [size - 1], device=self.device)
            )
        with self.autocast():
            logits = self.model(input_ids=tokens, **arguments).logits
        self.work.count(rows * size, real)
        return logits if selects else logits[:, inside]


def keeps_logits(model: Any) -> bool:
    """Whether the model can be told which positions to compute logits for."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters
