"""The head is asked as is fastest, and nobody sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance

from harness_ext.models.prefix import head as prefix_head
from harness_ext.models.prefix.head import Head, Screen, Way, fastest, head_of
from harness_ext.models.prefix.lm import PrefixLM


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=16))
def test_the_chosen_number_has_room_for_all_rows_and_is_never_slower(seconds: list[float]) -> None:
    chosen = fastest({"one": seconds, "other": seconds[::-1]})
    assert len(chosen) == len(seconds) + 1
    for wanted, way in enumerate(chosen[1:], start=1):
        assert wanted <= way.rows <= len(seconds)
        taken = {"one": seconds, "other": seconds[::-1]}[way.product][way.rows - 1]  # type: ignore[index]
        assert taken <= seconds[wanted - 1]
        assert min(seconds[wanted - 1 :] + seconds[::-1][wanted - 1 :]) >= 0.9 * taken  # what is left to gain is noise


def test_two_and_three_rows_are_never_asked_for_where_four_are_faster() -> None:
    ways = fastest({"torch": [58, 145, 217, 115, 130, 131, 132, 127]})
    assert [way.rows for way in ways] == [0, 1, 4, 4, 4, 5, 6, 7, 8]


def test_another_library_is_asked_where_it_is_faster() -> None:
    ways = fastest({"torch": [49, 52, 102, 166], "onednn": [60, 80, 88, 98]})
    assert [(way.rows, way.product) for way in ways[1:]] == [(1, "torch"), (2, "torch"), (3, "onednn"), (4, "onednn")]


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 2, 5), (3, 1, 5), (2, 3, 5), (3, 5), (0, 5), (1, 0, 5)])
@pytest.mark.parametrize("product", [torch.nn.functional.linear, prefix_head._onednn])
def test_logits_are_those_of_the_rows_that_were_wanted(shape: tuple[int, ...], product: Any) -> None:
    module = torch.nn.Linear(5, 7, bias=False)
    states = torch.arange(float(torch.Size(shape).numel())).view(shape)
    computed: list[int] = []

    def counted(some: Any, weight: Any) -> Any:
        computed.append(len(some))
        return product(some, weight)

    with torch.no_grad():
        expected = module(states)
        with Head(module, [Way(rows, counted) for rows in (0, 1, 4, 4, 4)]).rounded():
            logits = module(states)
    wanted = states.numel() // 5
    assert computed == [{2: 4, 3: 4}.get(wanted, wanted)] * (wanted > 0)
    assert logits.shape == expected.shape
    torch.testing.assert_close(logits, expected)
    assert torch.equal(module(states), expected)  # afterwards all is as before


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_the_token_chosen_in_two_looks_is_the_most_likely_one(scale: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(9000, 32)
    weight[4000:4100] = weight[4200:4300] * (1 + 1e-4 * torch.rand(100, 1))  # alike in 16 bits
    states = scale * torch.cat([torch.randn(20, 32), weight[4200:4212]])
    chosen = Screen(weight)(states)
    assert torch.equal(chosen, (states.double() @ weight.double().T).argmax(-1))


@pytest.mark.parametrize("states", [torch.zeros(1, 8), torch.full((1, 8), torch.nan)])
def test_the_whole_head_is_asked_where_all_tokens_are_alike_or_none_is(states: Any) -> None:
    assert Screen(torch.randn(5000, 8))(states) is None


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_texts_do_not_depend_on_choosing_in_two_looks(
    architecture: str, checkpoint: Any, requests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = PrefixLM(checkpoint(architecture), device="cpu", dtype="float32", batch_size=3)
    expected = lm.generate_until(requests.prompts, disable_tqdm=True)
    monkeypatch.setattr(prefix_head, "PAYS", 1)
    monkeypatch.setattr(Head, "_pays", lambda *_: True)
    lm._head = Head(lm.model.get_output_embeddings(), [Way(0), Way(1)])
    assert lm.generate_until(requests.prompts, disable_tqdm=True) == expected
    assert lm._head._screen is not None


def test_a_model_that_looks_at_its_logits_is_given_them(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32")
    monkeypatch.setattr(prefix_head, "PAYS", 1)
    monkeypatch.setattr(prefix_head, "GAIN", 1e9)  # whatever is faster
    forward = lm.model.forward

    def forbidding(**arguments: Any) -> Any:
        output = forward(**arguments)
        output.logits[..., 299] = -torch.inf
        return output

    head = Head(lm.model.lm_head, [Way(0), Way(1)])
    with torch.no_grad(), head.choosing(lm.model, 1):
        assert head._screen is not None
    head = Head(lm.model.lm_head, [Way(0), Way(1)])
    with torch.no_grad(), head.choosing(forbidding, 1):
        assert head._screen is None


def test_only_a_large_plain_head_is_timed(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32").model
    assert head_of(model).module is None
    monkeypatch.setattr(prefix_head, "_TOKENS", 64)
    timed = head_of(model)
    assert timed.module is model.lm_head
    assert len(timed.ways) == prefix_head.MOST + 1


def answered(lm: PrefixLM, requests: Any) -> tuple[list[Any], list[Any]]:
    return lm.loglikelihood(requests.choices, disable_tqdm=True), lm.generate_until(requests.prompts, disable_tqdm=True)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3", "t5"])
def test_answers_do_not_depend_on_the_rows_of_the_head(architecture: str, checkpoint: Any, requests: Any) -> None:
    lm = PrefixLM(checkpoint(architecture), device="cpu", dtype="float32", batch_size=3)
    plain_scores, plain_texts = answered(lm, requests)
    lm._head = Head(
        lm.model.get_output_embeddings(),
        [Way(rows, prefix_head._onednn) for rows in (0, 1, 4, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 16)],
    )
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
