"""Step-by-step and PsyCoT as a chat server sees them, against the authors' conversations and call counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

import harness_ext.tasks.mbtibench
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS

pytestmark = pytest.mark.usefixtures("mirror")

METHODS = ("step-by-step", "psycot")


@pytest.fixture(scope="module")
def hashes(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "mbtibench" / "prompt_hashes.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture
def run(chat_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run one leaf on some records over lm-eval's own chat backend; keywords are lm-eval's metadata."""
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path))

    def run(leaf: str, records: list[int], **metadata: Any) -> dict[str, Any]:
        folder = str(Path(harness_ext.tasks.mbtibench.__file__).parent)
        manager = TaskManager(include_path=folder, include_defaults=False, metadata={"system_role": "chat", **metadata})
        report: dict[str, Any] = simple_evaluate(
            model="local-chat-completions",
            model_args={"model": "scripted", "base_url": chat_server.url},
            tasks=[leaf],
            task_manager=manager,
            samples={leaf: [record - 1 for record in records]},
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            bootstrap_iters=0,
        )
        return report

    return run


def leaf(dimension: str, kind: str, method: str) -> str:
    hard = "hard_" if kind == "hard" else ""
    return f"mbtibench_{hard}{method.replace('-', '_')}_{DIMENSIONS[dimension].table.lower()}"


def call_number(messages: list[dict[str, str]]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def test_the_last_call_is_the_authors(
    run: Callable[..., dict[str, Any]], chat_server: Any, hashes: dict[str, Any], golden: Path
) -> None:
    chat_server.reply = lambda messages: f"CHOICE: {'ABC'[call_number(messages) % 3]}"
    asked = [key for key in hashes["multi_turn"] if "|" in key]
    assert len(asked) == 3
    for key in asked:
        record, dimension, kind, method = key.split("|")
        chat_server.asked.clear()
        run(
            leaf(dimension, kind, method), [int(record)], prompt_pack=str(golden / "mbtibench/prompt_pack_authors.json")
        )
        last = chat_server.asked[-1]
        wanted = hashes["multi_turn"][key]
        assert len(chat_server.asked) == wanted["n_calls"]
        assert len(last) == wanted["n_messages_last_call"]
        text = json.dumps(last, ensure_ascii=False, sort_keys=True)
        assert hashlib.sha256(text.encode()).hexdigest() == wanted["last_call_sha256"], key


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_record_takes_as_many_calls_as_the_authors_made_and_only_the_last_answer_is_parsed(
    run: Callable[..., dict[str, Any]],
    chat_server: Any,
    hashes: dict[str, Any],
    dimension: str,
    method: str,
    kind: str,
) -> None:
    calls = hashes["api_calls"][method][dimension]

    def reply(messages: list[dict[str, str]]) -> str:
        number = call_number(messages)
        earlier, last = ("[[9]]", "[[2]]") if kind == "soft" else ("CHOICE: B", "CHOICE: A")
        return last if number == calls - 1 else f"{earlier} in answer {number}"

    chat_server.reply = reply
    name = leaf(dimension, kind, method)
    (sample,) = run(name, [7])["samples"][name]
    assert len(chat_server.asked) == calls
    assert len(chat_server.asked[-1]) + 1 == hashes["n_messages"][method][dimension]
    answers = [reply(messages) for messages in chat_server.asked]
    for number, messages in enumerate(chat_server.asked):
        assert [one["content"] for one in messages if one["role"] == "assistant"] == answers[:number]
        assert [one["role"] for one in messages][-1] == "user"
    assert json.loads(sample["resps"][0][0]) == answers
    if kind == "soft":
        assert sample["s_rmse"][1] == 0.125  # (2 - 1) / 8
    else:
        assert sample["acc"] == (sample["doc"]["hard"], DIMENSIONS[dimension].first)
    assert sample["parse_failure"] == 0.0


def test_a_score_in_the_reasoning_is_none(run: Callable[..., dict[str, Any]], chat_server: Any) -> None:
    chat_server.reply = lambda messages: "[[9]], clearly" if call_number(messages) == 0 else "I would rather not."
    name = "mbtibench_step_by_step_tf"
    (sample,) = run(name, [1])["samples"][name]
    assert sample["parse_failure"] == 1.0
    assert sample["s_rmse"][1] == 0.5
