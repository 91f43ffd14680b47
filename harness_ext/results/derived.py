"""Scores that lm-eval's groups cannot express, one function each.

The first line of a docstring is the definition that tables print under the number (:func:`definition`).
"""

from __future__ import annotations

import inspect
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


def definition(score: Callable[..., Any]) -> str:
    """What a derived score means, in one sentence."""
    return (inspect.getdoc(score) or score.__name__).partition("\n")[0]


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


class RankChange(NamedTuple):
    """Two runs that judges put in different orders."""

    first: str
    second: str
    below: tuple[str, ...]
    """Judges by which the first run's value is the lower one."""
    above: tuple[str, ...]
    """Judges by which it is the higher one."""


def rank_changes(values: Mapping[str, Mapping[str, float]]) -> list[RankChange]:
    """Every pair of runs that judges put in different orders; ties and missing values are no order.

    Args:
        values: by judge and run.

    >>> rank_changes({"rule": {"a": 0.1, "b": 0.2}, "model": {"a": 0.3, "b": 0.2}, "tie": {"a": 0.2, "b": 0.2}})
    [RankChange(first='a', second='b', below=('rule',), above=('model',))]
    """
    runs = dict.fromkeys(run for own in values.values() for run in own)
    found = []
    for first, second in itertools.combinations(runs, 2):
        both = [(judge, own[first], own[second]) for judge, own in values.items() if first in own and second in own]
        below = tuple(judge for judge, one, other in both if one < other)
        above = tuple(judge for judge, one, other in both if one > other)
        if below and above:
            found.append(RankChange(first, second, below, above))
    return found


def delta_to_base(value: float, base: float) -> float:
    """Δ base: the score minus that of the model the method started from, same task, settings and metric.

    >>> round(delta_to_base(0.62, 0.6), 4)
    0.02
    """
    return value - base


def delta_to_trivial(value: float, trivial: float) -> float:
    """Δ trivial: the score minus that of the task's trivial predictor (constant, majority or chance).

    >>> delta_to_trivial(2.5, 2.75)
    -0.25
    """
    return value - trivial


def chance_normalised(value: float, chance: float, *, best: float = 1.0) -> float:
    """Chance-normalised: (score - chance) / (best - chance), so that guessing is 0 and a perfect score 1.

    Args:
        value: the score.
        chance: the score of guessing, e.g. 1/k for k options.
        best: the best possible score, in the same unit.

    Raises:
        ValueError: ``chance`` is ``best``, so that there is nothing to gain.

    >>> chance_normalised(0.625, 0.25), chance_normalised(25.0, 25.0, best=100.0)
    (0.5, 0.0)
    """
    if chance == best:
        raise ValueError("guessing is already perfect")
    return (value - chance) / (best - chance)


def harmonic_mean(parts: Sequence[float]) -> float:
    """Harmonic mean: one over the mean of one over the parts; 0 if a part is 0, undefined if one is undefined.

    Raises:
        ValueError: no part, or a part below 0.

    >>> round(harmonic_mean([0.25, 0.75]), 6), harmonic_mean([0.0, 1.0])
    (0.375, 0.0)
    """
    if any(math.isnan(part) for part in parts):
        return math.nan
    try:
        return float(statistics.harmonic_mean(parts))
    except statistics.StatisticsError as error:
        raise ValueError(f"a harmonic mean needs parts of at least 0: {error}") from error


class LanguageMacros(NamedTuple):
    """Language macros of runs that are compared, over the languages that all of them have."""

    macros: dict[str, float]
    languages: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]
    """By run, the languages that others have and it does not: they are in nobody's macro."""


def language_macro(runs: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> LanguageMacros:
    """Language macro: mean over languages of the mean over families of the mean over a family's leaves.

    A language that one compared run lacks is left out of the macro of all of them and named.

    Args:
        runs: by run and language the families, each a sequence of leaf scores; NaN makes the language missing.

    >>> both = {"A": {"de": [[0.5], [0.7, 0.9]], "sw": [[0.1]]}, "B": {"de": [[0.4]]}}
    >>> language_macro(both).macros, language_macro(both).missing
    ({'A': 0.65, 'B': 0.4}, {'A': (), 'B': ('sw',)})
    """
    scores = {
        run: {
            language: statistics.fmean(statistics.fmean(leaves) for leaves in families)
            for language, families in languages.items()
            if families and all(families)
        }
        for run, languages in runs.items()
    }
    known = {run: {name for name, score in own.items() if not math.isnan(score)} for run, own in scores.items()}
    everything = tuple(dict.fromkeys(name for own in scores.values() for name in own if not math.isnan(own[name])))
    shared = tuple(name for name in everything if all(name in own for own in known.values()))
    return LanguageMacros(
        {run: statistics.fmean(own[name] for name in shared) if shared else math.nan for run, own in scores.items()},
        shared,
        {run: tuple(name for name in everything if name not in own) for run, own in known.items()},
    )


class Retention(NamedTuple):
    """What general ability is left after a method, over the same leaves before and after."""

    before: float
    after: float
    ratio: float
    delta: float
    worst: str
    worst_delta: float


def retention(before: Mapping[str, float], after: Mapping[str, float]) -> Retention:
    """Retention: mean score after the method over mean score before it, same leaves; the worst leaf is named.

    Args:
        before: score by leaf of the base model.
        after: score by leaf after the method.

    Raises:
        ValueError: there is no leaf, or the leaves differ.

    >>> kept = retention({"boolq": 80.0, "rte": 60.0}, {"boolq": 76.0, "rte": 50.0})
    >>> kept.ratio, kept.worst, kept.worst_delta
    (0.9, 'rte', -10.0)
    """
    if not before or before.keys() != after.keys():
        differing = ", ".join(sorted(before.keys() ^ after.keys())) or "none at all"
        raise ValueError(
            f"retention compares the same leaves before and after; these are on one side only: {differing}"
        )
    first, last = statistics.fmean(before.values()), statistics.fmean(after.values())
    worst = min(before, key=lambda leaf: (after[leaf] - before[leaf], leaf))
    return Retention(
        first, last, last / first if first else math.nan, last - first, worst, after[worst] - before[worst]
    )
