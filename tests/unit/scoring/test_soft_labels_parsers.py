"""Reading scores, choices and stress verdicts from any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness_ext.scoring.soft_labels import POLES, parse_choice, parse_score, parse_stress

MODES = st.sampled_from(["compat", "strict"])
DIMENSIONS = st.sampled_from(sorted(POLES))
# Pieces of which nearly readable answers are made; plain text seldom contains a bracket.
PIECES = [*"[]7.0- \n:<>AbI/*ſİ٣１x", "[[", "]]", "10", ".5", "choice", "Extraversion", "yes", "no"]
ANSWERS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))


@given(ANSWERS, MODES, st.sampled_from(["first", "last"]))
def test_a_score_is_a_soft_label_or_nothing(text: str, mode: str, which: str) -> None:
    p = parse_score(text, mode, which)  # type: ignore[arg-type]
    lowest, highest = (0, 1) if mode == "strict" else (-0.125, 1.125)
    assert p is None or lowest <= p <= highest


@given(ANSWERS, MODES, DIMENSIONS)
@example("choice: ſ", "strict", "S/N")
@example("CHOICE: İ", "strict", "E/I")
def test_a_choice_is_a_pole_or_nothing(text: str, mode: str, dimension: str) -> None:
    assert parse_choice(text, dimension, mode) in (None, *dimension.split("/"))  # type: ignore[arg-type]


@given(ANSWERS)
def test_a_released_stress_verdict_is_never_missing(text: str) -> None:
    assert parse_stress(text, "compat") in ("yes", "no")
    assert parse_stress(text, "strict") in ("yes", "no", None)


@given(st.decimals(0, 10, places=3), st.text(alphabet="ab .\n"), st.text(alphabet="ab .\n"))
def test_a_score_with_three_decimals_is_found_anywhere(score: object, before: str, after: str) -> None:
    text = f"{before}[[{score}]]{after}"
    assert parse_score(text) == pytest.approx((float(str(score)) - 1) / 8)


@given(st.integers(0, 10), st.integers(0, 10))
def test_of_two_scores_the_first_or_the_last_is_taken(a: int, b: int) -> None:
    text = f"[[{a}]] or rather [[{b}]]"
    assert parse_score(text, which="first") == parse_score(f"[[{a}]]")
    assert parse_score(text, which="last") == parse_score(f"[[{b}]]")


@given(DIMENSIONS, st.booleans(), st.text(alphabet="xyz \n"), st.sampled_from(["", ".", "\n", ">", "**", " or so"]))
def test_a_strict_choice_is_read_by_option_letter_and_name(
    dimension: str, second: bool, before: str, after: str
) -> None:
    letter, name = POLES[dimension][second]
    for word in ("AB"[second], letter, name, name.lower()):
        assert parse_choice(f"{before}CHOICE: {word}{after}", dimension, "strict") == letter


def test_a_page_of_blanks_after_choice_holds_no_choice() -> None:
    # Quadratic backtracking would take minutes here.
    assert parse_choice("choice:" + " " * 60_000, "E/I", "strict") is None


def test_an_unknown_dimension_is_named() -> None:
    with pytest.raises(ValueError, match="'E/X'"):
        parse_choice("CHOICE: A", "E/X")


@pytest.mark.parametrize(
    ("text", "compat", "strict"),
    [
        ("There is no sign of it. [[yes]]", "no", "yes"),
        ("**Yes**, because.", "yes", None),
        ("[[no]] ... on reflection [[ YES ]]", "no", "yes"),
        ("Nothing to read here", "yes", None),
        ("no\nmore", "no", None),
        ("no\tmore", "yes", None),
        ("", "yes", None),
    ],
)
def test_the_released_stress_parser_takes_the_first_word_the_strict_one_the_last_bracket(
    text: str, compat: str, strict: str | None
) -> None:
    assert parse_stress(text, "compat") == compat
    assert parse_stress(text, "strict") == strict
