"""SECEU: how ten points are shared out among four emotions, and how far that is from people's mean answer.

The distance is turned into an EQ with the mean and standard deviation of a human sample. A flat answer (2.5 four times)
already gets an EQ of 112, so read ``pattern_r``, the correlation with where people find the items hard, beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.answers import plain, plain_scores
from harness_ext.scoring.resampled import CorpusMetric, Resampled, from_sums, ratio
from harness_ext.scoring.resampled.numbers import nanmean, pearson
from harness_ext.scoring.resampled.statistic import Floats

POPULATION_MEAN = 2.79
POPULATION_SD = 0.822
SAME_MECHANISM = 0.033
"""A ``pattern_r`` below this is more than one standard deviation below people's: "a different mechanism"."""
PARSED_SHARE = 0.9
"""Share of answers that must be readable for an EQ (our choice)."""

POINTS = 10.0
_SUM_TOLERANCE = 0.01 + 1e-9

DocItem = tuple[float, float]
"""Distance to the standard (NaN: unreadable answer) and the human template."""

Number = TypeVar("Number", float, Floats)

_MARK = re.compile(r"\(\s*[1-4]\s*\)")
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])(\d{1,9}(?:\.\d{1,9})?)(?![A-Za-z0-9_]|\.\d)")
_NEGATIVE = re.compile(r"(?<![\w)）*\"'])[-−]\s?\d")


class Points(NamedTuple):
    """The points of the four emotions, summing to 10, and whether they had to be rescaled for that."""

    values: tuple[float, ...]
    renormalised: bool


class SeceuScore(NamedTuple):
    """The three numbers of the test."""

    seceu: float
    """Mean distance to the standard scores, >= 0; lower is better. NaN if nothing could be read."""
    eq: float
    """15 x (2.79 - seceu) / 0.822 + 100; NaN if fewer than 90 % of the answers could be read."""
    pattern_r: float | None
    """Pearson correlation of the distances with people's; None if one of them is constant."""


def _named(text: str, options: Iterable[str]) -> list[float]:
    """The number behind each option's name; empty unless all have one."""
    found = [re.search(rf"(?<![A-Za-z]){re.escape(name)}\W{{0,6}}{_NUMBER.pattern}", text, re.I) for name in options]
    return [float(match.group(1)) for match in found if match] if all(found) else []


def _listed(text: str, n: int) -> list[float]:
    """Numbers of the first line that holds exactly n, or of the first n lines that hold exactly one each."""
    lines = [[float(number) for number in _NUMBER.findall(line)] for line in text.splitlines()]
    whole = next((line for line in lines if len(line) == n), [])
    column = [line[0] for line in lines if len(line) == 1]
    return whole or (column if len(column) == n else [])


def parse_points(text: str, options: Sequence[str]) -> Points | None:
    """The points that an answer gives to each option, or None if it cannot be read.

    Read are, in this order: a number behind the name of every option, one line of exactly as many numbers, and as many
    lines of one number. Option marks such as ``(1)`` are no numbers. Points that do not add up to 10 are rescaled;
    negative points and all zeros cannot be read.

    Args:
        text: the answer.
        options: names of the emotions, in order.

    >>> parse_points("Joy: 4, Fear: 3, Anger: 2, Love: 1", ["Love", "Joy", "Fear", "Anger"])
    Points(values=(1.0, 4.0, 3.0, 2.0), renormalised=False)
    >>> parse_points("(1) 1; (2) 1; (3) 1; (4) 2", ["Love", "Joy", "Fear", "Anger"])
    Points(values=(2.0, 2.0, 2.0, 4.0), renormalised=True)
    >>> parse_points("I cannot say.", ["Love", "Joy", "Fear", "Anger"])
    """
    written = _MARK.sub(" ", plain_scores(text))
    if _NEGATIVE.search(written):
        return None
    numbers = _named(written, map(plain, options)) or _listed(written, len(options))
    total = math.fsum(numbers)
    if not total > 0:
        return None
    renormalised = abs(total - POINTS) > _SUM_TOLERANCE
    scale = POINTS / total if renormalised else 1.0
    return Points(tuple(number * scale for number in numbers), renormalised)


def distance(answer: npt.ArrayLike, standard: npt.ArrayLike) -> float:
    """Euclidean distance between the points of an answer and the standard scores of the item.

    Raises:
        ValueError: the shapes differ.

    >>> round(distance([2.5, 2.5, 2.5, 2.5], [3.56, 3.09, 1.78, 1.57]), 4)
    1.6897
    """
    a, s = np.asarray(answer, dtype=float), np.asarray(standard, dtype=float)
    if a.shape != s.shape:
        raise ValueError(f"points {a.shape} and standard scores {s.shape} differ in shape")
    return float(np.linalg.norm(a - s))


def eq_of(seceu: Number) -> Number:
    """The EQ of a mean distance.

    Source: Wang et al. 2023 (arXiv 2307.09042); reproduces 14 of the 15 published rows from their rounded SECEU.

    >>> round(eq_of(2.01), 4)
    114.2336
    """
    return 15.0 * (POPULATION_MEAN - seceu) / POPULATION_SD + 100.0


def score(answers: Sequence[Sequence[float] | None], standard: npt.ArrayLike, template: npt.ArrayLike) -> SeceuScore:
    """SECEU, EQ and pattern correlation of a set of answers.

    Args:
        answers: the points for each item, as from :func:`parse_points`; None for an unreadable answer, left out.
        standard: mean human points, shape (items, 4).
        template: mean human distance of each item, shape (items,).

    Raises:
        ValueError: the lengths differ.

    Source: SECEU (arXiv 2307.09042), ``SECEU_norm.docx``.

    >>> score([[10, 0, 0, 0], [0, 10, 0, 0], None], [[10, 0, 0, 0], [3, 7, 0, 0], [9, 1, 0, 0]], [2.0, 3.0, 1.0])
    SeceuScore(seceu=2.1213203435596424, eq=nan, pattern_r=1.0)
    """
    rows = zip(answers, np.asarray(standard, dtype=float), np.asarray(template, dtype=float), strict=True)
    items = [(math.nan if answer is None else distance(answer, s), float(t)) for answer, s, t in rows]
    pattern_r = agg_pattern_r(items)
    return SeceuScore(agg_seceu(items), agg_eq(items), None if math.isnan(pattern_r) else pattern_r)


@CorpusMetric
def agg_seceu(items: Sequence[DocItem]) -> Resampled:
    """Mean distance of (distance, template) items; unreadable answers (NaN) are left out.

    >>> agg_seceu([(1.0, 2.9), (3.0, 2.4), (float("nan"), 2.6)])
    2.0
    """
    return nanmean([distance for distance, _ in items])


@CorpusMetric
def agg_eq(items: Sequence[DocItem]) -> Resampled:
    """EQ of (distance, template) items; NaN if fewer than 90 % are readable.

    >>> agg_eq([(2.79, 2.9), (2.79, 2.4)])
    100.0
    """
    distances = np.array([distance for distance, _ in items], dtype=float)
    read = ~np.isnan(distances)

    def value(sums: Floats) -> Floats:
        total, readable, asked = sums.T
        eq = eq_of(ratio(total, readable, otherwise=math.nan))
        return np.where(readable >= PARSED_SHARE * asked, eq, math.nan)

    return from_sums(np.column_stack([np.where(read, distances, 0.0), read, np.ones(len(items))]), value)


@CorpusMetric
def agg_pattern_r(items: Sequence[DocItem]) -> Resampled:
    """Correlation of the distances with people's; NaN if it is undefined.

    >>> agg_pattern_r([(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)])
    1.0
    """
    rows = np.array(items, dtype=float).reshape(-1, 2)
    read = ~np.isnan(rows[:, 0])
    # Distances that differ by rounding are constant.
    return pearson(*rows[read].round(12).T).among(read)
