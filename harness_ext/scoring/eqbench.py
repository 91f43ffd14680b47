"""EQ-Bench v2: how close a model's emotion intensities (0 to 10) are to the reference.

An answer names four emotions with a score each, first spontaneously and then revised after a critique. A question gives
at most 100 points; the scale is chosen so that random answers average about 0, and it can be negative. An answer that
cannot be read scores 0: upstream leaves it out of the mean instead, so its numbers for the same answers can be higher.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from harness_ext.scoring.answers import plain, plain_scores
from harness_ext.scoring.resampled import CorpusMetric, Resampled, from_sums
from harness_ext.scoring.resampled.statistic import Floats

Mode = Literal["strict", "compat"]
Language = Literal["en", "de"]
DocItem = tuple[float, bool, float, bool]
"""First score, first readable, revised score, revised readable."""

_SCALE = 0.7477
_LARGEST = 10
"""Intensity."""
# A word without a score is matched too, and skipped: a search that begins anew at each of its letters is quadratic.
_COMPAT = re.compile(r"(\w+)(?::\s+(\d+))?")
_SCORE = r"(\d+(?:\.\d+)?)"
_BETWEEN = r"(?:\s*[:=|–—→]\s*|\s(?:-|->)\s)"
_CRITIQUE = {"en": re.compile("Critique"), "de": re.compile("Kritik")}
# the German questions translate this heading in two ways
_REVISED = {"en": re.compile("Revised scores"), "de": re.compile("Überarbeitete (?:Bewertung|Punktzahlen|Punktzahl)")}


class Sections(NamedTuple):
    """The two parts of an answer that hold scores."""

    first: str
    revised: str


class AnswerScore(NamedTuple):
    """Points of one set of four scores, at most 100, and whether it could be read."""

    score: float
    parsed: bool


def distance(difference: float) -> float:
    """What a difference of intensities costs: 0 for none, an S curve up to 5, the difference itself beyond.

    Source: EQ-Bench v2, ``lib/scoring.py`` (the scoring of lm-eval's ``eq_bench`` is the same).

    >>> [round(distance(d), 4) for d in (0, 1, 4, 5, 6)]
    [0.0, 0.1729, 3.25, 4.9954, 6.0]
    """
    if difference == 0:
        return 0.0
    return 6.5 / (1 + math.exp(-1.2 * (difference - 4))) if difference <= 5 else float(difference)


def sections(text: str, language: Language = "en") -> Sections:
    r"""The part before the critique and the part after the last heading of the revised scores.

    Without the heading the whole answer is the revised part: the last score of an emotion counts there.

    >>> sections("Joy: 1\nCritique: too low.\nRevised scores:\nJoy: 3")
    Sections(first='Joy: 1\n', revised=':\nJoy: 3')
    """
    end = 0
    for heading in _REVISED[language].finditer(text):
        end = heading.end()
    return Sections(_CRITIQUE[language].split(text, maxsplit=1)[0], text[end:])


@lru_cache(maxsize=256)
def _strict(names: tuple[str, ...]) -> re.Pattern[str]:
    """A name of several words, as translations have them, is read whole; so is any other word that has a score."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)"
    return re.compile(rf"(?<!\w)((?:{known})(?={_BETWEEN})|\w+(?=:)){_BETWEEN}{_SCORE}")


def parse_scores(text: str, names: Iterable[str], mode: Mode = "strict") -> dict[str, float] | None:
    """The intensity of each emotion, or None when the answer cannot be read.

    The last score of a name counts, and the answer must name exactly the four emotions.

    Args:
        text: a section of an answer.
        names: the emotions of the question.
        mode: ``"strict"`` reads decimals, any case, Markdown, lists and tables, passes over a line of the total, and
            takes a value above 10 for a failure; ``"compat"`` repeats upstream and lm-eval: whole numbers of any size,
            with a blank after the colon.

    >>> parse_scores("Joy: 3\\nFear:2.5\\nLove: 0\\nAnger: 10", ["Joy", "Fear", "Love", "Anger"])
    {'Joy': 3.0, 'Fear': 2.5, 'Love': 0.0, 'Anger': 10.0}
    >>> parse_scores("- **joy**: 3\\n- **fear**: 2.5\\nTotal: 5.5", ["Joy", "Fear"])
    {'Joy': 3.0, 'Fear': 2.5}
    >>> parse_scores("Joy: 3\\nFear: 11\\nLove: 0\\nAnger: 1", ["Joy", "Fear", "Love", "Anger"])
    """
    if mode == "compat":
        wanted, found = {name: name for name in names}, _COMPAT.findall(text)
    else:
        wanted = {plain(name).casefold(): name for name in names}
        found = _strict(tuple(wanted)).findall(plain_scores(text).casefold())
    scores = {wanted.get(name): float(value) for name, value in found if value}
    if scores.keys() != set(wanted.values()) or not all(map(math.isfinite, scores.values())):
        return None
    if mode == "strict" and max(scores.values(), default=0) > _LARGEST:
        return None
    return {name: scores[name] for name in dict.fromkeys(wanted.values())}


def score_answer(text: str, reference: Mapping[str, float], mode: Mode = "strict") -> AnswerScore:
    """Points of one set of four scores.

    Args:
        text: the section of the answer that holds the scores.
        reference: emotion -> reference intensity from 0 to 10 (``reference_answer_fullscale``).
        mode: how the text is read, see :func:`parse_scores`.

    Returns:
        ``10 * (10 - 0.7477 * sum of distances)``, at most 100, and True; 0 and False if the text cannot be read.

    Source: EQ-Bench v2 (arXiv 2312.06281; ``lib/scoring.py``), times 10 as in its results.

    >>> reference = {"Remorseful": 0.0, "Indifferent": 6.0, "Affectionate": 0.0, "Annoyed": 7.0}
    >>> score, parsed = score_answer("Remorseful: 2\\nIndifferent: 6\\nAffectionate: 1\\nAnnoyed: 5", reference)
    >>> round(score, 4), parsed
    (90.6229, True)
    """
    scores = parse_scores(text, reference, mode)
    if scores is None:
        return AnswerScore(0.0, False)
    total = math.fsum(distance(abs(scores[name] - value)) for name, value in reference.items())
    return AnswerScore(10.0 * (10.0 - _SCALE * total), True)


def _of_means(items: Sequence[DocItem], value: Callable[[Floats, Floats, Floats, Floats], Floats]) -> Resampled:
    """A metric of the mean score and the share readable, of the first pass and of the revision."""
    if not items:
        raise ValueError("EQ-Bench of no answers is undefined")
    columns = np.column_stack([np.asarray(items, dtype=float), np.ones(len(items))])
    return from_sums(columns, lambda sums: value(*(sums[:, :4] / sums[:, 4:]).T))


@CorpusMetric
def agg_eqbench(items: Sequence[DocItem]) -> Resampled:
    """The better of the two means: first scores or revised scores; chosen anew in every resample.

    Raises:
        ValueError: no items.

    >>> agg_eqbench([(80.0, True, 60.0, True), (70.0, True, 88.0, True)])
    75.0
    """
    return _of_means(items, lambda first, first_read, revised, revised_read: np.maximum(first, revised))


@CorpusMetric
def agg_percent_parseable(items: Sequence[DocItem]) -> Resampled:
    """Share of answers that could be read, 0-100, in the pass that :func:`agg_eqbench` reports.

    Raises:
        ValueError: no items.

    >>> agg_percent_parseable([(80.0, True, 60.0, True), (0.0, False, 10.0, True)])
    50.0
    """
    return _of_means(
        items,
        lambda first, first_read, revised, revised_read: 100.0 * np.where(revised > first, revised_read, first_read),
    )
