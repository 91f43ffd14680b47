"""From the text of an answer to a soft label, a pole or a yes/no: the released parsers beside strict ones.

Every parser returns ``None`` for an answer it cannot read; a fallback value is the caller's decision and is always
reported next to the share of failures.
"""

from __future__ import annotations

import re
from typing import Literal

Mode = Literal["compat", "strict"]
"""``"compat"`` repeats the released code of a benchmark; ``"strict"`` is the corrected reading."""

POLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "E/I": (("E", "Extraversion"), ("I", "Introversion")),
    "S/N": (("S", "Sensing"), ("N", "Intuition")),
    "T/F": (("T", "Thinking"), ("F", "Feeling")),
    "J/P": (("J", "Judging"), ("P", "Perceiving")),
}
"""Letter and name of the first and the second pole of each dimension."""

_NUMBER = r"(10(?:\.0{1,3})?|[0-9](?:\.[0-9]{1,3})?)"
_DOUBLE_BRACKETS = re.compile(r"\[\[" + _NUMBER + r"\]\]")
_SINGLE_BRACKETS = re.compile(r"\[" + _NUMBER + r"\]")
_STRESS = re.compile(r"\[\[\s*(yes|no)\s*\]\]")
_STRESS_PUNCTUATION = str.maketrans("", "", '.,"*![]')


def _strict_choice(dimension: str) -> re.Pattern[str]:
    (first, first_name), (second, second_name) = POLES[dimension]
    # Optional marks are one group, not `\s*[...]*\s*`: two neighbouring \s* take quadratic time on a page of blanks.
    return re.compile(
        r"choice\s*:\s*(?:[<'\"*(\[]+\s*)?"
        rf"(?:(?P<first>{first_name}|a|{first})|(?P<second>{second_name}|b|{second}))(?![A-Za-z0-9_/])",
        re.IGNORECASE,
    )


_STRICT_CHOICE = {dimension: _strict_choice(dimension) for dimension in POLES}


def parse_score(text: str, mode: Mode = "compat", which: Literal["first", "last"] = "first") -> float | None:
    """Read the score 1..9 of an answer like ``[[7]]`` as a soft label ``(score - 1) / 8``.

    A number from 0 to 10 with up to three decimals in double brackets counts; only where there is none, one in single
    brackets does.

    Args:
        text: the answer.
        mode: ``"compat"`` returns scores outside 1..9 as they are (0 is -0.125, 10 is 1.125); ``"strict"`` clips the
            soft label to [0, 1].
        which: the ``"first"`` score of the answer (the paper) or the ``"last"`` (answers that reason before scoring).

    Returns:
        The soft label (0 = first pole, 1 = second pole), or None if the answer holds no score.

    Source: MBTIBench (arXiv 2412.12510), released parser; ``strict`` and ``last`` are ours.

    >>> parse_score("The score is [[7]].")
    0.75
    >>> parse_score("[[10]]"), parse_score("[[10]]", mode="strict")
    (1.125, 1.0)
    >>> parse_score("First [[3]], finally [[8]]", which="last")
    0.875
    >>> parse_score("7 of 9") is None
    True
    """
    scores = _DOUBLE_BRACKETS.findall(text) or _SINGLE_BRACKETS.findall(text)
    if not scores:
        return None
    p = (float(scores[0 if which == "first" else -1]) - 1) / 8
    return min(max(p, 0.0), 1.0) if mode == "strict" else p


def parse_choice(text: str, dimension: str, mode: Mode = "compat") -> str | None:
    """Read the pole of an answer like ``CHOICE: <A>``.

    Args:
        text: the answer.
        dimension: ``"E/I"``, ``"S/N"``, ``"T/F"`` or ``"J/P"``.
        mode: ``"compat"`` accepts only a whole answer ``choice: a``, ``choice: <a>`` or ``choice: e`` (any case, no
            surrounding blanks); ``"strict"`` takes the last choice anywhere in the answer, by option, letter or name.

    Returns:
        The letter of the pole, or None if the answer holds no choice.

    Raises:
        ValueError: the dimension is unknown.

    Source: MBTIBench (arXiv 2412.12510), released parser; ``strict`` is ours.

    >>> parse_choice("CHOICE: <B>", "E/I")
    'I'
    >>> parse_choice("**CHOICE: B**", "E/I") is None
    True
    >>> parse_choice("**CHOICE: B**", "E/I", mode="strict")
    'I'
    """
    if dimension not in POLES:
        raise ValueError(f"unknown dimension {dimension!r}; known are {', '.join(POLES)}")
    first, second = (letter for letter, _ in POLES[dimension])
    if mode == "strict":
        choices = [match.lastgroup for match in _STRICT_CHOICE[dimension].finditer(text)]
        return {"first": first, "second": second}[str(choices[-1])] if choices else None
    for option, letter in (("a", first), ("b", second)):
        if text.lower() in (f"choice: {option}", f"choice: <{option}>", f"choice: {letter.lower()}"):
            return letter
    return None


def parse_stress(text: str, mode: Mode = "compat") -> Literal["yes", "no"] | None:
    """Read the stress verdict of an answer that should end with ``[[yes]]`` or ``[[no]]``.

    Args:
        text: the answer.
        mode: ``"compat"`` takes the first word ``yes`` or ``no`` anywhere, also inside the reasoning, and ``"yes"``
            where there is neither, so it never returns None; ``"strict"`` takes the last bracketed verdict.

    Returns:
        ``"yes"``, ``"no"``, or None if a strict reading finds no verdict.

    Source: MBTIBench (arXiv 2412.12510), released Dreaddit evaluation; ``strict`` is ours.

    >>> parse_stress("There is no insult, yet [[yes]]")
    'no'
    >>> parse_stress("There is no insult, yet [[yes]]", mode="strict")
    'yes'
    """
    if mode == "strict":
        verdicts = _STRESS.findall(text.lower())
        return verdicts[-1] if verdicts else None
    for word in re.split(r"[ \n]", text.strip()):
        bare = word.translate(_STRESS_PUNCTUATION).lower()
        if bare == "yes" or bare == "no":
            return "yes" if bare == "yes" else "no"
    return "yes"
