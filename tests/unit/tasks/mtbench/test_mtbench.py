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
