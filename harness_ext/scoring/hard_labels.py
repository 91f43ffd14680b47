"""Agreement of predicted with gold hard labels, where an answer may be unparsable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt


def macro_f1(gold: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], labels: Sequence[int]) -> float:
    """Unweighted mean of the F1 of the given labels, in [0, 1]; a label that occurs nowhere counts 0.

    Written in numpy, because the checks of sklearn's would dominate the thousands of calls of a bootstrap.

    Args:
        gold: label codes, shape (n,).
        predicted: label codes, shape (n,); codes that are not in ``labels`` are wrong but no label of their own.
        labels: the codes to average over.

    >>> macro_f1(np.array([0, 1, 1]), np.array([0, 1, 2]), (0, 1))
    0.8333333333333333
    """
    classes = np.asarray(labels)[:, None]
    truth, guess = gold == classes, predicted == classes
    sizes = truth.sum(1) + guess.sum(1)
    return float(np.mean(2 * (truth & guess).sum(1) / np.maximum(sizes, 1)))


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
    if len(gold) != len(pred) or not gold:
        raise ValueError(f"gold and pred must be equally long and not empty; lengths are {len(gold)} and {len(pred)}")
    if len(set(poles)) != 2 or len(poles) != 2:
        raise ValueError(f"poles must be two different labels, not {poles!r}")
    codes: dict[str | None, int] = {poles[0]: 0, poles[1]: 1, None: 2}
    strangers = (set(gold) - set(poles)) | (set(pred) - set(codes))
    if strangers:
        raise ValueError(f"labels {sorted(map(repr, strangers))} are neither of the poles {poles!r}")
    truth, guess = np.array([codes[label] for label in gold]), np.array([codes[label] for label in pred])
    seen = sorted({*truth.tolist(), *guess.tolist()})
    return HardMetrics(
        n_fail=int((guess == 2).sum()),
        acc=100 * float(np.mean(truth == guess)),
        f1=100 * macro_f1(truth, guess, (0, 1)),
        f1_compat=100 * macro_f1(truth, guess, seen),
    )
