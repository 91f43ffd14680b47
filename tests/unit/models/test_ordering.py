"""Servers and engines are asked for prompts that begin alike one after the other."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from harness_ext import _autoload
from harness_ext.models.runs.ordering import ByBeginning

PROMPTS = ["B: 1", "A: a long question", "B: another long question", "A: 2", "C"]


def asked(monkeypatch: pytest.MonkeyPatch, kind: str, requests: list[tuple[Any, ...]]) -> tuple[list[Any], list[Any]]:
    """What a completion server is asked, in order, and the answers to the requests."""
    pytest.importorskip("aiohttp")
    from lm_eval.api.instance import Instance
    from lm_eval.models import api_models, openai_completions

    monkeypatch.setattr(api_models, "Collator", ByBeginning)
    lm = openai_completions.LocalCompletionsAPI(
        base_url="http://127.0.0.1:1/v1/completions", model="m", tokenizer_backend=None, tokenized_requests=False
    )
    seen: list[Any] = []

    def model_call(messages: Any, **_: Any) -> dict[str, Any]:
        (prompt,) = messages
        seen.append(prompt)
        return {"choices": [{"text": f"on {prompt}", "index": 0}]}

    monkeypatch.setattr(lm, "model_call", model_call)
    return seen, getattr(lm, kind)([Instance(kind, {}, arguments, 0) for arguments in requests], disable_tqdm=True)


def test_a_server_is_asked_by_beginnings_and_answers_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"until": ["\n"], "max_gen_toks": 4}
    seen, answers = asked(monkeypatch, "generate_until", [(prompt, options) for prompt in PROMPTS])
    assert seen == sorted(PROMPTS)
    assert answers == [f"on {prompt}" for prompt in PROMPTS]


def test_token_ids_are_ordered_as_numbers() -> None:
    requests = [(("", ""), [9, 1], [3]), (("", ""), [10], [2]), (("", ""), [9], [1, 4]), (("", ""), [9, 1, 3], [5])]

    def by_length(request: Any) -> tuple[int, tuple[int, ...]]:  # as vLLM's backend in lm-eval
        return -len(request[1] + request[2]), tuple(request[1] + request[2])

    order = ByBeginning(requests, sort_fn=by_length)
    (batch,) = order.get_batched(n=0)
    assert [context + continuation for _, context, continuation in batch] == [
        [9, 1, 3],
        [9, 1, 3, 5],
        [9, 1, 4],
        [10, 2],
    ]
    assert order.get_original(batch) == requests


@pytest.mark.parametrize("name", ["api_models", "vllm_causallms", "sglang_causallms"])
def test_the_backends_that_pad_nothing_are_adapted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"lm_eval.models.{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    _autoload._adapt(module)
    assert vars(module)["Collator"] is ByBeginning
