"""Short answers to questions about pictures: equal, contained, or given by how many of ten people.

Models answer in sentences where people gave a word, so equality alone says that they know nothing: each score here is
reported beside the others. The soft score is VQA's (Antol et al. 2015, arXiv 1505.00468, section 5) in its
leave-one-out form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = {"a", "an", "the"}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_MARKS = re.compile(r"[^\w .'-]")
_DOTS = re.compile(r"\.(?!\d)")
_ENOUGH = 3
"""So many people make an answer wholly right."""


def normalise(text: str) -> str:
    """A text in the form that answers are compared in: lower case, digits for numbers to ten, no articles, no marks.

    >>> normalise("The  TWO dogs."), normalise("1,234.5"), normalise("ice-cream")
    ('2 dogs', '1234.5', 'ice-cream')
    """
    text = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).lower())
    words = (word.strip("-'") for word in _DOTS.sub(" ", _MARKS.sub(" ", text)).split())
    return " ".join(_DIGITS.get(word, word) for word in words if word and word not in _ARTICLES)


def exact_match(gold: str, answer: str) -> bool:
    """Whether the two are equal once both are normalised.

    >>> exact_match("Coat", "coat"), exact_match("coat", "a gray coat")
    (True, False)
    """
    return normalise(gold) == normalise(answer)


def contains(gold: str, answer: str) -> bool:
    """Whether the gold's words stand in the answer, one after another; a word may have a plural ending in either.

    >>> contains("sailboat", "these are sailboats"), contains("no", "The notebook is blue.")
    (True, False)
    """
    wanted, words = normalise(gold).split(), normalise(answer).split()
    return bool(wanted) and any(
        all(_same(word, other) for word, other in zip(wanted, words[first : first + len(wanted)], strict=True))
        for first in range(len(words) - len(wanted) + 1)
    )


def _same(word: str, other: str) -> bool:
    short, long = sorted((word, other), key=len)
    return long in (short, f"{short}s", f"{short}es")


def soft(golds: Sequence[str], answer: str) -> float:
    """VQA's score in [0, 1]: three people who gave this answer make it right; the mean over leaving one person out.

    Args:
        golds: what people answered, usually ten.
        answer: what the model answered.

    >>> golds = ["sailboat"] * 4 + ["boat"] * 3 + ["sailboats"] * 2 + ["ship"]
    >>> [round(soft(golds, said), 4) for said in ("sailboat", "Boat", "the sailboats", "ship.")]
    [1.0, 0.9, 0.6, 0.3]
    """
    if not golds:
        return 0.0
    said = normalise(answer)
    given = [normalise(gold) == said for gold in golds]
    count = sum(given)
    return sum(min(1.0, (count - own) / _ENOUGH) for own in given) / len(golds)
