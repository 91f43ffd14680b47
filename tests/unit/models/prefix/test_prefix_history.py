"""Dialogues over hf-prefix: the same answers as over hf, with each turn reading only what is new."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness_ext.models.prefix.decode import History
from harness_ext.models.prefix.lm import PrefixLM
from harness_ext.models.prefix.walk import Prefix

TURNS = 4
GREEDY = {"until": [" hill"], "max_gen_toks": 6, "do_sample": False}
OPENINGS = [f"the cat sat on the mat and the dog ran over the hill {end}" for end in ("true", "false", "sad", "happy")]
MODELS = ("llama", "gpt2", "gemma3", "qwen3", "qwen3next", "llama4", "mamba", "t5")


def talk(lm: Any, openings: list[str]) -> list[str]:
    """Play dialogues turn by turn; returns each whole conversation."""
    told = list(openings)
    for _ in range(TURNS):
        requests = [
            Instance("generate_until", {"id": index}, (text, GREEDY), 0, ("talk", index, 1))
            for index, text in enumerate(told)
        ]
        answers = lm.generate_until(requests, disable_tqdm=True)
        told = [f"{text}{answer} and the dog" for text, answer in zip(told, answers, strict=True)]
    return told


def prefix(folder: str, **arguments: Any) -> PrefixLM:
    return PrefixLM(folder, device="cpu", dtype="float32", **arguments)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("budget", ["1MiB", "60kB", 1])
def test_dialogues_are_the_same_with_and_without_history(architecture: str, budget: int | str, checkpoint: Any) -> None:
    stock = HFLM(checkpoint(architecture), device="cpu", dtype="float32", batch_size=1)
    lm = prefix(checkpoint(architecture), batch_size=3, kv_budget=budget)
    openings = OPENINGS if architecture != "t5" else [OPENINGS[0]]  # stock's limit depends on its batch
    lm.hold_dialogues(openings)
    if architecture == "t5":  # stock's limit counts the encoder's tokens too: there is nothing to compare with
        assert lm.hold_dialogues(openings) == 0
        talk(lm, openings)
        return
    assert talk(lm, openings) == talk(stock, openings)


def test_a_turn_reads_only_what_is_new(checkpoint: Any) -> None:
    with_history, without = prefix(checkpoint("llama")), prefix(checkpoint("llama"))
    assert with_history.hold_dialogues(OPENINGS) == len(OPENINGS)
    told = talk(with_history, OPENINGS)
    assert talk(without, OPENINGS) == told
    whole = sum(len(with_history.tok_encode(text)) for text in told)
    answers = TURNS * len(OPENINGS) * GREEDY["max_gen_toks"]
    assert with_history.spent.forwarded <= whole + answers  # every token once, and answers a second time as history
    assert with_history.spent.forwarded < 0.6 * without.spent.forwarded
    assert with_history.spent.plain == without.spent.plain


def test_as_many_dialogues_are_held_as_fit_and_always_one(checkpoint: Any) -> None:
    lm = prefix(checkpoint("llama"), kv_budget="200kB")
    counts = [lm.hold_dialogues([" ".join(["the cat"] * words)] * 50) for words in (1, 4, 16, 40)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] >= 1
    assert prefix(checkpoint("llama"), kv_budget=1).hold_dialogues(OPENINGS) == 1
    assert lm.hold_dialogues([]) == 0


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=8),
    st.lists(st.integers(0, 2), min_size=2, max_size=8),
)
def test_the_longest_kept_beginning_is_found_and_the_limit_is_kept(kept: list[list[int]], context: list[int]) -> None:
    history = History(limit=12)
    for tokens in kept:
        history.keep(tokens, Prefix(None, len(tokens), len(tokens)))
        assert history.bytes <= history.limit
    distinct = [tokens for number, tokens in enumerate(kept) if tokens not in kept[:number]]
    while sum(map(len, distinct)) > 12:
        distinct.pop(0)
    wanted = max(
        (len(tokens) for tokens in distinct if tokens == context[: len(tokens)] and len(tokens) < len(context) - 1),
        default=None,
    )
    (found,) = history.take([context])
    if sum(map(len, kept)) <= 12:  # nothing was dropped and taken up again
        assert (found.length if found else None) == wanted
    elif found:
        assert context[: found.length] in kept
    assert history.take([context]) == [None]
