"""Log-likelihoods from logits, for causal models over prefix trees and for encoder-decoder models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from transformers.modeling_outputs import BaseModelOutput

from harness_ext.models.hf import padded
from harness_ext.models.prefix.engine import Engine
from harness_ext.models.prefix.tree import Node
from harness_ext.models.prefix.walk import batches, padding_pays

_Sized = TypeVar("_Sized", bound=Sequence[Any])

Answer = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether greedy decoding would have given it."""


class Scoring(NamedTuple):
    """A continuation to score after a context, both as token ids."""

    context: list[int]
    continuation: list[int]


class TokenScore(NamedTuple):
    """One token of a continuation, after the right ones before it."""

    log_prob: float
    hit: bool
    """Whether it is the most likely one."""
    mean: float
    """Expected log-probability of the next token."""
    variance: float
    """Its variance."""


class Tally:
    """Adds up the log-probabilities of continuations as logits come in, and answers when one is complete.

    Args:
        continuations: token ids to score, by sequence.
        answer: called once a sequence is complete.
        dtype: precision of the softmax.
        keep: called with every token's score just before that; none are computed without it.
    """

    def __init__(
        self,
        continuations: Sequence[Sequence[int]],
        answer: Callable[[int, Answer], None],
        dtype: Any = torch.float32,
        keep: Callable[[int, list[TokenScore]], None] | None = None,
    ) -> None:
        self._keep = keep
        self._tokens: dict[int, dict[int, TokenScore]] = {}
        self._continuations = continuations
        self._answer = answer
        self._dtype = dtype
        self._missing = [len(continuation) for continuation in continuations]
        self._totals = [0.0] * len(continuations)
        self._greedy = [True] * len(continuations)

    def add_nodes(self, positions: Sequence[tuple[Node, int]], logits: Any) -> None:
        """Take the logits, shape (positions, vocabulary), of scored positions: nodes with places in them."""
        lines: dict[int, dict[int, int]] = {}
        nodes: dict[int, Node] = {}
        for line, (node, place) in enumerate(positions):
            lines.setdefault(id(node), {})[place] = line
            nodes[id(node)] = node
        wanted = [
            (lines[identity][span.first + step], span.sequence, span.done + step)
            for identity, node in nodes.items()
            for span in node.spans
            for step in range(span.length)
            if span.first + step in lines[identity]
        ]
        self.add(logits, wanted)

    def add(self, logits: Any, wanted: Sequence[tuple[int, int, int]]) -> None:
        """Take logits, shape (lines, vocabulary), and which (line, sequence, place in its continuation) they score."""
        # As hf does it: logsumexp would be more exact, by up to 2e-4 nats for the largest vocabularies on CPU.
        log_probs = torch.log_softmax(logits, dim=-1, dtype=self._dtype)
        lines = torch.tensor([line for line, _, _ in wanted], device=logits.device)
        tokens = torch.tensor([self._continuations[owner][place] for _, owner, place in wanted], device=logits.device)
        values = log_probs[lines, tokens].tolist()
        hits = (log_probs.argmax(-1)[lines] == tokens).tolist()
        if self._keep is not None:
            self._note(log_probs, wanted, values, hits)
        for (_, owner, _), value, hit in zip(wanted, values, hits, strict=True):
            self._totals[owner] += value
            self._greedy[owner] &= hit
            self._missing[owner] -= 1
            if not self._missing[owner]:
                if self._keep is not None:
                    tokens = self._tokens.pop(owner)
                    self._keep(owner, [tokens[place] for place in sorted(tokens)])
                self._answer(owner, (self._totals[owner], self._greedy[owner]))

    def _note(
        self, log_probs: Any, wanted: Sequence[tuple[int, int, int]], values: Sequence[float], hits: Sequence[bool]
    ) -> None:
        """Keep the scores of single tokens, with the moments of the whole distribution that each was drawn from."""
        probabilities = log_probs.exp()
        finite = log_probs.nan_to_num(neginf=0.0)  # a token that is never drawn adds nothing: 0 x infinity
        means = (probabilities * finite).sum(-1)
        variances = ((probabilities * finite**2).sum(-1) - means**2).tolist()
        means = means.tolist()
        for (line, owner, place), value, hit in zip(wanted, values, hits, strict=True):
            self._tokens.setdefault(owner, {})[place] = TokenScore(value, hit, means[line], variances[line])


class _Row(NamedTuple):
    context: int
    inputs: tuple[int, ...]
    owners: list[int]


def score_with_encoder(
    engine: Engine, scorings: Sequence[Scoring], tally: Tally, after_call: Callable[[], None]
) -> None:
    """Score continuations with an encoder-decoder model; each distinct context is encoded once.

    Continuations that begin alike share a decoder row: its position i scores token i of each of them.
    """
    by_context: dict[tuple[int, ...], list[int]] = {}
    for index, scoring in enumerate(scorings):
        by_context.setdefault(tuple(scoring.context), []).append(index)
    contexts = sorted(by_context, key=lambda context: (-len(context), context))
    for batch in similar_lengths(contexts, engine.limits.contexts, engine.limits.min_saving):
        ids, mask = (part.to(engine.device) for part in padded(batch, 0))  # with 0, as lm-eval does
        with engine.running():
            encoded = engine.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        engine.work.count(ids.numel(), int(mask.sum()))
        rows = [
            row
            for line, context in enumerate(batch)
            for row in _decoder_rows(engine.model, line, by_context[context], scorings)
        ]
        rows.sort(key=lambda row: len(row.inputs))
        for some in _row_batches(rows, engine):
            decoder_ids, decoder_mask = padded([row.inputs for row in some], 0)
            lines = torch.tensor([row.context for row in some], device=engine.device)
            logits = engine.logits(
                int(decoder_mask.sum()),
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded[lines]),
                attention_mask=mask[lines],
                decoder_input_ids=decoder_ids.to(engine.device),
                use_cache=False,
            )
            for row, its_logits in zip(some, logits, strict=True):
                wanted = [
                    (place, owner, place) for owner in row.owners for place in range(len(scorings[owner].continuation))
                ]
                tally.add(its_logits[: len(row.inputs)], wanted)
            after_call()


def _decoder_rows(model: Any, context: int, owners: Sequence[int], scorings: Sequence[Scoring]) -> Iterator[_Row]:
    """The fewest decoder inputs that score all continuations of a context."""
    inputs = []
    for owner in owners:
        labels = torch.tensor([scorings[owner].continuation])
        shifted = model.prepare_decoder_input_ids_from_labels(labels=labels)[0].tolist()
        inputs.append((tuple(shifted), owner))
    row: _Row | None = None
    for shifted, owner in sorted(inputs, reverse=True):  # what another one begins with comes right after it
        if row is None or row.inputs[: len(shifted)] != shifted:
            if row is not None:
                yield row
            row = _Row(context, shifted, [])
        row.owners.append(owner)
    if row is not None:
        yield row


def _row_batches(rows: Sequence[_Row], engine: Engine) -> Iterator[list[_Row]]:
    limits = engine.limits

    def fits(batch: list[_Row], row: _Row) -> bool:
        tokens = (len(batch) + 1) * len(row.inputs)  # rows come shortest first
        return tokens <= limits.batch_tokens and tokens * engine.position_bytes <= limits.logit_bytes

    return batches(rows, fits)


def similar_lengths(rows: Sequence[_Sized], most: int, min_saving: int) -> Iterator[list[_Sized]]:
    """Rows, which come longest first, in batches of at most ``most`` with little padding.

    >>> list(similar_lengths(["twelve chars", "eleven char", "short"], 3, min_saving=4))
    [['twelve chars', 'eleven char'], ['short']]
    """

    def fits(batch: list[_Sized], row: _Sized) -> bool:
        real = sum(map(len, batch)) + len(row)
        return len(batch) < most and padding_pays(len(batch[0]) * (len(batch) + 1), real, min_saving)

    return batches(rows, fits)
