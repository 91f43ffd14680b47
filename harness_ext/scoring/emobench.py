"""EmoBench: the released way to read an answer, and what a constant answer scores."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from harness_ext.scoring.affect import fenced
from harness_ext.scoring.resampled import CorpusMetric, Resampled


def compat_letters(text: str, keys: Sequence[str]) -> list[object]:
    """The values of a JSON answer as they stand, None where there is none: strict JSON, alone or in a code fence.

    Args:
        text: the answer.
        keys: the keys to read.

    >>> compat_letters('```json\\n{"answer_q1": "B", "answer_q2": "c"}\\n```', ["answer_q1", "answer_q2"])
    ['B', 'c']
    >>> compat_letters('My answer: {"answer": "B"}', ["answer"])
    [None]
    """
    fence = fenced(text)
    try:
        answers = json.loads(text if fence is None else fence.removeprefix("json").lstrip())
    except (ValueError, RecursionError):
        answers = None
    return [answers.get(key) for key in keys] if isinstance(answers, dict) else [None for _ in keys]


@CorpusMetric
def agg_constant_best(golds: Sequence[str]) -> Resampled:
    """Score (0-100) of the best constant answer, known only afterwards: the share of the commonest gold answer.

    >>> agg_constant_best(["AC", "AC", "BA", "AA"])
    50.0

    Raises:
        ValueError: there are no docs.
    """
    if not golds:
        raise ValueError("a constant answer needs docs")
    answers, rows = np.unique(golds, return_inverse=True)
    return Resampled(rows, len(answers), lambda counts: 100.0 * counts.max(axis=1) / counts.sum(axis=1))
