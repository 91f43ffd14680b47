"""Rows that are decoded together: they join when their prompts have been read, and leave when they are done.

A step runs one token of every row. Their caches stand in one batch with room for what comes; it is made anew only when
rows join or leave. Python looks at single rows only where a token may complete a stop sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import transformers
from transformers.generation.configuration_utils import GenerationMode

from harness_ext.models.hf import padded
from harness_ext.models.prefix import cache as prefix_cache
from harness_ext.models.prefix.engine import Engine
from harness_ext.models.prefix.walk import Prefix


@dataclass(frozen=True)
class Decoding:
    """How answers are generated."""

    stop: list[str]
    new_tokens: int
    """At most so many tokens are decoded."""
    arguments: dict[str, Any]
    """Further arguments of ``generate``."""


class Stops:
    """lm-eval's test for stop sequences (``MultiTokenEOSCriteria``), for one row and with less to look at.

    lm-eval decodes the last tokens of all rows once for each sequence and step, and stops a batch once all rows contain
    the *same* one; here a row is done with its first one. A token without the last character of any sequence completes
    none; which these are is found out as they come.

    Args:
        tokenizer: of the model.
        stop: texts that end an answer.
        vocabulary: how many tokens there are.
        ends: tokens that end an answer whatever their text is.
        device: of ``may_end``.
    """

    def __init__(
        self, tokenizer: Any, stop: Sequence[str], vocabulary: int, ends: Collection[int] = (), device: Any = None
    ) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._ends = frozenset(ends)
        self._last = {text[-1:] for text in stop}
        self._back = 2 + max((len(tokenizer.encode(text, add_special_tokens=False)) for text in stop), default=0)
        self._known: set[int] = set()
        self.may_end = torch.ones(vocabulary, dtype=torch.bool, device=device)
        """For each token whether an answer may end with it, as far as is known."""

    def reached(self, tokens: Sequence[int]) -> bool:
        """Whether an answer ends with its last token."""
        last = tokens[-1]
        if last in self._ends:
            return True
        if last not in self._known:
            self._known.add(last)
            # Twice, because many tokenizers drop a blank in front; bytes of half a character may be any character.
            text = self._tokenizer.decode([last, last])
            self.may_end[last] = "\ufffd" in text or any(end in text for end in self._last)
        if not self.may_end[last]:
            return False
        tail = self._tokenizer.decode(tokens[-self._back :])
        return any(text in tail for text in self._stop)


class _StopsOfRows(transformers.StoppingCriteria):  # type: ignore[misc]
    """`Stops` for ``generate``; ``lengths`` holds after how many tokens, prompt included, each row stopped."""

    def __init__(self, stops: Stops, given: int, rows: int) -> None:
        self._stops = stops
        self._given = given
        self.lengths: list[int | None] = [None] * rows

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Which rows are done, as a boolean tensor."""
        for row, tokens in enumerate(input_ids[:, self._given :].tolist()):
            if self.lengths[row] is None and self._stops.reached(tokens):
                self.lengths[row] = input_ids.shape[1]
        return torch.tensor([length is not None for length in self.lengths], device=input_ids.device)


def generated(
    engine: Engine, decoding: Decoding, ids: Any, mask: Any, given: int, **limits: Any
) -> tuple[Any, list[int | None]]:
    """Tokens of each row by ``generate``, the first ``given`` of which are not new, and after how many it stopped."""
    stops = _StopsOfRows(Stops(engine.tokenizer, decoding.stop, engine.vocabulary), given, ids.shape[0])
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


class _Source(NamedTuple):
    """Where the cache of a row is."""

    cache: Any
    row: int = 0


@dataclass(eq=False)
class _Row:
    index: int
    context: Sequence[int]
    family: int
    length: int
    """Tokens in its cache."""
    source: _Source | None = None
    """Its cache, until it runs with others; None: nothing of its context has been read."""
    tokens: list[int] = field(default_factory=list)
    """The new ones."""


class Rows:
    """Rows that are decoded together.

    Args:
        engine: a causal model whose caches can be shared.
        decoding: how answers are generated.
    """

    def __init__(self, engine: Engine, decoding: Decoding) -> None:
        self._engine = engine
        self._decoding = decoding
        self._running: list[_Row] = []
        self._waiting: list[_Row] = []
        self._done: list[_Row] = []
        self._together = 0
        """Rows that the caches of the running ones hold: more than these, once some are done."""
        self._last: Any = None
        self._mask: Any = None
        self._positions: Any = None
        self._selects = {"logits_to_keep": 1} if engine.selects_logits() else {}
        ends = self._plain_ends()
        self._is_plain = ends is not None
        self._stops = Stops(engine.tokenizer, decoding.stop, engine.vocabulary, ends or (), engine.device)

    def __len__(self) -> int:
        """Rows that are not done, or of which nobody has heard it."""
        return len(self._running) + len(self._waiting) + len(self._done)

    @property
    def bytes(self) -> int:
        """Of all caches."""
        return _bytes([*self._running, *self._waiting])

    def fits(self, length: int, families: Sequence[int], bytes_: int) -> bool:
        """Whether rows of these families may join, whose contexts have up to ``length`` tokens.

        Args:
            length: the longest of their contexts.
            families: for each row a number that those with the same shared beginning have in common.
            bytes_: of their caches.
        """
        traits, limits = self._engine.traits, self._engine.limits
        rows = [*self._running, *self._waiting]
        count = len(rows) + len(families)
        longest = max([length, *(len(row.context) for row in rows)]) + self._decoding.new_tokens
        return count == 1 or bool(
            traits
            and traits.joinable
            and len({row.family for row in rows}.union(families)) <= limits.contexts
            and count <= max(limits.contexts, limits.rows)
            and _bytes(self._waiting) + bytes_ + count * traits.size(longest) <= limits.cache_bytes
        )

    def add(self, index: int, context: Sequence[int], prefix: Prefix, family: int) -> None:
        """Let a row join, given the cache of its context but for the last token."""
        self._waiting.append(_Row(index, context, family, prefix.length, _Source(prefix.cache)))

    def read(self, indices: Sequence[int], contexts: Sequence[Sequence[int]]) -> None:
        """Read contexts in one call, which gives the first new token of each, and let their rows join."""
        rows = [
            _Row(index, context, -1 - index, len(context)) for index, context in zip(indices, contexts, strict=True)
        ]
        self._waiting += rows
        if not self._is_plain:
            return
        ids, mask = padded(contexts, self._engine.tokenizer.pad_token_id, left=True)
        cache = prefix_cache.fresh(self._engine.model.config)
        real = int(mask.sum())
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        tokens = self._next(cache, ids, real, *((mask, positions) if real < mask.numel() else (None, None)))
        for line, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            row.source = _Source(cache, line)
            row.tokens.append(token)
        self._part()

    def advance(self) -> list[tuple[int, list[int]]]:
        """Decode until a row is done; the numbers of those that are, and their new tokens."""
        if not self._is_plain:
            self._generate()
        while not self._done and (self._running or self._waiting):
            self._join()
            self._run()
            self._part()
        done, self._done = self._done, []
        return [(row.index, row.tokens) for row in done]

    def _join(self) -> None:
        """Let those that wait run, and drop from the batch what those that are done left behind."""
        if not self._waiting and len(self._running) == self._together:
            return
        rows = self._running = [*self._running, *self._waiting]
        self._waiting = []
        sources = [(*row.source, row.length) for row in rows if row.source]
        assert self._engine.traits is not None  # noqa: S101 - for the type checker: its caches can be shared
        together = self._engine.traits.joinable
        cache = prefix_cache.gathered(sources) if together else prefix_cache.branch(sources[0][0])
        for line, row in enumerate(rows):
            row.source = _Source(cache, line)
        self._together = len(rows)
        device = self._engine.device
        self._last = torch.tensor([(row.tokens or row.context)[-1] for row in rows], device=device)
        self._mask = self._positions = None
        longest = max(row.length for row in rows)
        if any(row.length < longest for row in rows):
            lengths = torch.tensor([row.length for row in rows], device=device)[:, None]
            places = torch.arange(longest + self._decoding.new_tokens, device=device)
            self._mask, self._positions = (places >= longest - lengths).long(), lengths

    def _run(self) -> None:
        """Decode until a row may be done."""
        rows = self._running
        most = self._decoding.new_tokens - max(len(row.tokens) for row in rows)
        longest, steps = max(row.length for row in rows), []
        cache = rows[0].source.cache if rows[0].source else None
        while True:
            longest += 1
            padding = (None, None) if self._mask is None else (self._mask[:, :longest], self._positions)
            self._last = self._next(cache, self._last[:, None], len(rows), *padding)
            if self._mask is not None:
                self._positions = self._positions + 1
            steps.append(self._last)
            if len(steps) == most or self._stops.may_end[self._last].any():
                break
        for row, tokens in zip(rows, torch.stack(steps, 1).tolist(), strict=True):
            row.length += len(tokens)
            row.tokens += tokens

    def _next(self, cache: Any, ids: Any, real: int, mask: Any, positions: Any) -> Any:
        """The most likely next token of each row."""
        device = self._engine.device
        arguments: dict[str, Any] = {"input_ids": ids.to(device), "past_key_values": cache, "use_cache": True}
        if mask is not None:
            arguments |= {"attention_mask": mask.to(device), "position_ids": positions.to(device)}
        with self._engine.choosing(len(ids)) as chosen:
            logits = self._engine.model(**arguments, **self._selects).logits
        self._engine.work.count(ids.numel(), real)
        return chosen.pop() if chosen else logits[:, -1].float().argmax(-1)

    def _part(self) -> None:
        """Let rows that are done leave."""
        for rows in (self._running, self._waiting):
            for row in list(rows):
                if row.tokens and (len(row.tokens) >= self._decoding.new_tokens or self._stops.reached(row.tokens)):
                    rows.remove(row)
                    row.source = None
                    self._done.append(row)

    # -- answers that are more than the most likely tokens

    def _plain_ends(self) -> list[int] | None:
        """The tokens that end an answer, if it is the most likely tokens; None if ``generate`` does more than that.

        A model's own settings may punish repetitions, forbid tokens, and so on.
        """
        ends: list[int] | None = None

        def look(_: Any, input_ids: Any, logits_processor: Any, stopping_criteria: Any, **found: Any) -> Any:
            nonlocal ends
            eos = [criterion.eos_token_id for criterion in stopping_criteria if hasattr(criterion, "eos_token_id")]
            limits = sum(isinstance(criterion, transformers.MaxLengthCriteria) for criterion in stopping_criteria)
            greedy = found["generation_config"].get_generation_mode() == GenerationMode.GREEDY_SEARCH
            if greedy and not logits_processor and len(eos) + limits == len(stopping_criteria):
                ends = [int(token) for tokens in eos for token in tokens.flatten()]
            return input_ids

        ids = torch.tensor([[self._engine.tokenizer.pad_token_id]], device=self._engine.device)
        self._engine.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pad_token_id=self._engine.tokenizer.pad_token_id,
            max_new_tokens=self._decoding.new_tokens,
            custom_generate=look,
            **self._decoding.arguments,
        )
        return ends

    def _generate(self) -> None:
        """Answer those that wait with ``generate``: those of whose contexts something has been read, and the others."""
        for rows in ([row for row in self._waiting if row.source], [row for row in self._waiting if not row.source]):
            if not rows:
                continue
            ids, mask = padded([row.context for row in rows], self._engine.tokenizer.pad_token_id, left=True)
            width = ids.shape[1]
            caches = [row.source.cache for row in rows if row.source]
            past = {}
            if caches:
                joined = prefix_cache.join(caches)[0] if len(caches) > 1 else prefix_cache.branch(caches[0])
                past = {"past_key_values": joined}
            output, lengths = generated(
                self._engine, self._decoding, ids, mask, width, max_length=width + self._decoding.new_tokens, **past
            )
            for row, line, length in zip(rows, output.tolist(), lengths, strict=True):
                row.tokens, row.source = line[width:length], None
            # Each step runs one token of every row: the last of the context, then all new ones but the last. Without
            # caches the first step runs the other tokens of the contexts, too.
            read = 0 if caches else sum(len(row.context) - 1 for row in rows)
            given = 0 if caches else len(rows) * (width - 1)
            steps = len(rows) * (output.shape[1] - width)
            self._engine.work.count(given + steps, read + sum(len(row.tokens) for row in rows))
            self._done += rows
        self._waiting = []


def _bytes(rows: Sequence[_Row]) -> int:
    caches = {id(row.source.cache): row.source.cache for row in rows if row.source}
    return sum(map(prefix_cache.nbytes, caches.values()))
