"""What of a response is the answer, and the answer in plain writing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.data import reasoning
from harness_ext.scoring.answers import LONGEST, MARKERS, Answer, answer_of, of_answer, plain, plain_scores

TRACES = {
    "DeepSeek, Qwen": ("<think>\n", "\n</think>\n\n"),
    "opened by the chat template": ("", "\n</think>\n\n"),
    "no thinking": ("<think>\n\n</think>\n\n", ""),
    "capitals": ("<THINK>", "</THINK>\n"),
    "thinking": ("<thinking>", "</thinking>"),
    "thought": ("<thought>\n", "\n</thought>\n"),
    "reasoning": ("<reasoning>\n", "\n</reasoning>\n"),
    "Kimi": ("◁think▷", "◁/think▷"),
    "Magistral": ("[THINK]", "[/THINK]"),
    "Seed": ("<seed:think>", "</seed:think>"),
    "LongCat": ("<longcat_think>\n", "\n</longcat_think>\n"),
    "OpenThinker": ("<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n"),
    "Command A": ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    "Apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "gpt-oss, JSON": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    ),
    "gpt-oss without special tokens": ("analysis", "assistantfinal"),
    "Granite": ("Here is my thought process:\n\n", "\n\nHere is my response:\n\n"),
    "R1-Zero": ("<think>", "</think>\n<answer>"),
    "MedGemma": ("<unused94>thought\n", "<unused95>"),
    "Gemma": ("<|channel>thought\n", "<channel|>"),
    "bars": ("<|think|>", "<|/think|>"),
    "with an attribute": ('<think effort="high">\n', "\n</think>\n"),
    "chain of thought": ("<chain_of_thought>", "</chain_of_thought>"),
    "Chinese": ("<思考>\n", "\n</思考>\n"),
    "Chinese in brackets": ("【思考】", "【/思考】"),
    "Korean": ("<생각>", "</생각>"),
    "German": ("<Gedanken>", "</Gedanken>"),
    "Spanish": ("<razonamiento>", "</razonamiento>"),
    "Russian": ("<рассуждение>", "</рассуждение>"),
}
ENDS = {"OpenThinker": "\n<|end_of_solution|>", "Command A": "<|END_RESPONSE|>", "gpt-oss": "<|return|>"}
ENDS |= {"R1-Zero": "</answer>\n"}
ALONE = {"opened by the chat template", "no thinking", "gpt-oss without special tokens", "Granite"}
"""Of these an unfinished trace cannot be told from an answer, or there is none."""
CALM = st.text().filter(
    lambda text: not any(mark in text for mark in "<[◁|【") and not text.startswith(("analysis", "Here"))
)


@pytest.mark.parametrize("family", TRACES)
def test_the_answer_stands_behind_the_trace(family: str) -> None:
    opening, closing = TRACES[family]
    trace = "" if family == "no thinking" else "First I say anger. Answer: B.\n\nNo: fear!"
    response = f"{opening}{trace}{closing}joy,\n\nreally{ENDS.get(family, '')}"
    assert answer_of(response) == Answer("joy,\n\nreally", reasoned=True)


@pytest.mark.parametrize("family", sorted(TRACES.keys() - ALONE))
def test_an_unfinished_trace_is_no_answer(family: str) -> None:
    opening, _ = TRACES[family]
    for trace in ("", "First I say joy. Answer: B."):
        assert answer_of(f"\n {opening}{trace}") == Answer("", reasoned=True, finished=False)


@pytest.mark.parametrize("family", sorted(TRACES.keys() - ALONE))
def test_a_second_trace_is_cut_too_and_may_be_unfinished(family: str) -> None:
    opening, closing = TRACES[family]
    assert answer_of(f"{opening}a{closing}b\n{opening}c{closing}d").text == "d"
    assert not answer_of(f"{opening}a{closing}b\n{opening}c").finished


@given(CALM)
def test_a_response_without_a_marker_is_left_as_it_is(text: str) -> None:
    assert answer_of(text) == Answer(text)


@pytest.mark.parametrize(
    "text",
    [
        *("analysis of the text: joy", "Here is my thought process: it is joy.", "I think <b>joy</b>", "a < b > c"),
        *("He said <think> and meant it", "[[7]]", "<answer>joy</answer>", "the final channel", " joy\n"),
        *("Close it with `</think>`, then say joy", "<thinker> joy", "<b class='think'>joy</b>"),
    ],
)
def test_what_only_looks_like_a_marker_is_none(text: str) -> None:
    assert answer_of(text) == Answer(text)


@given(st.text(), st.sampled_from([opening for opening, _ in TRACES.values()]), st.text())
def test_any_text_has_an_answer_that_stands_in_it_and_is_its_own(before: str, marker: str, after: str) -> None:
    response = before + marker + after
    answer = answer_of(response)
    assert answer.text in response
    assert answer.finished or not answer.text
    assert answer.reasoned or answer.text == response


def test_markers_of_ones_own_are_understood_beside_the_common_ones() -> None:
    own = ["[ponder]", "[/ponder]"]
    assert answer_of("[ponder]joy?[/ponder] fear", own) == Answer("fear", reasoned=True)
    assert answer_of("[ponder]joy?", own) == Answer("", reasoned=True, finished=False)
    assert answer_of("<think>joy?</think>fear", own).text == "fear"
    assert answer_of("[ponder]joy?[/ponder] fear").text == "[ponder]joy?[/ponder] fear"


def test_an_answer_is_read_up_to_a_bound() -> None:
    assert len(answer_of("a" * (LONGEST + 1)).text) == LONGEST
    assert answer_of("b" * LONGEST + "</think>joy").text == "joy"


def test_a_scored_answer_says_whether_it_was_cut() -> None:
    def shout(doc: dict[str, str], results: list[str]) -> dict[str, str]:
        return {"said": results[0].upper()}

    scored = of_answer(shout)
    assert scored({}, ["joy"]) == {"said": "JOY", "reasoning_cut": 0.0}
    assert scored({}, ["fear</think>joy"]) == {"said": "JOY", "reasoning_cut": 1.0}
    assert scored({}, ["<think>joy"]) == {"said": "", "reasoning_cut": 1.0}
    assert scored({MARKERS: ["(", ")"]}, ["(fear)joy"])["said"] == "JOY"
    assert scored.__name__ == "shout"  # results record it


def test_data_and_scoring_mean_the_same_field() -> None:
    assert reasoning.MARKERS == MARKERS


@pytest.mark.parametrize("wrong", ["</ponder>", ["</ponder>"], ["", "</ponder>"], ["a", "b", "c"], [1, 2], {"a": "b"}])
def test_markers_that_are_no_pair_are_refused(wrong: object) -> None:
    with pytest.raises(reasoning.InputError, match="give two texts"):
        reasoning.with_markers(lambda **_: {})(reasoning_markers=wrong)


@given(st.text())
def test_plain_writing_is_plain_already(text: str) -> None:
    once = plain(text)
    assert plain(once).translate({ord("_"): ""}) == once.translate({ord("_"): ""})
    assert not set('*`"') & set(once)


def test_a_line_of_scores_is_no_total_because_of_its_first_word() -> None:
    for line in ("Total joy: 3, fear: 2, love: 5", "Summery: 3", "Overalls 2", "The total is what counts"):
        assert plain_scores(line) == line
    for line in (
        "Total: 10",
        "**Total:** 10/40",
        "| Sum | 10 |",
        "总分：１０",
        "- Insgesamt 10 Punkte",
        "Overall = 9.5",
    ):
        assert plain_scores(f"Joy: 3\n{line}\n") == "Joy: 3"
