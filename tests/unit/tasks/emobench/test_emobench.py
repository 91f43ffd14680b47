"""EmoBench without real data: both ways to read an answer, constant letters, the bundled items in both languages."""

from __future__ import annotations

import hashlib
import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.data import load_sample
from harness_ext.errors import InputError
from harness_ext.scoring.emobench import agg_constant_best, compat_letters
from harness_ext.tasks.eibench import docs as eibench
from harness_ext.tasks.eibench.readers.emobench import Language, Question, records
from harness_ext.tasks.emobench import docs, scores

ASKED: list[tuple[Question, docs.Form]] = [
    ("understanding", "json"),
    ("emotion", "letter"),
    ("cause", "letter"),
    ("application", "json"),
    ("application", "letter"),
]
EVERYTHING = [(question, form, language) for question, form in ASKED for language in get_args(Language)]


def sample(question: Question, language: Language, form: docs.Form = "json", **options: Any) -> list[dict[str, Any]]:
    return list(docs.load(question, language, form, data="sample", **options)["test"])


@given(st.text() | st.text(alphabet='{}":`answer_q1AB \n'))
def test_the_released_parser_reads_whole_json_or_nothing(text: str) -> None:
    (letter,) = compat_letters(text, ["answer_q1"])
    if "```" not in text and letter is not None:
        assert json.loads(text)["answer_q1"] == letter


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ('{"answer_q1": "A", "answer_q2": "B"}', ["A", "B"]),
        ('Sure.\n```json\n{"answer_q1": "A", "answer_q2": "B"}\n```', ["A", "B"]),
        ('{"answer_q1": "A"}', ["A", None]),
        ('{"answer_q1": "a", "answer_q2": "B) Fear"}', ["a", "B) Fear"]),
        ('Sure: {"answer_q1": "A", "answer_q2": "B"}', [None, None]),
        ('["A", "B"]', [None, None]),
        ("", [None, None]),
        ("[" * 100_000, [None, None]),
    ],
)
def test_the_released_parser_forgives_nothing(text: str, letters: list[object]) -> None:
    assert compat_letters(text, ["answer_q1", "answer_q2"]) == letters


@given(st.lists(st.sampled_from("ABCD"), min_size=1))
def test_no_constant_letter_beats_the_best_one(golds: list[str]) -> None:
    shares = [100 * float(np.mean([gold == letter for gold in golds])) for letter in "ABCD"]
    assert agg_constant_best(golds) == pytest.approx(max(shares))


def test_a_best_constant_needs_docs() -> None:
    with pytest.raises(ValueError, match="needs docs"):
        agg_constant_best([])


@pytest.mark.parametrize(("question", "form", "language"), EVERYTHING)
def test_every_question_is_asked_with_three_paraphrases_in_its_language(
    question: Question, form: docs.Form, language: Language
) -> None:
    texts = docs.instructions(question, form, language)
    assert len(set(texts)) == 3
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in text) == (language == "zh") for text in texts)
    assert all(("{" in text) == (form == "json") for text in texts)
    leaf = f"emobench_{'ea' if question == 'application' else 'eu'}_{language}"
    for doc in sample(question, language, form):
        number = int(hashlib.sha256(f"{leaf}:{doc['id']}".encode()).hexdigest()[:8], 16) % 3
        assert (doc["task"], doc["instruction"]) == (leaf, texts[number])


@pytest.mark.parametrize(("question", "form", "language"), EVERYTHING)
def test_options_in_hashed_order_take_the_answer_with_them(
    question: Question, form: docs.Form, language: Language
) -> None:
    rows = [r for r in load_sample("emobench") if r["language"] == language]
    rows = [r for r in rows if (r["part"] == "EA") == (question == "application")]
    answers = {
        "understanding": lambda r: [r["emotion_label"], r["cause_label"]],
        "emotion": lambda r: [r["emotion_label"]],
        "cause": lambda r: [r["cause_label"]],
        "application": lambda r: [r["label"]],
    }
    file, hashed = sample(question, language, form), sample(question, language, form, option_order="hashed")
    assert [doc["gold"] for doc in file] != [doc["gold"] for doc in hashed]
    for row, *both in zip(rows, file, hashed, strict=True):
        for doc in both:
            for letter, text in zip(doc["gold"], answers[question](row), strict=True):
                assert f"\n{letter}. {text}" in doc["input"]


def test_the_second_half_is_told_the_right_emotion_and_the_narrator_is_not_called_i() -> None:
    (doc,) = [doc for doc in sample("cause", "en", "letter") if doc["id"] == "en_sample_2"]
    assert "Question: the narrator feels dread. Why?" in doc["input"]


def test_two_letters_are_right_only_together() -> None:
    doc = sample("understanding", "en")[0]
    first, second = doc["gold"]
    answer = json.dumps({"answer_q1": first, "answer_q2": "Z"})
    values = scores.understanding(doc, [answer])
    assert (values["joint"], values["emotion"], values["cause"], values["invalid"]) == (0, 100, 0, 1)
    values = scores.understanding(doc, [f"I say {json.dumps({'answer_q1': first, 'answer_q2': second})}"])
    assert (values["joint"], values["joint_compat"], values["invalid"]) == (100, 0, 0)
    assert values["joint_complex_emotions"] == 100
    assert np.isnan(values["joint_emotional_cues"])


@pytest.mark.parametrize(("question", "form"), ASKED)
def test_every_doc_has_a_value_for_every_metric(question: Question, form: docs.Form) -> None:
    asked = sample(question, "zh", form)
    score = getattr(
        scores, ("application" if question == "application" else "understanding") + "_ll" * (form != "json")
    )
    results = [""] if form == "json" else [(-1.0, True), (-2.0, False)]
    assert len({tuple(score(doc, results)) for doc in asked}) == 1


def test_twins_choose_the_likeliest_letter() -> None:
    for doc in sample("application", "en", "letter"):
        likelihoods = [(-1.0 if letter == doc["gold"] else -2.0, False) for letter in doc["labels"]]
        assert scores.application_ll(doc, likelihoods)["acc"] == 100


@pytest.mark.parametrize(
    ("option", "value"), [("question", "why"), ("language", "de"), ("option_order", "random"), ("data", "reel")]
)
def test_an_unknown_value_is_refused(option: str, value: str) -> None:
    with pytest.raises(InputError, match=option):
        docs.load(**{"question": "cause", "language": "en", option: value})  # type: ignore[arg-type]


def test_eibench_leaves_take_hashed_options_but_not_on_rendered_samples() -> None:
    with pytest.raises(InputError, match="one order of options"):
        eibench.load("emobench_ea", data="sample", option_order="hashed")
    assert len(eibench.load("cee", data="sample", option_order="hashed")["test"]) > 0


def test_records_of_one_question_hold_the_letters_to_choose_from() -> None:
    rows = [row for row in load_sample("emobench") if row["part"] == "EU" and row["language"] == "en"]
    assert [len(record.labels) for record in records("cause", rows)] == [4, 4, 6, 4]
