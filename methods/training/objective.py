"""What a training step minimises: ``Σ weight · sum / count`` over several terms.

A term's sum may be over answer tokens, sequences or anything else; its count says over how many, and is known before
the forward pass. The loop divides the sums of all micro-batches and processes of a step by the sum of their counts,
term by term: only so does a step not depend on how its rows are cut into micro-batches.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from harness_ext.methods.losses import IGNORED, sequence_nll

Batch = Mapping[str, Any]
"""Role of the rows (``forget``, ``retain``, …) → their padded batch."""


@dataclass(frozen=True)
class Objective:
    """Terms of a loss. Two objectives are added with ``+``: the terms of both.

    >>> (nll_of(forget=-1.0) + nll_of(retain=0.5)).weights
    {'forget': -1.0, 'retain': 0.5}
    >>> nll_of(forget=-1.0) + nll_of(forget=1.0)
    Traceback (most recent call last):
    ...
    ValueError: two terms of one name: forget
    """

    weights: Mapping[str, float]
    """Term → its weight."""
    counts: Callable[[Batch], Mapping[str, int]]
    """Batch → the number of items in each term's sum; a term with 0 in a whole step is left out of that step."""
    sums: Callable[[Any, Batch], Mapping[str, torch.Tensor]]
    """Model and batch → each term's sum."""
    added: tuple[Objective, ...] = ()
    """What this one is the sum of."""

    def parts(self) -> tuple[Objective, ...]:
        """Objectives whose gradients can be computed one after another, so that one forward pass is in memory."""
        return self.added or (self,)

    def __add__(self, other: Objective) -> Objective:
        if shared := self.weights.keys() & other.weights.keys():
            raise ValueError(f"two terms of one name: {', '.join(sorted(shared))}")
        return Objective(
            {**self.weights, **other.weights},
            lambda batch: {**self.counts(batch), **other.counts(batch)},
            lambda model, batch: {**self.sums(model, batch), **other.sums(model, batch)},
            (*self.parts(), *other.parts()),
        )


def nll_of(**weights: float) -> Objective:
    """The negative log-likelihood of the answers in nats, a mean over tokens for each role.

    A weight of 1 learns them, -1 is gradient ascent, and ``nll_of(forget=-1.0, retain=1.0)`` is gradient difference.
    """
    return Objective(
        weights,
        lambda batch: {role: answer_tokens(batch[role]) for role in weights},
        lambda model, batch: {role: answer_nll(model, batch[role]).sum() for role in weights},
    )


def per_token(role: str, total: Callable[[Any, Batch], torch.Tensor], weight: float = 1.0) -> Objective:
    """A mean over the answer tokens of a role: ``total`` of the model and the role's batch is the sum over them."""
    return Objective(
        {role: weight},
        lambda batch: {role: answer_tokens(batch[role])},
        lambda model, batch: {role: total(model, batch[role])},
    )


def per_row(role: str, total: Callable[[Any, Batch], torch.Tensor], weight: float = 1.0) -> Objective:
    """A mean over the rows of a role: ``total`` of the model and the role's batch is the sum over them."""
    return Objective(
        {role: weight},
        lambda batch: {role: len(batch[role]["input_ids"])},
        lambda model, batch: {role: total(model, batch[role])},
    )


def answer_tokens(batch: Batch) -> int:
    """How many tokens of a role's batch are scored.

    >>> answer_tokens({"labels": torch.tensor([[-100, 5, 6]])}), answer_tokens({"targets": torch.tensor([[5, -100]])})
    (2, 1)
    """
    return int((answer_labels(batch) != IGNORED).sum())


def answer_lengths(batch: Batch) -> torch.Tensor:
    """Scored tokens of each row, shape (rows,)."""
    return (answer_labels(batch) != IGNORED).sum(1)


def answer_nll(model: Any, batch: Batch) -> torch.Tensor:
    """Negative log-likelihood of each row's scored tokens, summed, in nats, shape (rows,)."""
    return sequence_nll(*scored(model, batch))


def answer_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Logits at the scored tokens, row after row, shape (scored tokens, vocabulary)."""
    logits, labels = scored(model, batch)
    return logits[labels != IGNORED]


def scored_tokens(batch: Batch) -> torch.Tensor:
    """The tokens that `answer_logits` belong to, row after row, shape (scored tokens,)."""
    labels = answer_labels(batch)
    return labels[labels != IGNORED]


def scored(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the label or target that each is to say, at the places where any row is scored.

    ``labels`` are of causal models, where a position says the next token; ``targets`` of encoder-decoders and masked
    models, where it says its own. Where a causal model can be told, it computes no other logits: of a prompt with a
    short answer they would be most of its memory, and with a large vocabulary much of its time.

    Returns:
        Shapes (rows, places, vocabulary) and (rows, places); -100 is the label of what is not scored.
    """
    given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    labels = answer_labels(batch)
    if "targets" in batch:
        return model(**given, labels=labels).logits, labels
    places = (labels != IGNORED).any(0).nonzero()[:, 0]
    whole = getattr(model, "module", model)  # of several processes
    base = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    if "logits_to_keep" in inspect.signature(base.forward).parameters:
        return model(**given, logits_to_keep=places).logits, labels[:, places]
    return model(**given).logits[:, places], labels[:, places]


def answer_labels(batch: Batch) -> torch.Tensor:
    """What each place is to say, -100 where nothing is scored, shape (rows, tokens)."""
    labels: torch.Tensor = batch["targets"] if "targets" in batch else batch["labels"][:, 1:]
    return labels
