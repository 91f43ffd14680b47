"""MT-Bench: stored answers in three languages through lm-eval, the questions' files, and stored judgments."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch
from harness_ext.scoring.fidelity import fidelity_of
from harness_ext.tasks.mtbench.judgments import penalised, rating, read
from harness_ext.tasks.mtbench.questions import EDITIONS, NEED_REFERENCE, questions
from harness_ext.tasks.mtbench.replay import answers, turns_of

STORED = {
    "zh gpt-3.5-turbo": ("mtbench_lb_zh", "zh_mt_bench/model_answer/gpt-3.5-turbo.jsonl"),
    "ja gpt-3.5-turbo": ("mtbench_lb_ja", "ja_mt_bench/model_answer/gpt-3.5-turbo.jsonl"),
    "de lightblue__suzume-llama-3-8B-multilingual": (
        "mtbench_lb_de",
        "de_mt_bench/model_answer/lightblue__suzume-llama-3-8B-multilingual.jsonl",
    ),
}


@pytest.fixture(scope="module")
def known(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "multilingual/fidelity.json").read_bytes())
    return content


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("lid", ["py3langid", "fasttext-ftz"])
def test_stored_answers_are_in_their_language_as_often_as_recorded(name, lid, known, replay_dialogues):
    if lid == "fasttext-ftz":
        pytest.importorskip("fasttext")
    task, file = STORED[name]
    stored = answers(task, fetch("mtbench_lb", file))
    assert (len(stored.rows), stored.missing) == (160, [])
    found = replay_dialogues(stored.rows, lid=lid)[task]
    own = known[name]["lid py3langid default" if lid == "py3langid" else f"lid {lid}"]
    assert found["undecided"] * 160 == pytest.approx(own["undecided"], abs=1)
    assert found["fidelity"] * own["decided"] == pytest.approx(own["match"], abs=1)
    if lid == "py3langid":
        for turn in ("t1", "t2"):
            decided = 80 - own[f"{turn}_undecided"]
            assert found[f"fidelity_{turn}"] * decided == pytest.approx(own[f"{turn}_match"], abs=1)
        english = own["t1_english"] + own["t2_english"]
        assert found["off_target_en"] * own["decided"] == pytest.approx(english, abs=1)


@pytest.mark.usefixtures("mirror")
def test_korean_reference_answers_are_in_korean_as_often_as_recorded(known):
    turns = [text for own in turns_of(fetch("mtbench_ko", "reference_answer_ko/gpt-4.jsonl")).values() for text in own]
    found = [fidelity_of(text, "ko", "py3langid") for text in turns]
    own = known["ko reference_answer_ko gpt-4 (90 questions x 2)"]["lid py3langid default"]
    assert len(turns) == 180
    assert sum(one.undecided for one in found) == pytest.approx(own["undecided"], abs=1)
    assert sum(one.fidelity == 1 for one in found) == pytest.approx(own["match"], abs=1)


@pytest.mark.usefixtures("mirror")
def test_questions_have_two_turns_and_no_prefix_and_the_judge_sees_a_right_answer_where_there_is_one():
    lacking = defaultdict(int)
    for edition in EDITIONS:
        asked = questions(edition)
        assert len(asked) == (50 if edition == "lb_ru" else 80)
        assert all(len(question.turns) == 2 for question in asked)
        assert not any(question.category.startswith("zh_") for question in asked)
        lacking[edition] = sum(not q.reference for q in asked if q.category in NEED_REFERENCE)
    assert (lacking["en"], lacking["ko"], lacking["zh"], lacking["ja"]) == (0, 0, 8, 30)


@pytest.mark.usefixtures("mirror")
def test_the_two_files_of_right_answers_contradict_each_other_and_a_switch_chooses():
    first, second = (
        next(q for q in questions("en", source) if q.id == "104").reference[0] for source in ("gpt-4", "question")
    )
    assert "only one brother" in first
    assert "no brother" in second


@pytest.fixture(scope="module")
def judged(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "multilingual/judgments_ko.json").read_bytes())
    return content


@pytest.mark.usefixtures("mirror")
def test_stored_judgments_give_the_recorded_means(judged):
    file = fetch("mtbench_ko", "model_judgment/gpt-4_single_final.jsonl")
    (own,) = read(file)
    assert (own.model, own.judge, len(own.scores)) == ("gpt-4_ko", "gpt-4", judged["rows"])
    assert (own.turn(), own.turn(1), own.turn(2)) == pytest.approx((judged["mean"], judged["turn1"], judged["turn2"]))
    assert (len(own.invalid), own.duplicates) == (judged["invalid"], judged["duplicates"])
    assert own.turn(compat=True) == own.turn()
    texts = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert sum(rating(row["judgment"]) == row["score"] for row in texts) == judged["regex_matches_score_field"]


@pytest.mark.usefixtures("mirror")
def test_the_penalty_changes_the_recorded_score_and_mean(judged):
    (own,) = read(fetch("mtbench_ko", "model_judgment/gpt-4_single_final.jsonl"))
    answered = turns_of(fetch("mtbench_ko", "reference_answer_ko/gpt-4.jsonl"))
    less, changed = penalised(own, answered)
    assert [[int(id), turn] for id, turn in changed] == judged["penalised"]["which"]
    assert less.turn() == pytest.approx(judged["penalised"]["mean"], abs=1e-9)
