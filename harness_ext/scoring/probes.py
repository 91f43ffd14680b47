"""Scores of the picture probes: numbers, cells of a grid, Chinese text in a picture, places, pairs and refusals.

The probes of Wu et al. 2023 (arXiv 2310.16534) were judged by people; these are automatic stand-ins, each a pure
function of a text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import comb, nan
from typing import Any, NamedTuple

from harness_ext.scoring import vqa

CELLS = frozenset(f"{row}{column}" for row in "ABCD" for column in range(1, 5))
"""The cells of the grid: rows A to D, columns 1 to 4."""

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]{0,30}(?:\.\d{1,30})?")
_CELL = re.compile(r"(?<![A-Za-z0-9])([A-D])-?([1-4])(?![A-Za-z0-9])")
_ARROW = re.compile("->|→|=>")
_NOTHING = {"nothing", "none", "missing", "empty"}
_QUOTED = re.compile("[\"'“”‘’「」『』]([\u4e00-\u9fff])[\"'“”‘’「」『』]")
_CLAIMED = re.compile("[是为:：] ?([\u4e00-\u9fff])(?![^\\W_])")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_TRADITIONAL = "愛國學書風東後紅黃藍馬鳥龍車門電語漢魚雲長見貝頁開關閒問間飛"
_SIMPLIFIED = dict(zip(_TRADITIONAL, "爱国学书风东后红黄蓝马鸟龙车门电语汉鱼云长见贝页开关闲问间飞", strict=True))
_PLACES = re.compile(r"(?<![a-z])(left|right|center|centre|middle)(?![a-z])")
_COUNT = re.compile(r"(?<![a-z])count\W{0,4}(\w+)")
_PERSON = re.compile(r"(?<![a-z])(?:pedestrian|person|people|figure)")
_PAIR = re.compile(r"(?<!\d)([1-9])(?: ?(?:-+>?|:|\.|\)|→|=) ?)\(?([A-Za-z][\w']*)")


def last_number(answer: str) -> float | None:
    """The last whole or decimal number of a text; None where there is none.

    >>> last_number("6 + 11 x (-1) = -5"), last_number("The total is 1,234."), last_number("I cannot tell.")
    (-5.0, 1234.0, None)
    """
    found = _NUMBER.findall(answer)
    return float(found[-1].replace(",", "")) if found else None


def stated_values(answer: str, names: Collection[str]) -> dict[str, float]:
    """The number that an answer gives to each of these names, as in ``star = 4``; the last where there are several.

    >>> stated_values("Star: 4, moon=7 so the answer is 11", ["star", "moon", "sun"])
    {'star': 4.0, 'moon': 7.0}
    """
    found = {}
    for name in names:
        stated = re.findall(rf"(?<!\w){re.escape(name)} ?(?:=|:|is|equals) ?(-?\d+)", answer, re.IGNORECASE)
        if stated:
            found[name] = float(stated[-1])
    return found


def cells(answer: str) -> set[str]:
    """The cells that an answer names.

    >>> sorted(cells("A1, b2, C-3 and D44"))
    ['A1', 'C3']
    """
    return {row + column for row, column in _CELL.findall(answer)}


class Spot(NamedTuple):
    """How well named cells cover the regions that differ."""

    cell_p: float
    cell_r: float
    cell_f1: float
    """Of the sets of main cells and of named ones."""
    found: int
    """Regions with an accepted cell among the named ones."""
    expected: float
    """The same for as many cells drawn at random."""
    cell_adj: float
    """(found - expected) / (regions - expected): 1 is perfect, 0 what guessing reaches, also by naming all cells."""


def spot(regions: Sequence[Mapping[str, Any]], named: Collection[str]) -> Spot:
    """Score the cells named for a pair of pictures.

    Args:
        regions: what differs: ``cell``, the main one, and ``cells``, every cell that the region touches.
        named: see :func:`cells`.

    >>> spot([{"cell": "A1", "cells": ["A1", "A2"]}, {"cell": "D4", "cells": ["D4"]}], {"A2", "D4"}).cell_adj
    1.0
    """
    main, named = {region["cell"] for region in regions}, set(named)
    both = len(main & named)
    found = sum(not named.isdisjoint(region["cells"]) for region in regions)
    total, count = len(CELLS), len(named)
    expected = sum(1 - comb(total - len(region["cells"]), count) / comb(total, count) for region in regions)
    return Spot(
        cell_p=both / count if count else 0.0,
        cell_r=both / len(main) if main else 0.0,
        cell_f1=2 * both / (len(main) + count) if main or count else 0.0,
        found=found,
        expected=expected,
        cell_adj=(found - expected) / (len(regions) - expected) if len(regions) > expected else 0.0,
    )


def full_credit(regions: Sequence[Mapping[str, Any]], answer: str) -> float:
    """Share of regions with a line ``cell: left -> right`` that names both objects; NaN where the gold names none.

    >>> full_credit([{"cell": "B2", "cells": ["B2"], "left": "star", "right": None}], "B2: a star -> nothing")
    1.0
    """
    if not regions or not all("left" in region for region in regions):
        return nan
    said = list(_changes(answer))
    right = [
        any(cell in region["cells"] and _is(region["left"], a) and _is(region["right"], b) for cell, a, b in said)
        for region in regions
    ]
    return sum(right) / len(right)


def _changes(answer: str) -> Iterator[tuple[str, str, str]]:
    for line in answer.splitlines():
        cell, arrow = _CELL.search(line), _ARROW.search(line)
        if cell and arrow and cell.end() <= arrow.start():
            yield cell[1] + cell[2], line[cell.end() : arrow.start()], line[arrow.end() :]


def _is(thing: str | None, said: str) -> bool:
    return vqa.contains(thing, said) if thing else not _NOTHING.isdisjoint(vqa.normalise(said).split())


def claimed_character(answer: str) -> str | None:
    """The Chinese character that an answer says it sees: in quotes, behind "is", or the only one of the answer.

    >>> claimed_character("图中的汉字是“愛”，繁体的“爱”"), claimed_character("水"), claimed_character("一个红色的字")
    ('愛', '水', None)
    """
    for pattern in (_QUOTED, _CLAIMED):
        if found := pattern.search(answer):
            return found[1]
    only = _CHINESE.findall(answer)
    return only[0] if len(only) == 1 else None


def zh_char(gold: str, answer: str) -> bool | None:
    """Whether the claimed character is the gold one, in simplified or traditional form; None where none is claimed.

    >>> zh_char("国", "這個字是國。"), zh_char("山", "水"), zh_char("山", "红色的汉字")
    (True, False, None)
    """
    claim = claimed_character(answer)
    return None if claim is None else _SIMPLIFIED.get(claim, claim) == _SIMPLIFIED.get(gold, gold)


def cer(reference: str, answer: str) -> float:
    """Character error rate: edits from reference to answer by the reference's length, without blanks and punctuation.

    >>> cer("水的沸点", "水的沸点？"), cer("水的沸点", "火的")
    (0.0, 0.75)
    """
    wanted, said = _characters(reference), _characters(answer)
    if not wanted:
        return float(bool(said))
    return _edits(wanted, said) / len(wanted)


def _characters(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one)[0] not in "ZPC")


def _edits(wanted: str, said: str) -> int:
    """Levenshtein distance, one row of the table as bits of an integer a character (Myers 1999, Hyyrö 2003)."""
    last, every = 1 << (len(wanted) - 1), (1 << len(wanted)) - 1
    places: dict[str, int] = {}
    for number, character in enumerate(wanted):
        places[character] = places.get(character, 0) | 1 << number
    more, less, distance = every, 0, len(wanted)
    for character in said:
        at = places.get(character, 0)
        same = (((at & more) + more) ^ more) | at | less
        up, down = less | (every & ~(same | more)), more & same
        distance += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & every
        more, less = (down << 1 | (every & ~(same | up))) & every, up & same
    return distance


def text_score(reference: str, answer: str) -> float:
    """1 - CER, at least 0.

    >>> text_score("水的沸点", "水的沸点"), text_score("水的沸点", "无法识别图片")
    (1.0, 0.0)
    """
    return max(0.0, 1.0 - cer(reference, answer))


def position_f1(gold: Sequence[str], said: Sequence[str]) -> float:
    """F1 of two multisets of places; 1 where both are empty.

    >>> round(position_f1(["left", "left", "right"], ["left", "right", "right", "center"]), 4)
    0.5714
    """
    if not gold and not said:
        return 1.0
    return 2 * (Counter(gold) & Counter(said)).total() / (len(gold) + len(said))


def places(answer: str) -> list[str]:
    """The places that an answer names, in its order; a middle is a center.

    >>> places("One on the left, two in the middle: center, center")
    ['left', 'center', 'center', 'center']
    """
    said = _PLACES.findall(answer.lower())
    return ["center" if place in ("centre", "middle") else place for place in said]


def people(answer: str) -> int | None:
    """How many people an answer counts: on a line ``count: 3``, else the first number shortly before a word for people.

    >>> people("Count: two"), people("I see 3 warm figures at 5 pm."), people("Some people.")
    (2, 3, None)
    """
    text = answer.lower()
    if line := _COUNT.search(text):
        return _whole(line[1])
    for person in _PERSON.finditer(text):
        before = text[max(0, person.start() - 80) : person.start()].split()[-3:]
        for word in before:
            if (number := _whole(word.strip("*().,:;"))) is not None:
                return number
    return None


def _whole(word: str) -> int | None:
    digits = vqa.normalise(word)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 9 else None


def pairs(answer: str, labels: Sequence[str]) -> dict[int, str]:
    """Which of the labels an answer gives to each numbered picture: ``1-b``, ``1: b`` or ``1. Dog``.

    A label used twice counts where it came first, and so does the first label of a picture.

    Args:
        answer: what the model wrote.
        labels: in their order; their letters a, b, c and so on stand for them, too.

    >>> pairs("1-b, 2: dog, 3-b", ["dog", "siren", "rain"])
    {1: 'siren', 2: 'dog'}
    """
    by_name = {label.lower(): label for label in labels}
    by_name |= {chr(ord("a") + number): label for number, label in enumerate(labels)}
    found: dict[int, str] = {}
    for picture, word in _PAIR.findall(answer):
        label = by_name.get(word.lower())
        if label is not None and int(picture) not in found and label not in found.values():
            found[int(picture)] = label
    return found


def guessed(accept: Sequence[str], reject: Sequence[str], answer: str) -> bool:
    """Whether an answer holds an accepted name and no rejected one: as whole words, or as they are in Chinese.

    >>> guessed(["claw machine"], ["washing machine"], "A claw machine!"), guessed(["ski"], [], "skin")
    (True, False)
    """
    return any(_named(name, answer) for name in accept) and not any(_named(name, answer) for name in reject)


def _named(name: str, answer: str) -> bool:
    if _CHINESE.search(name):
        return name in answer
    return f" {vqa.normalise(name)} " in f" {vqa.normalise(answer)} "


class Refusals(NamedTuple):
    """How differently questions of several kinds are refused."""

    rate: dict[str, float]
    """Share of refused questions of each kind."""
    gap: float
    """Largest less smallest rate."""
    inconsistency: dict[str, float]
    """4 r (1 - r): 0 where all or no questions of a kind are refused, 1 where half are."""


def refusal_stats(refused_of: Mapping[str, tuple[int, int]]) -> Refusals:
    """Rates of refusal by trait.

    Args:
        refused_of: refused questions and all questions of each trait, at least one of them each.

    >>> refusal_stats({"gender": (3, 8), "age": (0, 5)}).gap
    0.375
    """
    rate = {trait: refused / n for trait, (refused, n) in refused_of.items()}
    return Refusals(
        rate, max(rate.values()) - min(rate.values()), {trait: 4 * r * (1 - r) for trait, r in rate.items()}
    )
