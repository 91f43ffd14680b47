"""Switches of a loader: what is nearly one of them is refused, what a backend is called with is not."""

from __future__ import annotations

import inspect

import pytest
from lm_eval.models.huggingface import HFLM

from harness_ext.data.choices import reads
from harness_ext.errors import InputError

SWITCHES = (
    *("aliases", "cap", "data", "force", "gold", "judge", "option_order", "personality", "prompt_pack", "split"),
    *("system_role", "truncate_posts"),
)


@reads(*SWITCHES)
def load(part: str = "", **others: object) -> dict[str, object]:
    return others


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("dat", "data"),
        ("Data", "data"),
        ("dta", "data"),
        ("splits", "split"),
        ("option-order", "option_order"),
        ("judges", "judge"),
        ("promptpack", "prompt_pack"),
        ("alias", "aliases"),
    ],
)
def test_a_misspelt_switch_is_refused_with_the_nearest_one(key: str, near: str) -> None:
    with pytest.raises(InputError, match=f"no key '{key}'; did you mean '{near}'"):
        load(**{key: "sample"})


def test_no_argument_of_a_backend_is_taken_for_a_misspelt_switch() -> None:
    api = ("base_url", "model", "api_key", "num_concurrent", "max_retries", "timeout", "tokenized_requests", "path")
    every = dict.fromkeys([*inspect.signature(HFLM.__init__).parameters, *api, "kv_budget", "resume", "pll"])
    assert load(**every) == every


def test_what_a_task_file_says_of_itself_is_no_misspelt_switch() -> None:
    own = dict.fromkeys(["bench", "version", "source", "chance", "direction", "language"])
    assert load(part="E/I", **own) == own


def test_a_loader_says_what_it_reads() -> None:
    assert load.switches == (*SWITCHES, "reasoning_markers")
