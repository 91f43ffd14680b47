"""SQuAD-style comparison of a text span with the gold span, on the scale 0-100."""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_span(text: str) -> str:
    """Lower-case without ASCII punctuation and without a/an/the, blanks collapsed.

    Source: SQuAD 1.1 evaluation script.

    >>> normalise_span("The  cat, an old one!")
    'cat old one'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact(gold: str, predicted: str) -> float:
    """100.0 when the normalised spans are equal, else 0.0.

    >>> exact("The exam.", "exam"), exact("exam", "the long exam")
    (100.0, 0.0)
    """
    return 100.0 * (normalise_span(gold) == normalise_span(predicted))


def token_f1(gold: str, predicted: str) -> float:
    """F1 of the multisets of normalised tokens, 0-100; 100 when both are empty, 0 when one is.

    >>> token_f1("failed the exam", "I failed my exam"), token_f1("", "the")
    (66.66666666666667, 100.0)
    """
    g, p = normalise_span(gold).split(), normalise_span(predicted).split()
    if not g or not p:
        return 100.0 * (g == p)
    shared = (Counter(g) & Counter(p)).total()
    return 200.0 * shared / (len(g) + len(p))
