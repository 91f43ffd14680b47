"""What a walk keeps in memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from harness_ext.models.prefix import cache as prefix_cache
from harness_ext.models.prefix.lm import PrefixLM


def turns(count: int) -> list[Instance]:
    """A dialogue, each turn of which is scored after all turns before it."""
    text, asked = "the cat sat on the mat", []
    for _ in range(count):
        text += 4 * " and the dog ran over the hill" + ", true or false"
        asked += [Instance("loglikelihood", {}, (text, f" {choice}"), 0) for choice in ("happy cat", "sad dog")]
    return asked


@pytest.fixture
def most_alive(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The largest number of cut-out caches that lived at a time."""
    living: weakref.WeakSet[Any] = weakref.WeakSet()
    most = [0]
    cut = prefix_cache.row

    def watched(*args: Any, **named: Any) -> Any:
        made = cut(*args, **named)
        gc.collect()
        living.add(made)
        most[0] = max(most[0], len(living))
        return made

    monkeypatch.setattr(prefix_cache, "row", watched)
    return most


def test_a_chain_of_turns_keeps_no_cache_for_each_turn(checkpoint: Any, most_alive: list[int]) -> None:
    lm = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32", max_length=4096)
    lm.loglikelihood(turns(12), disable_tqdm=True)
    assert lm.spent.forwarded < 1.2 * lm.spent.tree  # the caches were used
    assert most_alive[0] == 2  # that of a turn and that of the turn before it


@pytest.mark.parametrize("budget", [1, 300_000, 10_000_000])
def test_caches_stay_within_the_budget(budget: int, checkpoint: Any, requests: Any, monkeypatch: Any) -> None:
    from harness_ext.models.prefix import lm as prefix_lm

    walks: list[Any] = []
    held: list[float] = []

    class Watched(prefix_lm.Walk):  # type: ignore[name-defined, misc]
        def _forward(self, batch: Any, *, keep: bool) -> Any:
            held.append(self._alive)
            walks.append(self)
            return super()._forward(batch, keep=keep)

    monkeypatch.setattr(prefix_lm, "Walk", Watched)
    lm = PrefixLM(checkpoint("gemma3"), device="cpu", dtype="float32", kv_budget=budget, batch_size=4)
    lm.loglikelihood(requests.choices + turns(8), disable_tqdm=True)
    assert max(held) <= budget
    assert walks[-1]._alive == 0
    assert not walks[-1]._needed
    assert (max(held) > 0) == (budget > 1)
