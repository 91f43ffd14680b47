"""EQ-Bench v2 on the released questions: the stored answers of gpt-4-0613, constants and an oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch
from harness_ext.errors import DataError
from harness_ext.scoring.eqbench import distance, score_answer, sections
from harness_ext.tasks.eqbench_v2 import docs

STORED = "gpt-4-0613_eqbench_v2_results.json"


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "eibench/related.json").read_text(encoding="utf-8"))["eqbench"]
    return content


@pytest.fixture
def questions(mirror: Path) -> list[docs.Question]:
    return docs.read("en")


def lines(question: docs.Question, value: float | None = None) -> str:
    return "\n".join(f"{name}: {score if value is None else value:g}" for name, score in question.reference.items())


def test_distances(expected: dict[str, Any]) -> None:
    for difference, value in expected["distance"].items():
        assert distance(float(difference)) == pytest.approx(value, abs=1e-6)


def test_one_answer(expected: dict[str, Any], questions: list[docs.Question]) -> None:
    case = expected["question_1"]
    assert questions[0].reference == case["reference"]
    assert score_answer(case["answer"], case["reference"]).score == pytest.approx(case["score"], abs=1e-4)


def test_stored_answers_of_gpt_4(
    expected: dict[str, Any], questions: list[docs.Question], replay_scores: Any, mirror: Path
) -> None:
    rows = {row["id"]: row["response"] for row in docs.stored_answers(fetch("eqbench", STORED))}
    case = expected["gpt_4_0613"]
    for position, name in enumerate(("first_pass", "last_section")):
        for mode in ("strict", "compat"):
            scored = [score_answer(sections(rows[q.id])[position], q.reference, mode) for q in questions]
            assert sum(score for score, _ in scored) / len(scored) == pytest.approx(case[name]["eqbench"], abs=1e-4)
            assert all(parsed for _, parsed in scored)
    values = replay_scores({"eqbench_v2_en": rows})["eqbench_v2_en"]
    for metric in ("eqbench", "eqbench_first", "eqbench_compat"):
        assert values[metric] == pytest.approx(case["first_pass"]["eqbench"], abs=1e-4)
    assert values["eqbench"] == pytest.approx(case["authors_benchmark_score"], abs=5e-3)
    assert values["eqbench_revised"] == pytest.approx(case["last_section"]["eqbench"], abs=1e-4)
    assert values["percent_parseable"] == values["percent_parseable_compat"] == 100
    assert values["parse_failure"] == 0


@pytest.mark.parametrize("leaf", ["eqbench_v2_en", "eqbench_v2_short_en"])
def test_constant_and_oracle(
    expected: dict[str, Any], questions: list[docs.Question], replay_scores: Any, leaf: str
) -> None:
    for name, value in (("constant_5", 5.0), ("oracle", None)):
        values = replay_scores({leaf: {q.id: lines(q, value) for q in questions}})[leaf]
        assert values["eqbench"] == values["eqbench_compat"] == pytest.approx(expected[name]["eqbench"], abs=1e-4)
        assert values["percent_parseable"] == expected[name]["percent_parseable"]


def test_the_questions_are_split_into_dialogue_and_emotions(questions: list[docs.Question]) -> None:
    assert len(questions) == 171
    assert [q.id for q in questions] == [str(i) for i in range(1, 172)]
    for question in questions:
        dialogue, _, asked = question.situation.rpartition("\n\n")
        assert dialogue in question.prompt
        assert asked in question.prompt
        assert asked.endswith("...")
        assert "First pass" not in question.situation
        assert len(question.reference) == 4
        assert all(0 <= score <= 10 for score in question.reference.values())


@pytest.mark.usefixtures("no_downloads")
def test_the_german_questions_fail_with_their_licence_and_the_ways_to_get_them() -> None:
    with pytest.raises(DataError, match=r"(?s)eq_bench_v2_questions_171_de.*Licence: .*Three ways to provide it"):
        docs.load("de")
