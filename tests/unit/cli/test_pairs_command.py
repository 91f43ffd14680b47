"""``harness-ext pairs`` as a user meets it, with lm-eval's own task objects."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from harness_ext.cli import main
from harness_ext.methods.training.rows import read_pairs

Run = Callable[..., tuple[int, str, str]]

DOCS = """
from datasets import Dataset

def load(**_):
    def rows(*numbers):
        words = ["yes", "no"]
        return Dataset.from_list(
            [{"question": f"Is {n} even?", "label": n % 2, "words": words, "refs": words[n % 2 :]} for n in numbers]
        )
    return {"learn": rows(1, 2, 3, 4, 5), "dev": rows(6), "exam": rows(4, 7)}
"""
CHOICE = """
task: parity
custom_dataset: !function parity.load
output_type: multiple_choice
training_split: learn
validation_split: dev
test_split: exam
description: "Answer with a word.\\n\\n"
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: words
doc_to_target: label
metric_list: [{metric: acc}]
"""
FREE = """
task: parity_free
custom_dataset: !function parity.load
output_type: generate_until
training_split: learn
validation_split: dev
doc_to_text: "{{question}}"
doc_to_target: REFERENCE
generation_kwargs: {until: ["\\n"]}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "tasks"
    place.mkdir()
    (place / "parity.py").write_text(DOCS)
    (place / "parity.yaml").write_text(CHOICE)
    (place / "parity_free.yaml").write_text(FREE.replace("REFERENCE", "refs"))
    (place / "parity_numbers.yaml").write_text(
        FREE.replace("REFERENCE", "label").replace("parity_free", "parity_numbers")
    )
    return place


@pytest.fixture(autouse=True)
def only_the_named_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the thousands of tasks of lm-eval takes longer than all else here; the end-to-end test has them."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness-ext", "pairs", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return command


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_right_choice_answers_the_tasks_own_prompt_and_evaluated_prompts_are_left_out(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.jsonl"
    code, said, errors = run("parity", "--include-path", folder, "--out", out)
    assert code == 0, errors
    assert rows(out)[0] == {
        "prompt": "Answer with a word.\n\nQ: Is 1 even?\nA:",
        "answer": "no",
        "id": 0,
        "task": "parity",
    }
    assert [(row["id"], row["answer"]) for row in rows(out)] == [(0, "no"), (1, "yes"), (2, "no"), (4, "no")]
    assert "left out: 1 " in errors  # "Is 4 even?" is in the exam
    assert f"4 rows of parity, split train, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}" in said
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["pairs.jsonl"]
    assert read_pairs(out)[0].answer == "no"  # what trained methods read


def test_a_generated_answer_is_the_first_right_one_and_a_limit_counts_docs(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.jsonl"
    assert run("parity_free", "--include-path", folder, "--out", out, "--limit", 2)[0] == 0
    assert [(row["prompt"], row["answer"]) for row in rows(out)] == [("Is 1 even?", "no"), ("Is 2 even?", "yes")]


def test_several_tasks_give_one_file_and_none_has_a_prompt_that_another_is_evaluated_on(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    evaluated = FREE.replace("REFERENCE", "refs").replace("dev", "exam").replace("parity_free", "parity_exam")
    (folder / "parity_exam.yaml").write_text(evaluated)
    out = tmp_path / "pairs.jsonl"
    code, said, errors = run("parity", "parity_exam", "--include-path", folder, "--out", out)
    assert code == 0, errors
    assert [(row["task"], row["id"]) for row in rows(out)] == [
        *(("parity", number) for number in (0, 1, 2, 4)),
        *(("parity_exam", number) for number in (0, 1, 2, 4)),
    ]
    assert "8 rows of parity parity_exam, split train" in said
    code, _, errors = run("parity", "none", "--include-path", folder, "--out", tmp_path / "other.jsonl")
    assert (code, "tasks not found: none" in errors) == (2, True), errors


@pytest.mark.parametrize(
    ("task", "split", "message"),
    [
        ("parity", "exam", "parity is evaluated on its split exam. Give --split dev or learn, or --split exam --allow"),
        ("parity", "test", "parity is evaluated on its split exam"),
        ("parity_free", "validation", "parity_free is evaluated on its split dev"),
        ("parity", "other", "parity has no split other"),
        ("parity_numbers", "train", "the target of a doc is 1, which is no text"),
        ("none", "train", "tasks not found: none"),
    ],
)
def test_what_is_evaluated_or_not_there_is_refused_with_the_way_out(
    run: Run, folder: Path, tmp_path: Path, task: str, split: str, message: str
) -> None:
    code, _, errors = run(task, "--include-path", folder, "--split", split, "--out", tmp_path / "pairs.jsonl")
    assert (code, message in errors) == (2, True), errors
    assert not (tmp_path / "pairs.jsonl").exists()


def test_the_evaluated_split_is_written_where_that_is_asked_for(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    arguments = ("parity", "--include-path", folder, "--out", out, "--allow-evaluated")
    assert run(*arguments, "--split", "test")[0] == 0
    assert [row["answer"] for row in rows(out)] == ["yes", "no"]
    assert run(*arguments)[0] == 0
    assert len(rows(out)) == 5


def test_sample_data_is_chosen_as_in_a_run_and_comes_with_its_ids(run: Run, checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    sample = ("--metadata", '{"data": "sample"}', "--include-path", checkout / "tasks")
    code, _, errors = run("eibench_tweet_irony", "--split", "dev", *sample, "--out", out)
    assert code == 0, errors
    assert {(row["id"][:11], row["task"]) for row in rows(out)} == {("sample_dev_", "eibench_tweet_irony")}
    assert all(row["prompt"].endswith("Output:") for row in rows(out))
    code, _, errors = run("mbtibench_zero_shot_ei", *sample, "--out", out)
    assert (code, "It has no other: give --split test --allow-evaluated" in errors) == (2, True), errors


@pytest.mark.parametrize("metadata", ["{", "[1]"])
def test_metadata_that_is_no_object_and_a_folder_that_is_not_there_are_refused(
    run: Run, folder: Path, tmp_path: Path, metadata: str
) -> None:
    code, _, errors = run("parity", "--include-path", folder, "--metadata", metadata, "--out", tmp_path / "pairs.jsonl")
    assert (code, "--metadata is no JSON" in errors) == (2, True)
    code, _, errors = run("parity", "--include-path", folder, "--out", tmp_path / "none/pairs.jsonl")
    assert (code, "cannot be written (No such file or directory)" in errors) == (2, True)
