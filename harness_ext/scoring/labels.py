r"""The letter that an answer chooses, read from free text and never guessed."""

from __future__ import annotations

import re
from functools import lru_cache

_BOXED = re.compile(r"\\boxed\{([^{}]{0,40})\}")
_MARKUP = str.maketrans("", "", "*_`$#")


@lru_cache(maxsize=64)
def _patterns(letters: str) -> tuple[re.Pattern[str], ...]:
    one = f"[{re.escape(letters)}]"
    # "A dog" and "I think": an article and a pronoun are no letters.
    lone = rf"(?<![\w'’])({one})(?![\w'’])(?!(?<=[AI]) [a-z])"
    return (
        re.compile(rf"\b[Aa]nswer(?: is|:| is:)? ?\(?{lone}"),
        re.compile(rf"\s?\(?{lone}"),
        re.compile(rf"\(({one})\)"),
        re.compile(rf"{lone}(?=[.):]|\s?\Z)"),
        re.compile(lone),
    )


def parse_letter(answer: str, letters: str) -> str | None:
    r"""The option that an answer names, or None.

    The first of these that is found: the last "answer is X", an answer that begins with X, the last "(X)", the last X
    before a dot, a bracket, a colon or the end, the last X that stands alone.

    Args:
        answer: what the model wrote.
        letters: the options in order, such as ``ABCD``.

    >>> [parse_letter(text, "ABCD") for text in ("B. Rooster", "A dog barks, but the answer is **C**", "A dog barks")]
    ['B', 'C', None]
    >>> parse_letter("$\\boxed{A}$", "ABCD"), parse_letter("I cannot answer this.", "ABCDEFGHI")
    ('A', None)
    """
    text = _BOXED.sub(r"\1", answer).translate(_MARKUP)
    stated, opening, *others = _patterns(letters)
    found = [match[1] for match in stated.finditer(text)]
    if not found and (first := opening.match(text)):
        return first[1]
    for pattern in others:
        found = found or [match[1] for match in pattern.finditer(text)]
    return found[-1] if found else None
