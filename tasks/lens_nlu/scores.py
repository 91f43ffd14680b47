"""A letter in a generated answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.lid import cleaned

_ANSWER = r"(?:answer|答案|选|答え|回答|정답|답|jibu|উত্তর|الإجابة)"
_NEAR = 12
"""Characters between an answer word and its letter."""
_HAMZA, _ALEF = "\u0623", "\u0627"
_AFTER = re.compile(r"\s*(?:$|[^\w\s])")
_LEADING = re.compile(r"^[\s()\[\]{}\"'“”‘’*`「」『』【】<>]+")


def parse_letter(text: str, options: Sequence[str], texts: Sequence[str]) -> str | None:
    """The option that an answer names; None where it names none, several, or one that there is not. Never a guess.

    In order: the first line begins with a letter that its end or punctuation follows; the last letter close behind a
    word for "answer"; the one letter in the text; the one option whose text stands in the answer.

    Args:
        text: the answer.
        options: the letters that there are.
        texts: the options themselves.

    >>> parse_letter("**B**. Because", ["A", "B"], ["Rain", "Snow"]), parse_letter("A or B?", ["A", "B"], ["", ""])
    ('B', None)
    >>> parse_letter("正确答案是 (C)", list("ABCD"), list("wxyz")), parse_letter("Snow", ["A", "B"], ["Rain", "Snow"])
    ('C', 'B')
    """
    plain = unicodedata.normalize("NFKC", text)
    found = _first_line(plain) or _behind_a_word(plain) or _only_one(plain)
    if found is None:
        answer = cleaned(plain)
        named = [letter for letter, own in zip(options, texts, strict=False) if own.strip() and own.strip() in answer]
        found = named[0] if len(named) == 1 else None
    return found if found in options else None


def _letters(text: str) -> list[tuple[int, str]]:
    """Where stand-alone letters stand: no ASCII letter or digit beside a Latin one, no letter beside an Arabic one."""
    found = []
    for match in re.finditer(r"[A-Da-d\u0623\u0627\u0628\u062c\u062f\u0643]", text):
        letter, start = match[0], match.start()
        before, after = text[start - 1 : start], text[start + 1 : start + 2]
        if letter.isascii():
            alone = not any(side.isascii() and side.isalnum() for side in (before, after))
            meant = letter.isupper() or after in (".", ")", ":") or (before, after) == ("[", "]")
        else:
            alone, meant = not any(side.isalpha() for side in (before, after)), True
        if alone and meant:
            found.append((start, letter.upper().replace(_HAMZA, _ALEF)))
    return found


def _first_line(text: str) -> str | None:
    line = next((one for one in text.split("\n") if one.strip()), "")
    start = match.end() if (match := _LEADING.match(line)) else 0
    return next(
        (letter for at, letter in _letters(line[: start + 2]) if at == start and _AFTER.match(line, start + 1)), None
    )


def _behind_a_word(text: str) -> str | None:
    ends = [match.end() for match in re.finditer(_ANSWER, text, re.IGNORECASE)]
    if not ends:
        return None
    near, position = None, 0
    for at, letter in _letters(text):
        while position + 1 < len(ends) and ends[position + 1] <= at:
            position += 1
        if 0 <= at - ends[position] <= _NEAR:
            near = letter
    return near


def _only_one(text: str) -> str | None:
    named = {letter for _, letter in _letters(cleaned(text))}
    return named.pop() if len(named) == 1 else None


@of_answer
def letter(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether the letter is the right one; an answer that names none is wrong and a parse failure."""
    named = parse_letter(results[0], doc["options"], doc["texts"])
    return {"acc": float(named == doc["options"][doc["label"]]), "parse_failure": float(named is None)}
