"""Reading a model's answer in emotion tasks: labels, label sets, numbers, utterances, pairs and option letters.

Every parser is total (it never raises on any text) and deterministic, and says when it could not read the answer: a
label or letter becomes ``"invalid"``, the others return a failure flag beside a neutral value (empty, or the midpoint).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from string import ascii_uppercase

INVALID = "invalid"

_DELETED = str.maketrans("", "", "*_`\"'“”„‟‘’‚‛«»")
_EDGES = " \t\n\r\f\v\u00a0\u3000.,:;!?-–—()[]{}<>#。．，、：；！？－（）［］【】｛｝〔〕＜＞《》〈〉「」『』＃"
_PREFIX = re.compile(
    r"""\s*(?:(?:[-+•]|\d+[.)])\s[*\s]*|\*[*\s]*)?
        (?:final\ answer|answer|output|label|emotion|sentiment|response|prediction|答案|情绪)[*\s]*[:：]""",
    re.IGNORECASE | re.VERBOSE,
)
_SEPARATORS = re.compile(r"[,;/|，、；]|\band\b", re.IGNORECASE)
_NO_LABEL = frozenset({"none", "no emotion", "no emotions", "none of the above", "neutral or no emotion"})
_NO_UTTERANCE = frozenset({"none", "no cause", "no one"})
_NO_PAIR = frozenset({"none", "no pair", "no pairs"})
_REAL = re.compile(r"(?<![\w.])([-+]?(?:\d+(?:\.\d+)?|\.\d+))(?!\w|\.\d)(\s*%)?")
# nine digits number any utterance, and keep int() away from the interpreter's limit on long digit strings
_INTEGER = re.compile(r"(?<!\w)(?<!\d\.)(\d{1,9})(?!\w|\.\d)")
_BRACKET_PAIR = re.compile(r"[(（]\s*(\d{1,9})\s*[,，]\s*(\d{1,9})\s*[)）]")
_DASH_PAIR = re.compile(r"(?<![\w.])(\d{1,9})\s*[-–]\s*(\d{1,9})(?!\w|\.\d)")
_FENCE_NAME = re.compile(r"\w*\s*")
_OBJECTS_TRIED = 100
"""Braces at which a JSON object is looked for: an answer of nothing but braces is given up."""


def norm(text: str) -> str:
    """The form in which answers and labels are compared: lower case, no quotes or emphasis, no punctuation at the ends.

    >>> norm(' **"Joy"**. '), norm("Self-disclosure!")
    ('joy', 'self-disclosure')
    """
    return " ".join(text.lower().translate(_DELETED).split()).strip(_EDGES)


def first_line(text: str) -> str:
    r"""The first line that is not blank, without a leading ``Answer:``, ``Emotion:`` or the like.

    >>> first_line("\n- **Answer:** disgust\nbecause")
    '** disgust'
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    return line[match.end() :].strip() if (match := _PREFIX.match(line)) else line.strip()


@lru_cache(maxsize=256)
def _names(labels: tuple[str, ...], aliases: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Normalised label or alias -> label; a label always beats an alias of the same form."""
    return {norm(a): label for a, label in aliases if label in labels} | {norm(label): label for label in labels}


@lru_cache(maxsize=256)
def _anywhere(names: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the names as a whole word; the longest at a place, any run of blanks for a blank."""
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    words = "|".join(r"\s+".join(map(re.escape, name.split())) for name in longest_first)
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])" if words else r"(?!)")


def _known(labels: Sequence[str], aliases: Mapping[str, str] | None) -> dict[str, str]:
    return _names(tuple(labels), tuple((aliases or {}).items()))


def _found(text: str, names: Mapping[str, str]) -> Iterator[str]:
    """Labels in the text, in order of appearance."""
    for match in _anywhere(tuple(names)).finditer(text.lower().translate(_DELETED)):
        yield names[" ".join(match.group().split())]


def parse_label(text: str, labels: Sequence[str], aliases: Mapping[str, str] | None = None) -> str:
    """The label that an answer names, or ``"invalid"``.

    The first line alone if it is a label; otherwise the earliest label anywhere in the answer. Negation is not
    understood: "Not joy but anger" is read as joy.

    Args:
        text: the answer.
        labels: the labels of the task.
        aliases: other words for labels; an alias that is itself a label is ignored.

    >>> parse_label("The emotion is sadness, not joy.", ["joy", "sadness"])
    'sadness'
    >>> parse_label("Happy!", ["joy", "sadness"], {"happy": "joy"}), parse_label("overjoyed", ["joy", "sadness"])
    ('joy', 'invalid')
    """
    names = _known(labels, aliases)
    line = norm(first_line(text))
    return names[line] if line and line in names else next(_found(text, names), INVALID)


def parse_label_set(
    text: str, labels: Sequence[str], aliases: Mapping[str, str] | None = None
) -> tuple[list[str], bool]:
    """The labels that an answer lists, in label order, and whether it could not be read.

    Separators are commas, semicolons, slashes, bars and the word "and"; pieces that are no label are ignored. "none"
    and the like are a readable empty set.

    >>> parse_label_set("Joy and optimism", ["anger", "joy", "optimism"])
    (['joy', 'optimism'], False)
    >>> parse_label_set("none", ["anger", "joy"]), parse_label_set("no idea", ["anger", "joy"])
    (([], False), ([], True))
    """
    names = _known(labels, aliases)
    line = first_line(text)
    listed = {names[piece] for piece in map(norm, _SEPARATORS.split(line)) if piece in names}
    if not listed and norm(line) in _NO_LABEL:
        return [], False
    listed = listed or set(_found(line, names))
    return [label for label in labels if label in listed], not listed


def parse_real(text: str, lo: float = 0.0, hi: float = 1.0) -> tuple[float, bool]:
    """The first number of the first line, clipped to [lo, hi], and whether there was none (then the midpoint).

    A percentage is divided by 100.

    >>> parse_real("Score: 70%"), parse_real("1.7"), parse_real("no number")
    ((0.7, False), (1.0, False), (0.5, True))
    """
    match = _REAL.search(first_line(text))
    if match is None:
        return (lo + hi) / 2, True
    value = float(match.group(1)) / (100.0 if match.group(2) else 1.0)
    return min(max(value, lo), hi), False


def parse_utterances(text: str, n: int) -> tuple[list[int], bool]:
    """The utterance numbers in 1..n of the first line, ascending, and whether it could not be read.

    >>> parse_utterances("Utterances 2 and 4", 4), parse_utterances("none", 4), parse_utterances("7", 4)
    (([2, 4], False), ([], False), ([], True))
    """
    line = first_line(text)
    numbers = sorted({int(m) for m in _INTEGER.findall(line) if 1 <= int(m) <= n})
    return numbers, not numbers and norm(line) not in _NO_UTTERANCE


def parse_pairs(text: str, n: int) -> tuple[list[tuple[int, int]], bool]:
    """The (emotion utterance, cause utterance) pairs with both in 1..n, ascending, and whether none could be read.

    ``(a, b)`` anywhere in the answer, otherwise ``a-b`` in its first line.

    >>> parse_pairs("(3, 2); (3,2)", 6), parse_pairs("2-1", 6), parse_pairs("no pairs", 6)
    (([(3, 2)], False), ([(2, 1)], False), ([], False))
    """
    line = first_line(text)
    found: Iterable[tuple[str, str]] = _BRACKET_PAIR.findall(text) or _DASH_PAIR.findall(line)
    numbers = ((int(emotion), int(cause)) for emotion, cause in found)
    pairs = sorted({(emotion, cause) for emotion, cause in numbers if 1 <= emotion <= n and 1 <= cause <= n})
    return pairs, not pairs and norm(line) not in _NO_PAIR


@lru_cache(maxsize=26)
def _option_rules(n: int) -> tuple[re.Pattern[str], ...]:
    """What counts as choosing one of the first n letters, strongest evidence first."""
    letter = f"([{ascii_uppercase[:n]}])"
    opening = r"[(\[{（［【「\"'“‘*]"
    return tuple(
        re.compile(rule)
        for rule in (
            rf"\[\[{letter}\]\]",
            rf"\[{letter}\]",
            rf"(?:(?i:answer|option|choice)|答案|选项)\s*(?:(?:is|是|为)\s*)?(?:[:：]\s*)?(?:{opening}+\s*)?"
            rf"{letter}(?![A-Za-z])",
            rf"\A\s*{opening}*{letter}(?:[)\]）］】.,:：、。*\"”]|[^\S\n]*(?:\n|\Z))",
            rf"(?<![A-Za-z]){letter}[)）]",
            rf"(?<![A-Za-z'’])(?!A\s+[a-z]){letter}(?![A-Za-z'’])",
        )
    )


def parse_option(text: str, n: int) -> str:
    """The letter of the option that an answer chooses among the first n letters, or ``"invalid"``.

    Rules, first hit wins: ``[[B]]``; ``[B]``; a capital after answer/option/choice/答案/选项; a capital that opens the
    answer; ``B)``; a stand-alone capital (``A`` before a lower-case word is an article); a first line of one letter.

    >>> parse_option("(C) because", 4), parse_option("A bad day, so B", 4), parse_option("C", 2)
    ('C', 'B', 'invalid')

    Args:
        text: the answer.
        n: number of options, at most 26.
    """
    if n < 1:
        return INVALID
    for rule in _option_rules(min(n, 26)):
        if match := rule.search(text):
            return match.group(1)
    line = norm(first_line(text)).upper()
    return line if len(line) == 1 and line in ascii_uppercase[:n] else INVALID


def fenced(text: str) -> str | None:
    """What stands in the first code fence, with the name of its language; None where there is no closed fence.

    >>> fenced('So: ```json {"answer": "B"}```')
    'json {"answer": "B"}'
    """
    _, opened, rest = text.partition("```")
    inside, closed, _ = rest.partition("```")
    return inside if opened and closed else None


def _first_object(text: str) -> dict[str, object]:
    """The first JSON object in the text, empty when there is none."""
    decoder = json.JSONDecoder(strict=False)
    for brace in islice(re.finditer(r"\{", text), _OBJECTS_TRIED):
        try:
            found, _ = decoder.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def parse_option_json(text: str, keys: Sequence[str], ns: Sequence[int]) -> list[str]:
    """The letters that a JSON answer gives for each key, ``"invalid"`` where missing or unreadable.

    Args:
        text: the answer; the first object is read, inside a code fence if there is one.
        keys: the keys to read.
        ns: the number of options of each.

    >>> parse_option_json('{"answer_q1": "B) Joy", "answer_q2": 3}', ["answer_q1", "answer_q2"], [6, 4])
    ['B', 'invalid']
    """
    fence = fenced(text)
    answers = _first_object(text if fence is None else _FENCE_NAME.sub("", fence, count=1))
    values = [answers.get(key) for key in keys]
    return [parse_option(v, n) if isinstance(v, str) else INVALID for v, n in zip(values, ns, strict=True)]
