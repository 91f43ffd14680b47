"""Stored answers: what can never be shared, and what survives a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.errors import InputError
from harness_ext.models.prefix.lm import PrefixLM
from harness_ext.models.runs.cache import RunCache, digest, request_key
from harness_ext.models.runs.identity import identity_of, weights_checksum

ANSWERS = {"loglikelihood": [-1.2345678901234567, True], "text": "a 🙂 b\n", "rolling": -0.1, "odd": "\ud800"}


def test_answers_come_back_exactly(tmp_path: Path) -> None:
    cache = RunCache(tmp_path, {"model": "a"})
    for key, answer in ANSWERS.items():
        cache.put(key, answer)
    assert cache.get([*ANSWERS, "unknown"]) == ANSWERS
    cache.close()
    again = RunCache(tmp_path, {"model": "a"})
    assert again.get([*ANSWERS, "unknown"]) == ANSWERS
    assert len(again) == len(ANSWERS)


def test_more_requests_than_a_query_takes_are_looked_up(tmp_path: Path) -> None:
    cache = RunCache(tmp_path, {})
    for number in range(1201):
        cache.put(str(number), number)
    cache.commit()
    assert cache.get([str(number) for number in range(1300)]) == {str(number): number for number in range(1201)}


def test_another_identity_has_another_file(tmp_path: Path) -> None:
    first = RunCache(tmp_path, {"weights": "1", "settings": {"dtype": "float32", "max_length": 8}})
    first.put("key", "answer")
    first.commit()
    for other in (
        {"weights": "2", "settings": {"dtype": "float32", "max_length": 8}},
        {"weights": "1", "settings": {"dtype": "bfloat16", "max_length": 8}},
        {"weights": "1", "settings": {"dtype": "float32", "max_length": 9}},
        {"weights": "1", "settings": {"dtype": "float32", "max_length": 8}, "adapters": ["x"]},
    ):
        assert RunCache(tmp_path, other).get(["key"]) == {}
    same = {"settings": {"max_length": 8, "dtype": "float32"}, "weights": "1"}
    assert RunCache(tmp_path, same).get(["key"]) == {"key": "answer"}


def test_a_file_renamed_to_another_identity_is_refused(tmp_path: Path) -> None:
    first, second = (
        RunCache(tmp_path, {"weights": "1", "dtype": "a"}),
        RunCache(tmp_path, {"weights": "2", "dtype": "a"}),
    )
    first.close()
    second.close()
    shutil.copy(first.path, second.path)
    with pytest.raises(InputError, match=r"given under other settings \(weights\)"):
        RunCache(tmp_path, {"weights": "2", "dtype": "a"})


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be looked at" * 20, b"SQLite format 3\0"]
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    cache = RunCache(tmp_path, {})
    cache.close()
    cache.path.write_bytes(content)
    with pytest.raises(InputError, match=f"{cache.path.name}: cannot be used to resume"):
        RunCache(tmp_path, {})


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give another folder"):
        RunCache(tmp_path / "file" / "folder", {})


@given(
    st.lists(
        st.tuples(st.sampled_from(["loglikelihood", "generate_until"]), st.text(), st.text()), min_size=2, max_size=6
    )
)
def test_different_requests_have_different_keys(asked: list[tuple[str, str, str]]) -> None:
    assert len({request_key(kind, arguments) for kind, *arguments in asked}) == len(set(asked))


def test_a_key_does_not_depend_on_the_order_of_arguments() -> None:
    assert request_key("generate_until", ("a", {"until": ["b"], "max_gen_toks": 1})) == request_key(
        "generate_until", ("a", {"max_gen_toks": 1, "until": ["b"]})
    )
    assert digest("ab") != digest(["a", "b"])


def write_and_die(folder: Path) -> None:
    cache = RunCache(folder, {})
    for number in range(10):
        cache.put(f"safe {number}", number)
    cache.commit()
    for number in range(10):
        cache.put(f"lost {number}", number)
    cache._connection.execute("BEGIN IMMEDIATE")
    cache._connection.execute("INSERT INTO answers VALUES ('half', '1')")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_leaves_what_it_committed_and_nothing_else(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    cache = RunCache(tmp_path, {})
    assert len(cache) == 10
    assert cache.get([f"safe {number}" for number in range(10)]) == {f"safe {number}": number for number in range(10)}


def write_many(folder: Path, name: str) -> None:
    cache = RunCache(folder, {})
    for number in range(200):
        cache.put(f"{name} {number}", number)
        cache.put("both", "the same")
        if number % 5 == 0:
            cache.commit()
    cache.close()


def test_processes_share_one_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(tmp_path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert len(RunCache(tmp_path, {})) == 401


# -- identities of models


@pytest.fixture
def identity(checkpoint: Any) -> Any:
    def of(architecture: str = "llama", seed: int = 0, dtype: str = "float32", **arguments: Any) -> str:
        lm = PrefixLM(checkpoint(architecture, seed), device="cpu", dtype=dtype, **arguments)
        return digest(identity_of(lm, "hf-prefix"))

    return of


def test_the_same_model_loaded_again_has_the_same_identity(identity: Any, checkpoint: Any, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(checkpoint("llama"), moved)
    lm = PrefixLM(str(moved), device="cpu", dtype="float32", batch_size=7, kv_budget=1)
    assert identity() == identity() == digest(identity_of(lm, "hf-prefix"))


def test_everything_that_changes_answers_changes_the_identity(identity: Any, checkpoint: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    adapters = []
    for seed, alpha in ((1, 8), (2, 8), (1, 16)):
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=2, lora_alpha=alpha, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False
        )
        model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint("llama"))
        folder = tmp_path / f"adapter-{seed}-{alpha}"
        peft.get_peft_model(model, config).save_pretrained(folder)
        adapters.append(identity(peft=str(folder)))
    other_tokenizer = tmp_path / "tokenizer"
    shutil.copytree(checkpoint("llama"), other_tokenizer)
    content = json.loads((other_tokenizer / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Lowercase"}
    (other_tokenizer / "tokenizer.json").write_text(json.dumps(content))
    other_rope = tmp_path / "rope"
    shutil.copytree(checkpoint("llama"), other_rope)
    config = json.loads((other_rope / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 5000.0
    (other_rope / "config.json").write_text(json.dumps(config))
    found = [
        identity(),
        identity(seed=1),
        identity("qwen3"),
        identity(dtype="bfloat16"),
        identity(max_length=64),
        identity(prefix_token_id=2),
        identity(softmax_dtype="float64"),
        identity(truncation=True),
        identity(tokenizer=str(other_tokenizer)),
        digest(identity_of(PrefixLM(str(other_rope), device="cpu", dtype="float32"), "hf-prefix")),
        digest(identity_of(PrefixLM(checkpoint("llama"), device="cpu", dtype="float32"), "other backend")),
        *adapters,
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int8, torch.float64, torch.bool, torch.complex64]
)
def test_a_checksum_sees_one_changed_and_two_exchanged_weights(dtype: torch.dtype) -> None:
    def checksum(values: torch.Tensor) -> str:
        module = torch.nn.Module()
        module.register_buffer("weights", values)
        return weights_checksum(module)

    values = (torch.arange(5000) % 251 % 2 if dtype == torch.bool else torch.arange(5000) % 101).to(dtype).view(50, 100)
    changed, exchanged = values.clone(), values.clone()
    changed[49, 99] = not changed[49, 99] if dtype == torch.bool else changed[49, 99] + 1
    exchanged[3, 1], exchanged[3, 2] = values[3, 2].clone(), values[3, 1].clone()
    assert checksum(values) == checksum(values.clone())
    assert len({checksum(values), checksum(changed), checksum(exchanged), checksum(values.view(100, 50))}) == 4


def test_weights_that_are_not_in_memory_cannot_be_identified() -> None:
    with pytest.raises(InputError, match="run without resume="):
        weights_checksum(torch.nn.Linear(2, 2, device="meta"))


def test_lm_evals_own_cache_refuses_another_model(checkpoint: Any, requests: Any, tmp_path: Path) -> None:
    from lm_eval.api.model import CachingLM
    from lm_eval.models.huggingface import HFLM

    path = str(tmp_path / "answers.db")
    some = requests.choices[:6]
    first = CachingLM(PrefixLM(checkpoint("llama"), device="cpu", dtype="float32"), path)
    answers = first.loglikelihood(some)
    first.dbdict.close()
    again = PrefixLM(checkpoint("llama"), device="cpu", dtype="float32")
    assert CachingLM(again, path).loglikelihood(some) == answers
    assert again.spent.forwarded == 0
    with pytest.raises(InputError, match="answers of another model or other settings"):
        CachingLM(PrefixLM(checkpoint("llama", 1), device="cpu", dtype="float32"), path)
    unsafe = str(tmp_path / "unsafe.db")
    other = CachingLM(HFLM(checkpoint("llama", 1), device="cpu", dtype="float32"), unsafe)
    other.loglikelihood(some)
    other.dbdict.close()
    with pytest.raises(InputError, match="holds answers of another model"):
        CachingLM(PrefixLM(checkpoint("llama"), device="cpu", dtype="float32"), unsafe)


def test_a_stored_run_is_a_plain_database(tmp_path: Path) -> None:
    cache = RunCache(tmp_path, {"weights": "1"})
    cache.put("key", [-1.5, False])
    cache.close()
    connection = sqlite3.connect(cache.path)
    assert connection.execute("SELECT name, value FROM identity").fetchall() == [("weights", '"1"')]
    assert connection.execute("SELECT request, answer FROM answers").fetchall() == [("key", "[-1.5, false]")]


def test_a_resumed_run_answers_as_one_that_was_not_stopped_within_the_stated_bound(
    checkpoint: Any, requests: Any, tmp_path: Path
) -> None:
    """Other batches form, so the last digits may differ: ``docs/backends.md`` says by how much."""
    model = {"device": "cpu", "dtype": "float32"}
    whole = PrefixLM(checkpoint("llama"), **model).loglikelihood(requests.choices)
    stopped = PrefixLM(checkpoint("llama"), resume=str(tmp_path), **model)
    first = stopped.loglikelihood(requests.choices[::3])
    resumed = PrefixLM(checkpoint("llama"), resume=str(tmp_path), **model).loglikelihood(requests.choices)
    assert resumed[::3] == first  # what was stored stays as it was
    assert [greedy for _, greedy in resumed] == [greedy for _, greedy in whole]
    assert [value for value, _ in resumed] == pytest.approx([value for value, _ in whole], rel=0, abs=1e-5)
