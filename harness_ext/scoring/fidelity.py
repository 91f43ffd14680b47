"""Language fidelity: the share of answers that are in the language that was wanted, among those that can be told.

Never shown without the share that cannot be told: what misses is mostly code, numbers and names.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import numpy as np

from harness_ext.scoring.lid import UNKNOWN, accepts, language_of_answer
from harness_ext.scoring.resampled.metric import CorpusMetric
from harness_ext.scoring.resampled.statistic import Resampled, from_sums, ratio


class Fidelity(NamedTuple):
    """What was found in one answer: 1 or 0, NaN where its language cannot be told."""

    fidelity: float
    off_target_en: float
    """Whether it is in English and should not be."""
    undecided: float
    """1 where the language cannot be told, else 0."""


def fidelity_of(text: str, target: str, by: str) -> Fidelity:
    """The language of an answer against the one that was wanted.

    Args:
        text: the answer, behind its reasoning.
        target: ISO 639-1 code of the language that was wanted.
        by: name of a detector.

    >>> fidelity_of("Hii ni sentensi ya majaribio tu.", "sw", "py3langid")
    Fidelity(fidelity=1.0, off_target_en=0.0, undecided=0.0)
    >>> fidelity_of("[5, 1, 3]", "sw", "py3langid")
    Fidelity(fidelity=nan, off_target_en=nan, undecided=1.0)
    """
    code = language_of_answer(text, by)
    if code == UNKNOWN:
        return Fidelity(nan, nan, 1.0)
    return Fidelity(float(accepts(target, code)), float(code == "en" != target), 0.0)


@CorpusMetric
def agg_share_of_turns(items: Sequence[tuple[float, float]]) -> Resampled:
    """Share of decided turns, over all turns of all dialogues; undefined where none is decided.

    >>> agg_share_of_turns([(1.0, 2.0), (1.0, 1.0), (0.0, 0.0)])
    0.6666666666666666
    """
    counts = np.asarray(items, dtype=float).reshape(len(items), 2)
    return from_sums(counts, lambda sums: ratio(sums[:, 0], sums[:, 1], otherwise=nan))
