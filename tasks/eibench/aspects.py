"""The aspects of EiBench-R, and the group numbers that lm-eval cannot express because they are means of means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

EI_ASPECTS: Mapping[str, tuple[str, ...]] = {
    "ep": (
        "meld", "emorynlp", "dailydialog", "ed_emotion", "goemotions", "semeval_ec", "semeval_vreg", "tweet_emotion",
        "tweet_irony", "tweet_sentiment", "emocontext", "isear",
    ),
    "ec": ("cee", "cause_span", "ecf", "cicero_reaction", "emobench_eu"),
    "ee": ("ed_response", "esc_response", "esc_strategy", "emobench_ea"),
}  # fmt: skip
"""The leaves of EiBench-R by aspect: perception, cognition, expression."""


class EiScores(NamedTuple):
    """The group numbers of EiBench-R, 0 to 100; NaN where leaves are missing and a partial mean was not asked for."""

    ep: float
    ec: float
    ee: float
    aspect_macro: float
    task_macro: float
    missing: tuple[str, ...]


def ei_scores(leaves: Mapping[str, float], *, partial: bool = False) -> EiScores:
    """ei_ep, ei_ec, ei_ee: mean ei_score of an aspect; aspect macro: mean of the three; task macro: mean of all leaves.

    Args:
        leaves: ``ei_score`` (0 to 100) by part, e.g. ``{"meld": 48.5}``; NaN counts as missing.
        partial: average the leaves that are there; ``missing`` names the others either way.

    >>> scores = ei_scores({part: 50.0 for parts in EI_ASPECTS.values() for part in parts} | {"cee": 0.0})
    >>> scores.ec, scores.aspect_macro == (50 + 40 + 50) / 3
    (40.0, True)
    >>> ei_scores({"cee": 30.0}).ec, ei_scores({"cee": 30.0}, partial=True).ec
    (nan, 30.0)
    """
    known = {part: score for part, score in leaves.items() if not math.isnan(score)}
    missing = tuple(part for parts in EI_ASPECTS.values() for part in parts if part not in known)

    def mean(parts: Sequence[str]) -> float:
        present = [known[part] for part in parts if part in known]
        return statistics.fmean(present) if present and (partial or len(present) == len(parts)) else math.nan

    aspects = {aspect: mean(parts) for aspect, parts in EI_ASPECTS.items()}
    defined = [score for score in aspects.values() if not math.isnan(score)]
    complete = len(defined) == len(aspects)
    return EiScores(
        **aspects,
        aspect_macro=statistics.fmean(defined) if defined and (partial or complete) else math.nan,
        task_macro=mean([part for parts in EI_ASPECTS.values() for part in parts]),
        missing=missing,
    )
