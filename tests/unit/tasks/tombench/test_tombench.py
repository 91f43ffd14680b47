"""ToMBench: items out of raw lines, letters out of answers, means over abilities and tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager

from harness_ext.data import load_card
from harness_ext.errors import DataError, InputError
from harness_ext.scoring.options import hashed_order
from harness_ext.scoring.tombench import (
    ability_of,
    agg_ability_macro,
    agg_task_macro,
    compat_parse,
    family_of,
)
from harness_ext.tasks.tombench import docs, scores
from harness_ext.tasks.tombench.items import EMOTION_FILES, LETTERS, item_of

NAN = float("nan")


def raw(answer: str = "A", ability: str = "Emotion: Mixed emotions", **options: Any) -> dict[str, Any]:
    texts = {"A": "Glad", "B": "Sad", "C": "Calm", "D": "Angry"} | options
    english = {f"OPTION-{letter}": text for letter, text in texts.items()}
    chinese = {f"选项{letter}": text for letter, text in texts.items()}
    story = {"STORY": "Story", "QUESTION": "Question?", "故事": "故事一", "问题": "问题？"}
    return {"能力\nABILITY": ability, "答案\nANSWER": answer, **story, **english, **chinese}


def upstream_letter(text: str) -> str:
    """The order in which upstream looks, in its own words: marks by letter, then from the end."""
    for mark in ("[[{}]]", "[{}]"):
        for letter in LETTERS:
            if mark.format(letter) in text:
                return letter
    return next((letter for letter in reversed(text) if letter in LETTERS), "A")


@given(text=st.text() | st.text(alphabet="[]ABCDE :\n"))
def test_compat_reads_what_upstream_reads(text: str) -> None:
    assert compat_parse(text) == upstream_letter(text)


def test_the_card_names_the_twenty_files_and_the_emotion_files_keep_their_order() -> None:
    files = sorted(entry.name for entry in load_card("tombench").files)
    assert len(files) == 20
    assert [name for name in files if name in EMOTION_FILES] == list(EMOTION_FILES)


def test_two_options_are_two() -> None:
    item = item_of(raw("B", C=NAN, D=NAN), "Strange Story Task_3", "en")
    assert item.options == ("Glad", "Sad")
    assert item.answer == 1
    assert item.task == "Strange Story Task"


@pytest.mark.parametrize("option", ["B.生气", "B. 生气", "B、生气", " B：生气", "B．生气 ", "生气"])
def test_an_option_loses_a_letter_of_its_own(option: str) -> None:
    assert item_of(raw(B=option), "File_0", "zh").options[1] == "生气"


@pytest.mark.parametrize("option", ["A boy cries.", "Be calm", "Dan: no"])
def test_an_option_that_starts_with_a_capital_word_keeps_it(option: str) -> None:
    assert item_of(raw(A=option), "File_0", "en").options[0] == option


def test_blanks_around_answer_and_ability_are_dropped() -> None:
    item = item_of(raw("A. ", "Emotion: Hidden emotions "), "File_0", "en")
    assert (item.answer, item.ability) == (0, "Emotion: Hidden emotions")


@pytest.mark.parametrize("answer", ["", " ", "E", "C"])
def test_an_answer_that_is_no_option_is_refused(answer: str) -> None:
    with pytest.raises(DataError, match=r"ToMBench item File_0: the answer .* is none of 2 options"):
        item_of(raw(answer, C=NAN, D=NAN), "File_0", "en")


def test_abilities_that_differ_in_case_and_blanks_are_one() -> None:
    assert ability_of("Non-literal communication: Humor") == ability_of("Non-Literal Communication:  Humor ")
    assert family_of("Non-literal communication: Faux-pas") == family_of("Non-Literal Communication: Irony/Sarcasm")


@pytest.mark.parametrize("aggregate", [agg_ability_macro, agg_task_macro])
def test_every_group_weighs_the_same(aggregate: Any) -> None:
    assert aggregate([("a", 100.0)] * 9 + [("b", 0.0)]) == 50.0
    with pytest.raises(ValueError, match="no groups"):
        aggregate([])


@given(id=st.text(max_size=20), n=st.integers(2, 4))
def test_a_hashed_order_holds_every_option_once_and_is_always_the_same(id: str, n: int) -> None:
    assert sorted(hashed_order(id, n)) == list(range(n))
    assert hashed_order(id, n) == hashed_order(id, n)


def test_the_hashed_order_favours_no_place() -> None:
    first = [hashed_order(f"Hidden Emotions_{i}", 4)[0] for i in range(400)]
    assert all(70 <= first.count(k) <= 130 for k in range(4))


def test_the_hashed_order_moves_the_answer_with_its_option() -> None:
    file, hashed = (docs.load("all", "en", option_order=order, data="sample")["test"] for order in ("file", "hashed"))  # type: ignore[arg-type]
    assert hashed["answer"] != file["answer"]
    for before, after in zip(file, hashed, strict=True):
        assert [before["options"][k] for k in after["order"]] == after["options"]
        assert before["options"][docs.choice_number(before)] == after["options"][docs.choice_number(after)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_question_shows_every_option_with_its_letter_whatever_is_in_it(language: Any) -> None:
    manager = TaskManager(
        include_path=str(Path(docs.__file__).parent), include_defaults=False, metadata={"data": "sample"}
    )
    (task,) = manager.load(f"tombench_all_{language}")["tasks"].values()
    for doc in task.test_docs():
        text = task.doc_to_text(doc | {"story": "{{options}} {% raw"})
        assert "{{options}} {% raw\n" in text
        assert doc["question"] in text
        for letter, option in zip(LETTERS, doc["options"], strict=False):
            assert f"\n{letter}. {option}\n" in text
        assert text.count("\nC. ") == (len(doc["options"]) > 2)
        assert docs.choices(doc) == list(LETTERS[: len(doc["options"])])


def test_emotion_items_are_grouped_by_ability_and_all_items_by_family_and_file() -> None:
    doc = docs.load("emotion", "en", data="sample")["test"][0]
    assert scores.emotion(doc, ["B"]) == {
        "acc": 100.0,
        "constant_A": 0.0,
        "ability_macro": ("emotion: mixed emotions", 100.0),
        "invalid": 0.0,
        "acc_compat": 100.0,
        "reasoning_cut": 0.0,
    }
    values = scores.everything(doc, ["no idea"])
    assert values["ability_macro"] == ("emotion", 0.0)
    assert values["task_macro"] == ("sample", 0.0)
    assert values["invalid"] == 1.0


def test_a_letter_beyond_the_options_is_invalid() -> None:
    doc = next(d for d in docs.load("emotion", "en", data="sample")["test"] if len(d["options"]) == 2)
    assert scores.emotion(doc, ["C"])["invalid"] == 1.0


def test_the_likeliest_letter_is_the_answer() -> None:
    doc = docs.load("all", "zh", data="sample")["test"][2]
    likelihoods = [(-3.0, False), (-1.0, False), (-2.0, False), (-9.0, False)]
    assert doc["answer"] == "A"
    assert scores.emotion_ll(doc, likelihoods)["acc"] == 0.0
    assert scores.everything_ll(doc, [(0.0, False), *likelihoods[1:]])["task_macro"] == ("sample", 100.0)


@pytest.mark.parametrize("wrong", [{"items": "most"}, {"language": "fr"}, {"option_order": "random"}, {"data": "both"}])
def test_an_unknown_choice_is_refused_with_the_known_ones(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"{next(iter(wrong))} is .*; give '"):
        docs.load(**{"items": "all", "language": "en", "data": "sample"} | wrong)
