"""Agreement of predicted with gold hard labels, where an answer may be unparsable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled import Resampled
from harness_ext.scoring.resampled.labels import Score, f1, macro_f1, of_label_counts
from harness_ext.scoring.resampled.numbers import nanmean

Codes = npt.NDArray[np.int64]
"""0 and 1 for the two poles, 2 for an unparsable answer; shape (n,)."""


def _f1_of(labels: int, score: Score) -> Callable[[Codes, Codes], Resampled]:
    def form(gold: Codes, predicted: Codes) -> Resampled:
        truth, guess = (codes[:, None] == np.arange(labels) for codes in (gold, predicted))
        return of_label_counts(truth & guess, guess, truth, score)

    return form


FORMS: dict[str, Callable[[Codes, Codes], Resampled]] = {
    "acc": lambda gold, predicted: nanmean(100.0 * (gold == predicted)),
    # Exactly two poles, also when a resample (or the whole corpus) holds only one of them.
    "f1": _f1_of(2, lambda hits, predicted, gold: f1(hits, predicted, gold).sum(1) / 2),
    "f1_compat": _f1_of(3, macro_f1),
}
"""Metrics of gold and predicted hard labels, in percent."""


class HardMetrics(TypedDict):
    """What :func:`hard_metrics` returns."""

    n_fail: int
    acc: float
    f1: float
    f1_compat: float


def hard_metrics(gold: Sequence[str], pred: Sequence[str | None], poles: Sequence[str]) -> HardMetrics:
    """Accuracy and macro F1 of hard labels, in percent; an unparsable answer is wrong but never a class.

    Args:
        gold: labels, each one of ``poles``, length n > 0.
        pred: predicted labels of the same length; None for an unparsable answer.
        poles: the two labels.

    Returns:
        ``n_fail`` (count), ``acc``, ``f1`` (macro over exactly the two poles), and ``f1_compat``, the released
        computation: macro over all labels seen, where failures are a class of their own, so that one failure in a
        perfect run costs a third.

    Raises:
        ValueError: lengths differ, n is 0, there are not two poles, or a label is not a pole.

    Source: MBTIBench (arXiv 2412.12510), released evaluation for ``acc`` and ``f1_compat``.

    >>> hard_metrics(["E", "I", "I", "E"], ["E", "I", None, "E"], ("E", "I"))
    {'n_fail': 1, 'acc': 75.0, 'f1': 83.33333333333333, 'f1_compat': 55.55555555555555}
    """
    truth, guess = hard_codes(gold, pred, poles)
    acc, f1, f1_compat = (FORMS[name](truth, guess).point for name in ("acc", "f1", "f1_compat"))
    return HardMetrics(n_fail=int((guess == 2).sum()), acc=acc, f1=f1, f1_compat=f1_compat)


def hard_codes(gold: Sequence[str], pred: Sequence[str | None], poles: Sequence[str]) -> tuple[Codes, Codes]:
    """Gold and predicted labels as codes; arguments and errors as for :func:`hard_metrics`.

    >>> [codes.tolist() for codes in hard_codes(["E", "I"], ["I", None], ("E", "I"))]
    [[0, 1], [1, 2]]
    """
    if len(gold) != len(pred) or not gold:
        raise ValueError(f"gold and pred must be equally long and not empty; lengths are {len(gold)} and {len(pred)}")
    if len(set(poles)) != 2 or len(poles) != 2:
        raise ValueError(f"poles must be two different labels, not {poles!r}")
    codes: dict[str | None, int] = {poles[0]: 0, poles[1]: 1, None: 2}
    strangers = (set(gold) - set(poles)) | (set(pred) - set(codes))
    if strangers:
        raise ValueError(f"labels {sorted(map(repr, strangers))} are neither of the poles {poles!r}")
    return np.array([codes[label] for label in gold]), np.array([codes[label] for label in pred])
