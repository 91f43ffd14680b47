"""Scores that lm-eval's groups cannot express, one function each.

The first line of a docstring is the definition that tables print under the number (:func:`definition`).
"""

from __future__ import annotations

import inspect
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

EI_ASPECTS: Mapping[str, tuple[str, ...]] = {
    "ep": (
        "meld", "emorynlp", "dailydialog", "ed_emotion", "goemotions", "semeval_ec", "semeval_vreg", "tweet_emotion",
        "tweet_irony", "tweet_sentiment", "emocontext", "isear",
    ),
    "ec": ("cee", "cause_span", "ecf", "cicero_reaction", "emobench_eu"),
    "ee": ("ed_response", "esc_response", "esc_strategy", "emobench_ea"),
}  # fmt: skip
"""The leaves of EiBench-R by aspect: perception, cognition, expression."""


def definition(score: Callable[..., Any]) -> str:
    """What a derived score means, in one sentence."""
    return (inspect.getdoc(score) or score.__name__).partition("\n")[0]


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


def mean_rank(columns: Sequence[Sequence[float]], *, higher_is_better: bool) -> list[float]:
    """Rank: the mean over all columns of a method's rank within its backbone; equal values share the better rank.

    Args:
        columns: one sequence of values a column, all in the same order of methods; no NaN.
        higher_is_better: False gives rank 1 to the smallest value.

    Raises:
        ValueError: columns are missing, differ in length or hold a NaN.

    >>> mean_rank([[2.78, 2.82, 2.82], [2.17, 2.23, 2.43]], higher_is_better=False)
    [1.0, 2.0, 2.5]
    """
    if not columns or len({len(column) for column in columns}) != 1:
        raise ValueError("ranks need at least one column, all of the same length")
    if any(math.isnan(value) for column in columns for value in column):
        raise ValueError("a missing value has no rank")
    sign = -1.0 if higher_is_better else 1.0
    ranks = [[1 + sum(sign * other < sign * value for other in column) for value in column] for column in columns]
    return [statistics.fmean(method) for method in zip(*ranks, strict=True)]
