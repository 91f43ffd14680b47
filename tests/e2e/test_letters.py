"""``harness-ext run --task_twin letters``: likelihood tasks on a chat server, and their place in tables."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

TOY_TASKS = Path(__file__).parent / "toy_tasks"
LISTED = "The sky is\nA. blue\nB. green\nAnswer with the letter of one option.\nAnswer:"
SHOT = "Which is a fruit?\nA. plum\nB. brick\nAnswer with the letter of one option.\nAnswer:"


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return python("-c", "from harness_ext.cli import main; main()", *arguments, OPENAI_API_KEY="none")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return call("run", *arguments, "--include_path", TOY_TASKS)


def test_a_chat_server_is_asked_for_letters_and_no_column_is_shared_with_likelihoods(
    chat_server: Any, tmp_path: Path
) -> None:
    answers = {
        "The sky is": "A",  # right
        "Grass is": "The answer is (B).",  # right
        "Snow is": "I would rather not say.",
        "Which is a fruit?": "<think>B? No.</think>A",  # right, behind its reasoning
        "Which is a colour?": "A",  # wrong
        "Which can fly?": "A",  # right
    }

    def reply(messages: list[dict[str, str]]) -> str:
        return answers[messages[-1]["content"].splitlines()[0]]

    chat_server.reply = reply
    server = f"base_url={chat_server.url},model=chat,num_concurrent=1,max_retries=1"
    asked = ("--tasks", "toy_choices", "--log_samples")
    done = run(
        *("--model", "local-chat-completions", "--model_args", server, "--apply_chat_template"), *asked,
        *("--task_twin", "letters", "--output_path", tmp_path / "letters"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    prompts = [[message["content"] for message in messages] for messages in chat_server.asked]
    assert [LISTED] in prompts
    colour = next(messages for messages in prompts if messages[-1].startswith("Which is a colour?"))
    assert colour[:-1] == [SHOT, "A"]  # options that are letters already are not listed again
    (file,) = tmp_path.glob("letters/*/results_*.json")
    results = json.loads(file.read_text())["results"]
    expected = {"toy_completion_letters": (2 / 3, 1 / 3), "toy_letters_letters": (2 / 3, 0.0)}
    for task, (right, failed) in expected.items():
        assert results[task]["acc_letters,none"] == pytest.approx(right)
        assert results[task]["parse_failure,none"] == pytest.approx(failed)
    assert results["toy_choices_letters"]["acc_letters,none"] == pytest.approx(2 / 3)

    assert run("--model", "dummy", *asked, "--output_path", tmp_path / "likelihoods").returncode == 0
    rows = list(csv.DictReader(io.StringIO(call("table", tmp_path, "--format", "csv").stdout)))
    benches = {}
    for row in rows:
        benches.setdefault(row["metric"], set()).add(row["bench"])
    assert benches["acc"] == {"toy_choices"}
    assert benches["acc_letters"] == {"toy_choices_letters"}
    letters = {row["task"]: row for row in rows if row["metric"] == "acc_letters"}
    assert letters.keys() == {"toy_choices_letters", *expected}
    assert all(float(row["low"]) < float(row["value"]) < float(row["high"]) for row in letters.values())


def test_tasks_without_choices_are_refused() -> None:
    done = run("--model", "dummy", "--tasks", "toy_capitals", "--task_twin", "letters")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --task_twin letters: none of the tasks is a multiple-choice")
