"""Stored answers through lm-eval's real command line."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

TOY_TASKS = Path(__file__).parent / "toy_tasks"
EXAMPLE = Path(__file__).parents[2] / "examples" / "replay"
TASKS = "toy_capitals,toy_capitals_without_ids,toy_capitals_twice,toy_completion,toy_perplexity,toy_picture"

ANSWERS: list[dict[str, Any]] = [
    {"task": "toy_capitals", "id": "fr", "response": "paris"},
    {"task": "toy_capitals", "id": "it", "response": "Rome", "usage": {"total_tokens": 12}},
    {"task": "toy_capitals", "id": "jp", "response": "Kyoto"},
    {"task": "toy_capitals", "id": "pe", "response": "Lima"},
    *({"task": "toy_capitals_without_ids", "doc_id": n, "response": "Paris"} for n in range(4)),
    {"task": "toy_capitals_twice", "id": "fr", "response": ["Paris", "Paris"]},
    {"task": "toy_capitals_twice", "id": "it", "response": ["Rome", "Milan"]},
    {"task": "toy_capitals_twice", "id": "jp", "repeat": 1, "response": "Tokyo"},
    {"task": "toy_capitals_twice", "id": "jp", "repeat": 0, "response": "Kyoto"},
    {"task": "toy_capitals_twice", "id": "pe", "response": ["Cusco", "Lima"]},
    {"task": "toy_completion", "id": 101, "loglikelihoods": [-0.1, -2.0]},
    {"task": "toy_completion", "id": 102, "loglikelihoods": [-3.0, -2.0], "is_greedy": [False, True]},
    {"task": "toy_completion", "id": "103", "loglikelihoods": [-1.0, -1.0]},
    *({"task": "toy_perplexity", "doc_id": n, "loglikelihoods": [-8.0]} for n in range(3)),
    {"task": "toy_picture", "id": "red", "response": "red"},
    {"task": "toy_picture", "id": "green", "response": "red"},
    {"task": "toy_picture", "id": "blue", "response": "blue"},
]


def run(
    *arguments: str, program: tuple[str, ...] = ("-m", "lm_eval"), **environment: str
) -> subprocess.CompletedProcess[str]:
    return python(*program, "run", "--include_path", str(TOY_TASKS), "--model", "replay", *arguments, **environment)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    (file,) = folder.glob("*/results_*.json")
    content: dict[str, dict[str, Any]] = json.loads(file.read_text())["results"]
    return content


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ANSWERS))
    return file


@pytest.fixture(scope="module")
def first_run(answers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("first")
    done = run("--model_args", f"path={answers}", "--tasks", TASKS, "--output_path", str(output), "--log_samples")
    assert done.returncode == 0, done.stderr
    return output


def test_stored_answers_of_every_request_type_are_scored(first_run: Path) -> None:
    found = results(first_run)
    assert found["toy_capitals"]["exact_match,none"] == 0.75
    assert found["toy_capitals_without_ids"]["exact_match,none"] == 0.25
    assert found["toy_capitals_twice"]["exact_match,first"] == 0.5
    assert found["toy_capitals_twice"]["exact_match,last"] == 0.75
    assert found["toy_completion"]["acc,none"] == 1.0
    assert found["toy_completion"]["rmse,none"] == pytest.approx(0.105855, abs=1e-6)  # by hand from the rows above
    assert found["toy_perplexity"]["byte_perplexity,none"] == pytest.approx(
        math.exp(3 * 8 / 25)
    )  # three texts of 25 bytes
    assert found["toy_picture"]["exact_match,none"] == pytest.approx(2 / 3)


def test_the_samples_of_a_run_give_the_same_scores_again(first_run: Path, tmp_path: Path) -> None:
    (samples,) = first_run.iterdir()
    done = run("--model_args", f"path={samples},model=earlier", "--tasks", TASKS, "--output_path", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "another prompt" not in done.stderr
    assert results(tmp_path) == results(first_run)


def test_a_missing_answer_stops_the_run_before_any_result(answers: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("\n".join(answers.read_text().splitlines()[1:]))
    done = run("--model_args", f"path={file}", "--tasks", "toy_capitals", "--output_path", str(tmp_path / "out"))
    assert done.returncode != 0
    assert "toy_capitals: 1 docs ('fr')" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_chat_template_is_accepted_and_only_answered_docs_can_be_chosen(answers: Path, tmp_path: Path) -> None:
    choice = ["--apply_chat_template", "--system_instruction", "Be brief.", "--samples", '{"toy_capitals": [1, 2]}']
    done = run("--model_args", f"path={answers}", "--tasks", "toy_capitals", "--output_path", str(tmp_path), *choice)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path)["toy_capitals"]["exact_match,none"] == 0.5
    assert "replay: 2 stored answers are not asked for" in done.stderr


def test_the_example_of_the_documentation_runs_as_described(tmp_path: Path) -> None:
    model = f"path={EXAMPLE / 'answers.jsonl'},model=made-up"
    sample = ["--metadata", '{"data": "sample"}', "--output_path", str(tmp_path)]
    done = run("--model_args", model, "--tasks", "mbtibench_zero_shot_ei", *sample)
    assert done.returncode == 0, done.stderr
    assert [folder.name for folder in tmp_path.iterdir()] == ["made-up"]
    assert results(tmp_path)["mbtibench_zero_shot_ei"]["parse_failure,none"] == pytest.approx(1 / 18)
