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
    return _token_nll(logits, labels).sum(1)


def ga(logits: torch.Tensor, labels: torch.Tensor, reduction: Reduction = "mean") -> torch.Tensor:
    """Gradient ascent: the negated mean negative log-likelihood of a scored token. It has no lower bound.

    Args:
        logits: shape (…, vocabulary).
        labels: shape (…), as of `sequence_nll`.
        reduction: over the scored tokens.

    Source: TOFU (arXiv 2401.06121).

    >>> float(ga(torch.zeros(1, 2, 4), torch.tensor([[-100, 1]])).exp())
    0.25
    """
    return wga(logits, labels, 0.0, reduction)


def wga(logits: torch.Tensor, labels: torch.Tensor, beta: float = 1.0, reduction: Reduction = "mean") -> torch.Tensor:
    """Weighted gradient ascent: ``-p^β · NLL`` of a scored token, p its probability: what is unlikely is let alone.

    Source: Wang et al. (arXiv 2502.19301), as in open-unlearning. Arguments otherwise as of `ga`.
    """
    return satimp(logits, labels, beta, 0.0, reduction)


def satimp(
    logits: torch.Tensor, labels: torch.Tensor, beta1: float = 5.0, beta2: float = 1.0, reduction: Reduction = "mean"
) -> torch.Tensor:
    """Saturation and importance: ``-p^β1 (1 - p)^β2 · NLL`` of a scored token; the weight has no gradient.

    Source: SatImp (arXiv 2505.11953), as in open-unlearning. Arguments otherwise as of `ga`.
    """
    nll = _token_nll(logits, labels)[labels != IGNORED]
    probability = nll.detach().neg().exp()
    return _reduced(-(probability**beta1) * (1 - probability) ** beta2 * nll, reduction)


def npo(nll: torch.Tensor, reference_nll: torch.Tensor, beta: float, reduction: Reduction = "mean") -> torch.Tensor:
    """Negative preference optimisation: ``-(2/β) log σ(β (NLL - NLL of the reference))`` of each sequence.

    Args:
        nll: of the answers to forget, summed over the tokens of each, shape (rows,).
        reference_nll: the same under the model before unlearning.
        beta: how early the push ends; towards 0 the gradient becomes that of gradient ascent.
        reduction: over the rows.

    Source: Negative Preference Optimization (arXiv 2404.05868), as in open-unlearning.
    """
    return _reduced(functional.logsigmoid(beta * (nll - reference_nll)).mul(-2 / beta), reduction)


def simnpo(
    nll: torch.Tensor, lengths: torch.Tensor, beta: float = 4.5, delta: float = 0.0, reduction: Reduction = "mean"
) -> torch.Tensor:
    """NPO without a reference: ``-(2/β) log σ(β (NLL / length - δ))`` of each sequence.

    Args:
        nll: as of `npo`.
        lengths: scored tokens of each answer, shape (rows,).
        beta: how early the push ends.
        delta: the mean of an answer's tokens from which on it fades.
        reduction: over the rows.

    Source: SimNPO (arXiv 2410.07163), as in open-unlearning.

    >>> nll, length = torch.tensor([6.0]), torch.tensor([3.0])
    >>> bool(torch.isclose(simnpo(nll, length, 4.5), npo(nll / length, torch.zeros(1), 4.5)))
    True
    """
    return npo(nll / lengths, torch.full_like(nll, delta), beta, reduction)


def dpo(
    nll_refusal: torch.Tensor,
    nll_forget: torch.Tensor,
    reference_refusal: torch.Tensor,
    reference_forget: torch.Tensor,
    beta: float = 0.1,
    scale: Literal["ou", "tofu"] = "ou",
    reduction: Reduction = "mean",
) -> torch.Tensor:
    """Direct preference optimisation: a refusal is preferred to what is to be forgotten, for each question.

    Args:
        nll_refusal: of the preferred answers, summed over the tokens of each, shape (rows,).
        nll_forget: of the answers to forget.
        reference_refusal: the same under the model before unlearning.
        reference_forget: the same.
        beta: how early the push ends.
        scale: ``ou`` has the factor 2/β of open-unlearning, ``tofu`` (and the paper of DPO, arXiv 2305.18290) has none.
        reduction: over the rows.
    """
    margin = (reference_refusal - nll_refusal) - (reference_forget - nll_forget)
    return _reduced(-functional.logsigmoid(beta * margin) * (2 / beta if scale == "ou" else 1.0), reduction)


def undial(
    student: torch.Tensor,
    reference: torch.Tensor,
    labels: torch.Tensor,
    beta: float = 10.0,
    reduction: Reduction = "mean",
) -> torch.Tensor:
    """Cross entropy to what the model said before unlearning, with the right token's logit lowered by β.

    Args:
        student: logits, shape (…, vocabulary).
        reference: logits of the model before unlearning, the same shape.
        labels: shape (…), as of `sequence_nll`.
        beta: how much the logit is lowered.
        reduction: over the scored tokens.

    Source: UNDIAL (arXiv 2402.10052), as in open-unlearning, whose mean is over the tokens of prompts and padding
    as well: give those as labels to repeat it.
    """
    scored = labels != IGNORED
    gold = functional.one_hot(labels.clamp(min=0), reference.shape[-1]) * scored[..., None]
    wide = torch.promote_types(student.dtype, torch.float32)
    target = (reference.to(wide) - beta * gold).softmax(-1)
    losses = -(target * student.to(wide).log_softmax(-1)).sum(-1)
    return _reduced(losses[scored], reduction)


def steered(states: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of hidden states to where they are steered, over the tokens of each row, shape (rows,).

    Args:
        states: shape (rows, tokens, hidden).
        targets: broadcast to the shape of ``states``.
        mask: tokens that count, shape (rows, tokens), at least one a row.

    Source: RMU (arXiv 2403.03218), as in open-unlearning.

    >>> steered(torch.tensor([[[3.0, 1.0], [9.0, 9.0]]]), torch.tensor([1.0, 1.0]), torch.tensor([[1, 0]]))
    tensor([2.])
    """
    return ((states - targets) ** 2).mean(-1).mul(mask).sum(1) / mask.sum(1)


def suppressed_teacher(original: torch.Tensor, augmented: torch.Tensor, alpha: float) -> torch.Tensor:
    """The teacher of RKLD: raw logits, lowered by α times what more training on the forget set raised them by.

    Args:
        original: logits of the model before unlearning.
        augmented: logits of the same model after more training on what it is to forget.
        alpha: strength; 0 is the original.

    Source: RKLU, section 3 (NAACL 2025, long paper 60; arXiv 2406.01983).

    >>> suppressed_teacher(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([3.0, 1.0, -1.0]), alpha=4.0)
    tensor([-2.,  1.,  0.])
    """
    return original - alpha * (augmented - original).relu()


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
    return _reduced(chosen, reduction)


def _token_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each label, 0 where it is not scored, in the shape of the labels."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    each = functional.cross_entropy(wide.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(labels.shape)


def _reduced(losses: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    return losses.mean() if reduction == "mean" else losses.sum()
