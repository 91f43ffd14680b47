"""Span overlap: the SQuAD rules, and properties of the token F1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring.spans import exact, normalise_span, token_f1

words = st.lists(st.sampled_from(["the", "cat", "sat", "Mat.", "an", "sat,"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("gold", "predicted", "em", "f1"),
    [
        ("the exam", "Exam!", 100.0, 100.0),
        ("he lost his keys", "lost keys", 0.0, 100 * 2 * 2 / 6),
        ("keys keys", "keys", 0.0, 100 * 2 / 3),
        ("the", "", 100.0, 100.0),
        ("keys", "", 0.0, 0.0),
    ],
)
def test_squad_rules(gold: str, predicted: str, em: float, f1: float) -> None:
    assert exact(gold, predicted) == em
    assert token_f1(gold, predicted) == pytest.approx(f1)


@given(a=words, b=words)
def test_token_f1_is_symmetric_and_100_for_equal_spans(a: str, b: str) -> None:
    assert token_f1(a, b) == token_f1(b, a)
    assert token_f1(a, a) == 100.0
    assert 0.0 <= token_f1(a, b) <= 100.0
    if exact(a, b):
        assert token_f1(a, b) == 100.0


@given(text=st.text())
def test_the_normal_form_is_stable(text: str) -> None:
    assert normalise_span(normalise_span(text)) == normalise_span(text)
