"""Understanding tasks: letters in answers, letters in prompts, and bad packs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.errors import DataError, InputError
from harness_ext.tasks.fixed_xcopa.docs import without_full_stop
from harness_ext.tasks.lens_nlu import docs, readers
from harness_ext.tasks.lens_nlu.prompts import ARABIC, AUTHORS_ARABIC, load_pack
from harness_ext.tasks.lens_nlu.scores import letter, parse_letter

FOUR = ("A", "B", "C", "D")
TEXTS = ("a trout", "a whale", "a hen", "a frog")


@given(
    st.text()
    | st.lists(st.sampled_from(["A", "b.", "(c)", "D", "answer", ":", "答案", "\n", " ", "alpha"])).map("".join)
)
def test_no_answer_is_more_than_an_option_or_a_failure(text):
    assert parse_letter(text, FOUR[:2], TEXTS[:2]) in (None, "A", "B")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("B", "B"),
        ("**b)** a whale", "B"),
        ("Ｂ．クジラ", "B"),
        ("The answer is C", "C"),
        ("A is wrong, B is wrong. Answer: D", "D"),
        ("答案：B", "B"),
        ("정답은 C입니다", "C"),
        ("It is a whale, not a fish", "B"),
        ("A trout? A whale?", "A"),
        ("A or B", None),
        ("E", None),
        ("", None),
        ("<|im_end|>", None),
        ("Vitamin B12", None),
    ],
)
def test_a_letter_is_read_where_it_stands_for_an_option(text, found):
    assert parse_letter(text, FOUR, TEXTS) == found


def test_arabic_letters_are_read_and_kaf_only_where_it_is_an_option():
    assert parse_letter("الإجابة: ج", ARABIC, ("1x", "2x", "3x", "4x")) == ARABIC[2]
    assert parse_letter("أ", ARABIC, ("1x", "2x", "3x", "4x")) == ARABIC[0]
    assert parse_letter("ك", AUTHORS_ARABIC, ("1x", "2x", "3x", "4x")) == AUTHORS_ARABIC[2]
    assert parse_letter("ك", ARABIC, ("1x", "2x", "3x", "4x")) is None


def test_an_answer_without_a_letter_is_wrong_and_a_parse_failure():
    doc = {"options": list(FOUR), "texts": list(TEXTS), "label": 1}
    assert letter(doc, ["no idea"]) == {"acc": 0.0, "parse_failure": 1.0, "reasoning_cut": 0.0}
    assert letter(doc, ["<think>A?</think>B"]) == {"acc": 1.0, "parse_failure": 0.0, "reasoning_cut": 1.0}


def test_arabic_labels_leave_the_data_alone_and_the_authors_replace_letters_in_it_too(monkeypatch):
    row = {
        "instruction": "Vitamin C. ?",
        "option_a": "A. x",
        "option_b": "y",
        "option_c": "z",
        "option_d": "w",
        "label": 2,
    }
    own = docs.FAMILIES["m_mmlu"]._replace(read=lambda *_: [row])
    monkeypatch.setitem(docs.FAMILIES, "m_mmlu", own)
    latin, arabic, authors = (
        docs.load("m_mmlu", "ar", **options)["test"][0] for options in ({}, {"letters": "arabic"}, {"compat": True})
    )
    assert (latin["options"], arabic["options"], authors["options"]) == (list(FOUR), [*ARABIC], [*AUTHORS_ARABIC])
    assert "Vitamin C. ?" in latin["text"]
    assert "Vitamin C. ?" in arabic["text"]
    assert f"\n{ARABIC[2]}. z\n" in arabic["text"]
    assert f"Vitamin {AUTHORS_ARABIC[2]}. ?" in authors["text"]
    assert {doc["label"] for doc in (latin, arabic, authors)} == {2}


def test_a_story_is_parted_by_spaces_but_for_chinese_and_glued_as_the_authors_do():
    english, chinese = (docs.load("xstorycloze", code, data="sample")["test"][0]["text"] for code in ("en", "zh"))
    assert "spring. She" in english
    assert "番茄。她" in chinese
    assert "spring.She" in docs.load("xstorycloze", "en", data="sample", compat=True)["test"][0]["text"]


def test_two_letters_compete_and_four_as_the_authors_count():
    assert docs.load("xcopa", "sw", data="sample")["test"][0]["options"] == ["A", "B"]
    assert docs.load("xcopa", "sw", data="sample", compat=True)["test"][0]["options"] == list(FOUR)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no pack"),
        (json.dumps({"name": "x", "language_names": {}, "templates": {}}), "no template 'xcopa'"),
        (
            json.dumps({"name": "x", "language_names": {"sw": "S"}, "templates": {"xcopa": "{{premises}}"}}),
            "no 'premises'",
        ),
    ],
)
def test_a_pack_that_is_none_is_refused_in_a_sentence(tmp_path, content, message):
    file = tmp_path / "pack.json"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        docs.load("xcopa", "sw", data="sample", prompt_pack=str(file))


def test_a_missing_pack_is_named():
    with pytest.raises(InputError, match=r"absent\.json' cannot be read"):
        load_pack("absent.json")


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"n": True}, {"letters": "arabic"}, {"family": "mmlu"}, {"language": "de"}]
)
def test_an_argument_that_has_no_such_value_is_refused(options):
    with pytest.raises(InputError):
        docs.load(**({"family": "xcopa", "language": "sw", "data": "sample"} | options))


def test_quotes_of_the_tokens_are_those_of_the_sentence_and_another_token_is_none():
    assert readers.aligned('"no"', ["``", "no", '"']) == [(0, 1), (1, 3), (3, 4)]
    assert readers.aligned("no", ["yes"]) is None


def test_what_is_on_a_hub_only_says_so_where_there_is_none(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"HAERAE-HUB/KMMLU .* is not in the hub's cache"):
        readers.kmmlu()


def test_only_punctuation_is_dropped_from_a_premise():
    assert [without_full_stop(text) for text in ("Ano.", "雨。", "ฝนหยุดแล้ว", "வீடு ", "")] == [
        *("Ano", "雨", "ฝนหยุดแล้ว", "வீடு", "")
    ]
