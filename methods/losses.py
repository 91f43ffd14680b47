"""Losses as pure functions on tensors, exact in float64; a label of -100 is not scored.

Each gives the mean over its items, or with ``reduction="sum"`` their sum, which is what an objective asks for.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

IGNORED = -100
"""The label of a token that is not scored: the convention of torch's cross entropy and of transformers."""

Reduction = Literal["mean", "sum"]


def sequence_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each row's scored tokens, summed, in nats, shape (rows,).

    Args:
        logits: shape (rows, tokens, vocabulary).
        labels: what each position should have said, shape (rows, tokens): for a causal model already shifted.

    >>> sequence_nll(torch.zeros(2, 3, 4), torch.tensor([[-100, 1, 2], [-100, -100, 3]])).exp().round()
    tensor([16.,  4.])
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    each = functional.cross_entropy(wide.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(labels.shape).sum(1)


def npo(nll: torch.Tensor, reference_nll: torch.Tensor, beta: float, reduction: Reduction = "mean") -> torch.Tensor:
    """Negative preference optimisation: ``-(2/β) log σ(β (NLL - NLL of the reference))`` of each sequence.

    Args:
        nll: of the answers to forget, summed over the tokens of each, shape (rows,).
        reference_nll: the same under the model before unlearning.
        beta: how early the push ends; towards 0 the gradient becomes that of gradient ascent.
        reduction: over the rows.

    Source: Negative Preference Optimization (arXiv 2404.05868), as in open-unlearning.
    """
    losses = functional.logsigmoid(beta * (nll - reference_nll)).mul(-2 / beta)
    return losses.mean() if reduction == "mean" else losses.sum()


def rkld(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor | None = None, reduction: Reduction = "mean"
) -> torch.Tensor:
    """Reverse divergence KL(student ‖ teacher) of each position's distribution: the student seeks a mode of it.

    Args:
        student: logits, shape (…, vocabulary).
        teacher: logits, the same shape.
        mask: positions that count, shape (…); None: all.
        reduction: over the positions.

    >>> float(rkld(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -1.0]])).mul(1e4).round())  # ½ log ½/p + ½ log ½/q
    1201.0
    """
    return fkld(teacher, student, mask, reduction)


def fkld(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor | None = None, reduction: Reduction = "mean"
) -> torch.Tensor:
    """Forward divergence KL(teacher ‖ student): the student covers all that the teacher says. Otherwise as `rkld`."""
    wide = torch.promote_types(student.dtype, torch.float32)
    of_student, of_teacher = (logits.to(wide).log_softmax(-1) for logits in (student, teacher))
    divergences = (of_teacher.exp() * (of_teacher - of_student)).sum(-1)
    chosen = divergences if mask is None else divergences[mask.bool()]
    return chosen.mean() if reduction == "mean" else chosen.sum()
