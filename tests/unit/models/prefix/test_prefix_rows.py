"""Rows join and leave a batch that is decoded, and none of them sees it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils_hf import MultiTokenEOSCriteria

from harness_ext.models.prefix.engine import cheapest
from harness_ext.models.prefix.lm import PrefixLM
from harness_ext.models.prefix.rows import Stops

WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "over", "hill", "true", "false", "happy", "sad"]


def prompts(new_tokens: list[int], until: list[str], seed: int = 5) -> list[Instance]:
    rng = random.Random(seed)
    return [
        Instance(
            "generate_until",
            {},
            (
                " ".join(rng.choices(WORDS, k=rng.randint(1, 9))),
                {"until": until, "max_gen_toks": count, "do_sample": False},
            ),
            doc,
        )
        for doc, count in enumerate(new_tokens)
    ]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_answers_longer_than_the_room_made_at_a_time_are_those_of_hf(architecture: str, checkpoint: Any) -> None:
    folder = checkpoint(architecture)
    asked = prompts([100] * 7, ["t"])  # past the window and the room; some end at once, some never
    expected = HFLM(folder, device="cpu", dtype="float32").generate_until(asked, disable_tqdm=True)
    assert len({len(text) for text in expected}) > 3
    for batch_size in (1, 4):
        lm = PrefixLM(folder, device="cpu", dtype="float32", batch_size=batch_size)
        assert lm.generate_until(asked, disable_tqdm=True) == expected


def test_a_long_answer_does_not_hold_the_others(checkpoint: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", batch_size=4)
    asked = prompts([100] * 16, ["t"])
    texts = lm.generate_until(asked, disable_tqdm=True)
    lengths = [len(lm.tok_encode(text)) for text in texts]
    batches = [lengths[first : first + 4] for first in range(0, 16, 4)]
    assert sum(map(max, batches)) > 2 * max(lengths)  # where each batch waits for its longest
    calls: list[int] = []
    lm.model.register_forward_pre_hook(lambda _, __, named: calls.append(len(named["input_ids"])), with_kwargs=True)
    assert lm.generate_until(asked, disable_tqdm=True) == texts
    assert len(calls) < sum(map(max, batches))
    assert max(calls) <= 4


def test_a_row_that_is_done_is_not_run_again(checkpoint: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", batch_size=4)
    before = lm.spent.forwarded
    asked = prompts([40] * 4, ["t"])
    answers = lm.generate_until(asked, disable_tqdm=True)
    read = sum(len(lm.tok_encode(request.args[0])) for request in asked)
    padding = 4 * max(len(lm.tok_encode(request.args[0])) for request in asked) - read
    cut = [len(lm.tok_encode(answer)) + 6 for answer in answers]  # and the stop sequence, which may take some tokens
    assert lm.spent.forwarded - before <= read + padding + sum(cut)


def test_a_models_own_settings_are_kept(checkpoint: Any, tmp_path: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", batch_size=3)
    plain = lm.generate_until(prompts([30] * 5, []), disable_tqdm=True)
    stock = HFLM(checkpoint("llama"), device="cpu", dtype="float32")
    for one in (lm, stock):
        one.model.generation_config.repetition_penalty = 1.8
    answers = lm.generate_until(prompts([30] * 5, []), disable_tqdm=True)
    assert answers != plain
    lm_alone = PrefixLM(lm.model, tokenizer=lm.tokenizer, device="cpu", dtype="float32", batch_size=1)
    expected = stock.generate_until(prompts([30] * 5, []), disable_tqdm=True)
    assert lm_alone.generate_until(prompts([30] * 5, []), disable_tqdm=True) == expected


@given(
    tokens=st.lists(st.integers(3, 299), min_size=1, max_size=12),
    stop=st.lists(st.sampled_from(["the", " d", "at on", "\n", "\n\n", "é", "a"]), min_size=1, max_size=3),
)
def test_stop_sequences_are_found_as_by_lm_eval(tokens: list[int], stop: list[str], tokenizer: Any) -> None:
    stops = Stops(tokenizer, stop, vocabulary=len(tokenizer))
    theirs = [MultiTokenEOSCriteria(text, tokenizer, 0, 1) for text in stop]
    for count in range(1, len(tokens) + 1):
        for criterion in theirs:
            criterion(torch.tensor([tokens[:count]]), None)
        expected = any(criterion.done_tracker[0] for criterion in theirs)
        assert stops.reached(tokens[:count]) == expected
        if expected:
            break


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_an_automatic_batch_size_is_tried_as_far_as_the_memory_goes(architecture: str, checkpoint: Any) -> None:
    lm = PrefixLM(checkpoint(architecture), device="cpu", dtype="float32", batch_size="auto", max_batch_size=32)
    tried: list[int] = []

    def small_memory(_: Any, __: Any, named: dict[str, Any]) -> None:
        tried.append(len(named["input_ids"]))
        if len(named["input_ids"]) > 8:
            raise torch.OutOfMemoryError("no room")

    assert lm._shares
    hook = lm.model.register_forward_pre_hook(small_memory, with_kwargs=True)
    assert lm._engine().limits.contexts in (1, 2, 4, 8)
    assert sorted(set(tried)) == [1, 2, 4, 8, 16]
    tried.clear()
    assert lm._engine().limits.contexts <= 8
    assert not tried  # once for all requests
    hook.remove()
    lm.generate_until(prompts([3] * 9, []), disable_tqdm=True)


@given(st.dictionaries(st.sampled_from([1, 2, 4, 8, 16, 32]), st.floats(0.01, 10), min_size=1))
def test_the_chosen_batch_is_the_smallest_that_is_about_as_cheap_as_any(seconds: dict[int, float]) -> None:
    chosen = cheapest(seconds)
    least = min(taken / rows for rows, taken in seconds.items())
    assert seconds[chosen] / chosen <= least / 0.9 * (1 + 1e-9)
    assert all(taken / rows > least / 0.9 * (1 - 1e-9) for rows, taken in seconds.items() if rows < chosen)
