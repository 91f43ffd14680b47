"""MT-Bench: languages of turns, histories without reasoning, and judgments that fail, repeat or are missing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, InputError
from harness_ext.models.dialogues.player import Dialogue
from harness_ext.models.dialogues.turns import Turn, conversation
from harness_ext.results.judging.imported import Judged, metrics_of, write
from harness_ext.results.reading.runs import read as read_runs
from harness_ext.scoring.fidelity import agg_share_of_turns
from harness_ext.tasks.mtbench.judgments import penalised, rating, read
from harness_ext.tasks.mtbench.questions import source_of_references
from harness_ext.tasks.mtbench.replay import turns_of
from harness_ext.tasks.mtbench.scores import dialogue

GERMAN, ENGLISH = "Das ist eine deutsche Antwort.", "This is an English answer."
DOC = {"language": "de", "lid": "py3langid"}


def test_each_turn_counts_alone_and_what_cannot_be_told_counts_nowhere():
    docs = [dialogue(DOC, [answers]) for answers in ((GERMAN, ENGLISH), (GERMAN, "```\nx\n```"))]
    assert agg_share_of_turns([doc["fidelity"] for doc in docs]) == pytest.approx(2 / 3)
    assert agg_share_of_turns([doc["off_target_en"] for doc in docs]) == pytest.approx(1 / 3)
    assert [doc["undecided"] for doc in docs] == [0.0, 0.5]
    assert docs[0]["fidelity_t2"] == 0.0
    assert math.isnan(docs[1]["fidelity_t2"])


def test_fidelity_is_that_of_the_answer_and_an_unfinished_trace_is_no_answer():
    found = dialogue(DOC, [(f"<think>{ENGLISH}</think>{GERMAN}", f"<think>{GERMAN}")])
    assert (found["fidelity_t1"], found["undecided"], found["reasoning_cut"]) == (1.0, 0.5, 1.0)


def history(first: str, **doc: Any) -> list[str]:
    request = Instance("generate_until", doc, ("", {}), 0, ("toy", 0, 1))
    turns = [Turn(user="A town?"), Turn(user="Why {{answer_1}}?")]
    told = Dialogue(request, 0, turns, [{"role": "user", "content": "A town?"}], [first])
    return [message["content"] for message in conversation(told.opening, told.turns, told.history)]


def test_the_second_turn_follows_the_first_answer_without_its_reasoning():
    assert history("<think>Oslo? Bergen?</think>Oslo") == ["A town?", "Oslo", "Why Oslo?"]
    assert history("{p}Bergen?{/p}Oslo", reasoning_markers=["{p}", "{/p}"]) == ["A town?", "Oslo", "Why Oslo?"]
    assert history("<think>Oslo? Or") == ["A town?", "", "Why ?"]
    assert history("Oslo") == ["A town?", "Oslo", "Why Oslo?"]


def test_an_edition_without_right_answers_refuses_to_take_them_from_a_file():
    assert source_of_references("en", "question") == "question"
    with pytest.raises(InputError, match="mtbench_ja: references is 'question'; give none"):
        source_of_references("ja", "question")


@given(st.text())
def test_a_rating_is_a_number_or_a_failure(text):
    assert rating(text) == -1.0 or rating(text) >= 0


@pytest.mark.parametrize(
    ("text", "score"),
    [("[[8]] or [[3]]", 8.0), ("[7] then [[6.5]]", 6.5), ("[7]", 7.0), ("$ERROR$", -1.0), ("[[ten]]", -1.0)],
)
def test_the_first_rating_in_double_brackets_counts_else_in_single_ones(text, score):
    assert rating(text) == score


def file_of(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "judgments.jsonl"
    file.write_text(
        "".join(json.dumps({"model": "m", "judge": ["j", "single-v1"], "turn": 1, **row}) + "\n" for row in rows)
    )
    return file


def test_the_latest_judgment_counts_and_ids_are_texts_and_numbers_alike(tmp_path):
    (own,) = read(
        file_of(
            tmp_path,
            {"question_id": 81, "score": 4, "tstamp": 2.0},
            {"question_id": "81", "score": 8, "tstamp": 1.0},
            {"question_id": 82, "score": 6, "tstamp": 1.0},
            {"question_id": 82, "score": 7, "tstamp": 1.0},
        )
    )
    assert own.scores == {("81", 1): 4.0, ("82", 1): 7.0}
    assert (own.duplicates, own.turn(1), own.turn(1, compat=True)) == (2, 5.5, 6.25)


def test_a_failed_judgment_is_named_counted_and_in_no_mean(tmp_path):
    (own,) = read(file_of(tmp_path, {"question_id": 81, "score": 9}, {"question_id": 81, "score": -1, "turn": 2}))
    assert (own.turn(), own.invalid, own.missing(["81"])) == (9.0, [("81", 2)], [("81", 2)])
    assert math.isnan(own.turn(2))


@pytest.mark.parametrize(
    "row", [{"question_id": 81, "score": 11}, {"question_id": 81}, {"question_id": 81, "score": "good"}]
)
def test_a_row_that_is_no_judgment_is_refused(tmp_path, row):
    with pytest.raises(DataError):
        read(file_of(tmp_path, row))


def test_a_cut_off_file_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "judgments.jsonl"
    file.write_text('{"question_id": 81, "sco')
    for reader in (read, turns_of):
        with pytest.raises(DataError, match=r"judgments\.jsonl is no file of"):
            reader(file)


def test_the_penalty_leaves_what_cannot_be_told_and_the_two_questions_that_ask_for_english(tmp_path):
    (own,) = read(file_of(tmp_path, *({"question_id": id, "score": 9} for id in (81, 82, 138))))
    less, changed = penalised(own, {"81": [ENGLISH], "82": ["[1, 2]"], "138": [ENGLISH]})
    assert changed == [("81", 1)]
    assert less.scores == {("81", 1): 3.0, ("82", 1): 9.0, ("138", 1): 9.0}


def test_imported_judgments_are_a_run_whose_mean_is_over_turns_and_names_what_is_missing(tmp_path):
    judged = [
        Judged({"id": "1"}, [9.0, 7.0], 0),
        Judged({"id": "2"}, [8.0, math.nan], 1),
        Judged({"id": "3"}, [4.0, math.nan], 0),
    ]
    results, values = write("mtbench_ja", "../m", judged, {"name": "judge_j"}, {"bench": "mtbench"}, tmp_path)
    assert values == pytest.approx(
        {
            "judge_score": 7.0,
            "judge_score_t1": 7.0,
            "judge_score_t2": 7.0,
            "judge_invalid": 1 / 6,
            "judge_missing": 1 / 6,
        }
    )
    assert results.parent.parent == tmp_path
    frame = read_runs([tmp_path]).frame
    (row,) = [row for row in frame.itertuples() if row.metric == "judge_score"]
    assert (row.value, row.judge, row.filter) == (7.0, "judge_j", "judge_j")


def test_the_mean_of_nothing_is_undefined():
    found = metrics_of([Judged({}, [math.nan, math.nan], 2)])
    assert math.isnan(found["judge_score"].aggregation(found["judge_score"].items))


SINGLE = {"name": "single-v1", "system_prompt": "Rate.", "prompt_template": "Q {question} A {answer} {other}"}
MULTI = {
    "name": "single-v1-multi-turn",
    "system_prompt": "Rate.",
    "prompt_template": "{question_1} | {answer_1} | {question_2} | {answer_2}",
}
MATH = {"name": "single-math-v1", "system_prompt": "Rate.", "prompt_template": "{ref_answer_1} | {answer}"}


def samples_file(folder: Path, *answers: tuple[str, str]) -> Path:
    """A samples file of a run on the bundled questions."""
    home = folder / "my-model"
    home.mkdir()
    file = home / "samples_mtbench_ja_2026-01-01T00-00-00.0.jsonl"
    lines = [
        {
            "doc_id": at,
            "doc": {"id": f"sample-{at}", "category": "math", "turns": ["Q1?", "Q2?"], "reference": ["84", "81"][:at]},
            "resps": [[json.dumps(own)]],
            "filtered_resps": [list(own)],
            "filter": "none",
            "metrics": [],
        }
        for at, own in enumerate(answers)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def judged_by(chat_server: Any, folder: Path, samples: Path, *prompts: dict[str, str]) -> Any:
    pack = folder / "prompts.jsonl"
    pack.write_text("".join(json.dumps(one) + "\n" for one in prompts))
    url = chat_server.url.removesuffix("/chat/completions")
    options = [
        "--prompts",
        str(pack),
        "--base-url",
        url,
        "--model",
        "j",
        "--out",
        str(folder / "out"),
        "--retries",
        "0",
    ]
    return CliRunner().invoke(app, ["judge-turns", str(samples), *options])


def test_a_second_turn_is_never_judged_by_the_prompt_for_a_first_one(tmp_path, chat_server):
    chat_server.reply = lambda messages: "[[8]]"
    samples = samples_file(tmp_path, ("one", "two"), ("three", "four"))
    done = judged_by(chat_server, tmp_path, samples, SINGLE, MATH)
    assert done.exit_code == 0, done.output
    assert "turn 2: 2 missing, no multi-turn prompt" in done.output
    assert "turn 1 8, turn 2 nan" in done.output
    assert "1 turns have no right answer and take the general prompt" in done.output
    shown = sorted(messages[1]["content"] for messages in chat_server.asked)
    assert shown == ["84 | three", "Q Q1? A one {other}"]


def test_a_judge_sees_whole_answers_without_reasoning_and_no_slot_in_them_is_filled(tmp_path, chat_server):
    chat_server.reply = lambda messages: "[[8]]"
    long = "{answer_2} " + "x" * 50_000
    samples = samples_file(tmp_path, (f"<think>no</think>{long}", "two"))
    assert judged_by(chat_server, tmp_path, samples, SINGLE, MULTI).exit_code == 0
    shown = sorted((messages[1]["content"] for messages in chat_server.asked), key=len)
    assert shown == [f"Q Q1? A {long} {{other}}", f"Q1? | {long} | Q2? | two"]


def test_a_judgment_that_fails_is_invalid_and_named_and_the_others_count(tmp_path, chat_server):
    too_long = json.dumps({"error": {"code": "context_length_exceeded", "message": "too long"}}).encode()
    chat_server.reply = lambda messages: (400, too_long) if "two" in messages[1]["content"] else "[[6]] fine"
    samples = samples_file(tmp_path, ("one", "two"), ("three", "$ERROR$"))
    done = judged_by(chat_server, tmp_path, samples, SINGLE, MULTI, MATH)
    assert done.exit_code == 0, done.output
    assert "mean 6, n 3; 1 invalid (question sample-0 turn 2)" in done.output


def test_a_judge_that_stops_answering_loses_nothing_and_is_not_asked_again(tmp_path, chat_server):
    chat_server.reply = lambda messages: (503, b"") if "four" in messages[1]["content"] else "[[6]]"
    samples = samples_file(tmp_path, ("one", "two"), ("three", "four"))
    assert judged_by(chat_server, tmp_path, samples, SINGLE, MULTI, MATH).exit_code != 0
    kept = (tmp_path / "out" / "judgments_mtbench_ja.jsonl").read_text().count("\n")
    assert kept == 3
    chat_server.asked.clear()
    chat_server.reply = lambda messages: "[[7]]"
    done = judged_by(chat_server, tmp_path, samples, SINGLE, MULTI, MATH)
    assert (done.exit_code, len(chat_server.asked)) == (0, 1)
    assert "mean 6.25, n 4" in done.output
