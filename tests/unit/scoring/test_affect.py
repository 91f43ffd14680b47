"""The answer parsers on arbitrary text: they never raise, stay in range and read what a model would plausibly write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring import affect
from harness_ext.tasks.eibench.readers import all_parts

LABEL_SETS = {part.name: part for part in all_parts().values() if part.labels}
DECORATIONS = (
    "{}",
    "**{}**",
    '"{}"',
    "“{}”.",
    "Answer: {}",
    "- **Label:** {}",
    "\n\n  {}\n",
    "{}\nBecause it fits.",
    "答案：{}",
)
messy = st.text() | st.text(alphabet="(),-. 0123456789ABCDabc{}[]:\n\"'%")


@pytest.mark.parametrize("name", LABEL_SETS)
@pytest.mark.parametrize("decoration", DECORATIONS)
def test_every_label_parses_to_itself(name: str, decoration: str) -> None:
    part = LABEL_SETS[name]
    for label in part.labels:
        for form in {label, label.upper(), label.capitalize(), part.show(label)}:
            answer = decoration.format(form)
            assert affect.parse_label(answer, part.labels, part.words(aliases=True)) == label, answer
            assert affect.parse_label(answer, part.labels, part.words(aliases=False)) == label, answer


@pytest.mark.parametrize("name", LABEL_SETS)
def test_an_alias_names_a_label_of_its_set(name: str) -> None:
    part = LABEL_SETS[name]
    for alias, label in part.words(aliases=True).items():
        assert label in part.labels
        assert affect.parse_label(f"I would say {alias}.", part.labels, part.words(aliases=True)) == label, alias


@given(text=messy)
def test_a_label_is_in_the_set_or_invalid_and_reading_it_again_changes_nothing(text: str) -> None:
    part = LABEL_SETS["tweet_emotion"]
    label = affect.parse_label(text, part.labels, part.aliases)
    assert label in (*part.labels, affect.INVALID)
    if label != affect.INVALID:
        assert affect.parse_label(label, part.labels, part.aliases) == label


@given(text=messy | st.lists(st.sampled_from(["joy", "and", ",", "fear", "none", "\n"])).map(" ".join))
def test_a_label_set_is_in_label_order_and_empty_when_it_failed(text: str) -> None:
    labels = ["anger", "fear", "joy"]
    found, failed = affect.parse_label_set(text, labels)
    assert found == [label for label in labels if label in found]
    assert not (failed and found)
    assert affect.parse_label_set(", ".join(found) or "none", labels) == (found, False)


@given(text=messy)
def test_a_number_is_clipped(text: str) -> None:
    value, failed = affect.parse_real(text)
    assert 0.0 <= value <= 1.0
    assert value == 0.5 or not failed


@given(value=st.integers(0, 1000))
def test_a_written_number_is_read_back(value: int) -> None:
    assert affect.parse_real(f"Score: {value / 1000:.3f}.") == (pytest.approx(value / 1000), False)


@given(text=messy | st.just("9" * 5000), n=st.integers(0, 40))
def test_utterance_numbers_are_unique_ascending_and_in_range(text: str, n: int) -> None:
    numbers, failed = affect.parse_utterances(text, n)
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= n for number in numbers)
    assert not (failed and numbers)


@given(text=messy, n=st.integers(0, 40))
def test_pairs_are_unique_ascending_and_in_range(text: str, n: int) -> None:
    pairs, failed = affect.parse_pairs(text, n)
    assert pairs == sorted(set(pairs))
    assert all(1 <= a <= n and 1 <= b <= n for a, b in pairs)
    assert not (failed and pairs)


@given(pairs=st.sets(st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_written_pairs_are_read_back(pairs: set[tuple[int, int]]) -> None:
    text = ", ".join(f"({a},{b})" for a, b in pairs) or "none"
    assert affect.parse_pairs(text, 30) == (sorted(pairs), False)


@given(text=messy, n=st.integers(-1, 30))
def test_an_option_is_one_of_the_first_letters_or_invalid(text: str, n: int) -> None:
    letter = affect.parse_option(text, n)
    assert letter == affect.INVALID or 0 <= ord(letter) - ord("A") < n


@pytest.mark.parametrize(
    "form", ["{}", "({})", "{}.", "**{}**", "Answer: {}", "The answer is {}.", "[[{}]]", "答案是{}。", "{}) yes"]
)
@pytest.mark.parametrize("letter", "ABCDEF")
def test_an_option_is_read_in_the_usual_forms(form: str, letter: str) -> None:
    assert affect.parse_option(form.format(letter), 6) == letter


@given(text=messy | st.recursive(st.none() | st.text(), lambda v: st.dictionaries(st.text(), v)).map(json.dumps))
def test_json_options_never_raise(text: str) -> None:
    assert len(affect.parse_option_json(text, ["answer"], [4])) == 1


def test_deeply_nested_json_is_an_invalid_answer() -> None:
    assert affect.parse_option_json('{"a":' * 20_000, ["answer"], [4]) == ["invalid"]


@given(text=messy)
def test_the_normal_form_is_stable(text: str) -> None:
    assert affect.norm(affect.norm(text)) == affect.norm(text)
