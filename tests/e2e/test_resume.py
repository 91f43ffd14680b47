"""``harness-ext run --resume``: a killed run goes on with the tasks that had not ended, and says what it took."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

TOY_TASKS = Path(__file__).parent / "toy_tasks"
FIRST, SECOND = ("The sky is", "Grass is", "Snow is"), ("Which is a fruit?", "Which is a colour?", "Which can fly?")


MAIN = ("-c", "from harness_ext.cli import main; main()")
KEY = {"OPENAI_API_KEY": "none"}


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    return python(*MAIN, *arguments, **KEY)


def test_a_killed_run_asks_for_unfinished_tasks_only_and_its_group_is_whole(chat_server: Any, tmp_path: Path) -> None:
    running: list[subprocess.Popen[bytes]] = []

    def reply(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"].startswith(SECOND[1]) and running[0].poll() is None:
            running[0].send_signal(signal.SIGKILL)
            running[0].wait()
        return "A"

    chat_server.reply = reply
    server = f"base_url={chat_server.url},model=chat,num_concurrent=1,max_retries=1"
    command = (
        *("run", "--model", "local-chat-completions", "--model_args", server, "--apply_chat_template", "--log_samples"),
        *("--tasks", "toy_choices", "--include_path", TOY_TASKS, "--task_twin", "letters"),
        *("--resume", tmp_path / "answers", "--output_path", tmp_path / "runs", "--prices", "3,15"),
    )
    quiet = os.environ | KEY | {"HF_HUB_OFFLINE": "1"}
    killed = [sys.executable, *MAIN, *map(str, command)]
    running.append(subprocess.Popen(killed, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert running[0].wait(timeout=300) == -signal.SIGKILL
    before = len(chat_server.asked)

    done = called(*command)
    assert done.returncode == 0, done.stderr
    assert "toy_completion_letters: 3 of 3 answers are kept from before" in done.stderr
    again = [messages[-1]["content"].splitlines()[0] for messages in chat_server.asked[before:]]
    assert sorted(set(again)) == sorted(SECOND)

    (file,) = tmp_path.glob("runs/*/results_*.json")
    content = json.loads(file.read_text())
    values = [
        content["results"][task]["acc_letters,none"] for task in ("toy_completion_letters", "toy_letters_letters")
    ]
    assert values == pytest.approx([2 / 3, 2 / 3])
    assert content["results"]["toy_choices_letters"]["acc_letters,none"] == pytest.approx(2 / 3)
    # the server of this test reports no tokens, so characters are counted and nothing has a price
    used = content["usage"]
    assert (used["requests"], used["output"], used["unit"]) == (3, 3, "characters")
    assert "cost" not in used

    shown = called("table", tmp_path / "runs", "--format", "md").stdout
    assert "local-chat-completions" in shown or "chat" in shown
    assert "3 requests in" in shown


def test_a_model_in_this_process_goes_on_too_and_its_tokens_have_a_price(tmp_path: Path, store_trio: Any) -> None:
    model = store_trio(tmp_path / "trio") / "aligned"
    command = (
        *("run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu"),
        *("--tasks", "toy_choices", "--include_path", TOY_TASKS, "--resume", tmp_path / "answers", "--log_samples"),
        *("--prices", "1000000,2000000"),
    )
    results = []
    for name in ("one", "two"):
        done = called(*command, "--output_path", tmp_path / name)
        assert done.returncode == 0, done.stderr
        (file,) = tmp_path.glob(f"{name}/*/results_*.json")
        results.append(json.loads(file.read_text()))
    first, second = results
    assert first["results"] == second["results"]
    samples = [
        json.loads(line) for file in tmp_path.glob("one/*/samples_*.jsonl") for line in file.read_text().splitlines()
    ]
    texts = [text["arg_0"] + text["arg_1"] for sample in samples for text in sample["arguments"].values()]
    # the tokenizer has a token for each byte
    assert first["usage"]["input"] == sum(len(text.encode()) for text in texts)
    assert first["usage"]["counted_by"] == "tokenizer"
    assert first["usage"]["cost"] == pytest.approx(first["usage"]["input"])
    assert second["usage"]["requests"] == 0

    table = called("table", tmp_path / "one", tmp_path / "two", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert {row["setting"] for row in rows if row["origin"] == "measured"} == {""}  # usage makes no other run of it


@pytest.mark.parametrize("prices", ["3", "nan,1"])
def test_prices_that_are_none_are_refused(prices: str) -> None:
    done = called("run", "--model", "dummy", "--tasks", "mbtibench", f"--prices={prices}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: --prices {prices}: give the prices of a million tokens")
