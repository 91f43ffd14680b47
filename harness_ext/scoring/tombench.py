"""ToMBench: reading a letter the way upstream does, and means over abilities and over tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from harness_ext.scoring.resampled import CorpusMetric, Resampled, from_sums, ratio
from harness_ext.scoring.resampled.statistic import Floats

GroupedItem = tuple[str, float]
"""Group of a doc (an ability or a task) and its score."""

_BRACKETS = (re.compile(r"\[\[([A-D])\]\]"), re.compile(r"\[([A-D])\]"))
_LETTER = re.compile(r"[A-D]")


def compat_parse(text: str) -> str:
    """The letter upstream reads from an answer: ``[[B]]``, ``[B]``, the last of A to D anywhere, otherwise ``A``.

    Of several letters in brackets the first of the alphabet counts. Never invalid: an answer without any letter counts
    as A, which is right for a third of the emotion items.

    Source: ToMBench (arXiv 2402.15052), ``get_results.py``.

    >>> compat_parse("[[C]] not [[B]]"), compat_parse("Between A and B"), compat_parse("no idea")
    ('B', 'B', 'A')
    """
    for bracket in _BRACKETS:
        if found := bracket.findall(text):
            return str(min(found))
    letters = _LETTER.findall(text)
    return letters[-1] if letters else "A"


def ability_of(name: str) -> str:
    """An ability's name in the one spelling that means are taken over: lower case, single blanks.

    >>> ability_of("Non-Literal Communication: Humor "), ability_of("Emotion: Mixed emotions")
    ('non-literal communication: humor', 'emotion: mixed emotions')
    """
    return " ".join(name.lower().split())


def family_of(name: str) -> str:
    """The family of an ability: what stands before the colon, in one spelling.

    >>> family_of("Non-Literal Communication: Humor")
    'non-literal communication'
    """
    return ability_of(name.partition(":")[0])


def _macro(items: Sequence[GroupedItem]) -> Resampled:
    """Mean over the groups, of a resample over those that it holds, of the mean of their docs.

    Raises:
        ValueError: no items.

    >>> agg_ability_macro([("belief", 100.0), ("belief", 0.0), ("desire", 100.0)])
    75.0
    >>> agg_task_macro([("Hinting Task Test", 0.0), ("False Belief Task", 100.0), ("False Belief Task", 0.0)])
    25.0
    """
    if not items:
        raise ValueError("the mean over no groups is undefined")
    names, group = np.unique([name for name, _ in items], return_inverse=True)
    member = np.eye(len(names))[group.reshape(-1)]
    scores = np.array([score for _, score in items], dtype=float)

    def value(sums: Floats) -> Floats:
        totals, sizes = np.split(sums, 2, axis=1)
        return ratio(ratio(totals, sizes).sum(1), (sizes > 0).sum(1), otherwise=math.nan)

    return from_sums(np.column_stack([member * scores[:, None], member]), value)


agg_ability_macro = CorpusMetric(_macro)
"""Mean over abilities of the mean score of their docs."""
agg_task_macro = CorpusMetric(_macro)
"""Mean over tasks (the benchmark's files) of the mean score of their docs."""
