"""The head is asked for the number of rows that is fastest, and nobody sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance

from harness_ext.models.prefix import head as prefix_head
from harness_ext.models.prefix.head import Head, fastest, head_of
from harness_ext.models.prefix.lm import PrefixLM


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=16))
def test_the_chosen_number_has_room_for_all_rows_and_is_never_slower(seconds: list[float]) -> None:
    chosen = fastest(seconds)
    assert len(chosen) == len(seconds) + 1
    for wanted, rows in enumerate(chosen[1:], start=1):
        assert wanted <= rows <= len(seconds)
        assert seconds[rows - 1] <= seconds[wanted - 1]
        assert min(seconds[wanted - 1 :]) >= 0.9 * seconds[rows - 1]  # what is left to gain is noise


def test_two_and_three_rows_are_never_asked_for_where_four_are_faster() -> None:
    assert fastest([58, 145, 217, 115, 130, 131, 132, 127]) == (0, 1, 4, 4, 4, 5, 6, 7, 8)


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 2, 5), (3, 1, 5), (2, 3, 5), (3, 5), (0, 5), (1, 0, 5)])
def test_logits_are_those_of_the_rows_that_were_wanted(shape: tuple[int, ...]) -> None:
    module = torch.nn.Linear(5, 7)
    states = torch.arange(float(torch.Size(shape).numel())).view(shape)
    expected = module(states)
    computed: list[int] = []
    module.register_forward_pre_hook(lambda _, given: computed.append(given[0].numel() // 5))
    head = Head(module, (0, 1, 4, 4, 4))
    with head.rounded():
        module.register_forward_pre_hook(lambda _, given: computed.append(given[0].numel() // 5))
        logits = module(states)
    wanted = states.numel() // 5
    assert computed == [wanted, {2: 4, 3: 4}.get(wanted, wanted)]
    assert logits.shape == expected.shape
    torch.testing.assert_close(logits, expected)
    assert torch.equal(module(states), expected)  # afterwards all is as before


def test_only_a_large_plain_head_is_timed(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32").model
    assert head_of(model) == Head()
    monkeypatch.setattr(prefix_head, "_TOKENS", 64)
    timed = head_of(model)
    assert timed.module is model.lm_head
    assert len(timed.rows) == prefix_head.MOST + 1


def answered(lm: PrefixLM, requests: Any) -> tuple[list[Any], list[Any]]:
    return lm.loglikelihood(requests.choices, disable_tqdm=True), lm.generate_until(requests.prompts, disable_tqdm=True)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3", "t5"])
def test_answers_do_not_depend_on_the_rows_of_the_head(architecture: str, checkpoint: Any, requests: Any) -> None:
    lm = PrefixLM(checkpoint(architecture), device="cpu", dtype="float32", batch_size=3)
    plain_scores, plain_texts = answered(lm, requests)
    lm._head = Head(lm.model.get_output_embeddings(), (0, 1, 4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16))
    scores, texts = answered(lm, requests)
    assert texts == plain_texts
    assert [value for value, _ in scores] == pytest.approx([value for value, _ in plain_scores], abs=1e-4)


@pytest.mark.parametrize("new_tokens", [1, 3])
def test_prompts_that_share_nothing_take_as_many_calls_as_in_hf(new_tokens: int, checkpoint: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", batch_size=2)
    calls: list[int] = []
    lm.model.register_forward_pre_hook(lambda _, __, named: calls.append(named["input_ids"].numel()), with_kwargs=True)
    arguments = {"until": [], "max_gen_toks": new_tokens, "do_sample": False}
    prompts = ["the cat sat on the mat", "a dog ran over the hill", "true or false", "happy and sad"]
    asked = [Instance("generate_until", {}, (prompt, arguments), 0) for prompt in prompts]
    lm.loglikelihood([Instance("loglikelihood", {}, ("the", " cat"), 0)], disable_tqdm=True)  # tries out the caches
    calls.clear()
    before = lm.spent.forwarded
    lm.generate_until(asked, disable_tqdm=True)
    assert len(calls) <= 2 * new_tokens  # two batches of two
    assert sum(calls) == lm.spent.forwarded - before
