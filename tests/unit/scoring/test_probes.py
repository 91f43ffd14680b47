"""Scores of picture probes: no text breaks them, values stay in range, and edits are Levenshtein's."""

from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring import probes, vqa
from harness_ext.scoring.labels import parse_letter

REGIONS = [
    {"cell": "A1", "cells": ["A1", "A2"], "left": "red star", "right": None},
    {"cell": "D4", "cells": ["D4"], "left": None, "right": "blue ring"},
]
LIKELY = st.lists(
    st.sampled_from(
        ["A1", "D-4", "->", "nothing", "red", "star", "\n", ": ", "left", "center", "count", "3", "two", "people",
         "1-a", "2: dog", "水", "“水”", "是", "answer is ", "(B)", "A ", "**", "$", "-1,234.5", "I cannot", "identify"]
    )
).map("".join)  # fmt: skip
TEXTS = st.text() | LIKELY


def levenshtein(a: str, b: str) -> int:
    """The table, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@given(st.text("水火山abc", min_size=1, max_size=90), st.text("水火山abcd", max_size=90))
def test_edits_are_those_of_the_table(wanted: str, said: str) -> None:
    assert probes.cer(wanted, said) == levenshtein(wanted, said) / len(wanted)


@given(TEXTS)
def test_no_answer_breaks_a_score_or_leaves_its_range(answer: str) -> None:
    assert parse_letter(answer, "ABCD") in {None, "A", "B", "C", "D"}
    assert probes.cells(answer) <= probes.CELLS
    spot = probes.spot(REGIONS, probes.cells(answer))
    assert spot.cell_adj <= 1
    assert 0 <= spot.cell_f1 <= 1
    assert 0 <= probes.full_credit(REGIONS, answer) <= 1
    assert 0 <= probes.text_score("1. 水的沸点", answer) <= 1
    assert 0 <= probes.position_f1(["left", "left"], probes.places(answer)) <= 1
    assert set(probes.pairs(answer, ["dog", "siren"]).values()) <= {"dog", "siren"}
    assert (probes.people(answer) or 0) >= 0
    assert 0 <= vqa.soft(["star", "2", "a b", "star"], answer) <= 1
    assert probes.zh_char("水", answer) in {True, False, None}
    number = probes.last_number(answer)
    assert number is None or number == number


@pytest.mark.parametrize("answer", ["", "no difference", "A1 A2 A3 A4 B1 B2 B3 B4 C1 C2 C3 C4 D1 D2 D3 D4"])
def test_naming_nothing_or_everything_is_no_better_than_chance(answer: str) -> None:
    assert probes.spot(REGIONS, probes.cells(answer)).cell_adj == 0


def test_regions_without_named_objects_give_no_full_credit() -> None:
    assert isnan(probes.full_credit([{"cell": "A1", "cells": ["A1"]}], "A1: star -> nothing"))


def test_a_label_used_twice_counts_once() -> None:
    assert probes.pairs("1-a 2-a 3-b 1-c", ["dog", "siren", "rain"]) == {1: "dog", 3: "siren"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The picture shows a cat.", None), ("Based on the picture, it is a cat.", None), ("Answer: A", "A"),
        ("A", "A"), ("A cat, so the answer is B", "B"), ("I think it is C", "C"),
    ],
)  # fmt: skip
def test_words_that_begin_with_a_letter_are_no_letter(answer: str, letter: str | None) -> None:
    assert parse_letter(answer, "ABCDI") == letter
