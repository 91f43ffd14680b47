"""hf-prefix through lm-eval's own command line, in real processes: alone, killed and started again, two at a time."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from warm_python import python

TOY_TASKS = Path(__file__).parent / "toy_tasks"
TASKS = "toy_capitals,toy_completion,toy_perplexity"
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
WORDS = ["joy", "fear", "anger", "calm", "hope", "grief", "pride", "shame"]

LETTERS = """
task: toy_letters
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: [joy, fear grief]
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
num_fewshot: 0
metadata: {{version: 1.0}}
"""


def store_model(folder: Path, *, seed: int = 0, width: int = 32, layers: int = 2) -> str:
    """A random Llama with a byte-level tokenizer."""
    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    built.train_from_iterator([" ".join(WORDS)], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=built, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_model(tmp_path_factory.mktemp("model"))


def command(output: Path, backend: str, model: str, *arguments: str, model_args: str = "") -> list[str]:
    return [
        "-m", "lm_eval", "run", "--include_path", str(TOY_TASKS), "--model", backend, "--device", "cpu",
        "--model_args", f"pretrained={model},dtype=float32{model_args}", "--output_path", str(output), "--log_samples",
        *arguments,
    ]  # fmt: skip


def run(arguments: list[str], **environment: str) -> str:
    done = python(*arguments, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def scores(output: Path) -> dict[str, dict[str, float]]:
    (file,) = output.rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    return {
        task: {name: value for name, value in row.items() if isinstance(value, float)} for task, row in results.items()
    }


def answers(output: Path, task: str) -> dict[int, list[Any]]:
    (file,) = output.rglob(f"samples_{task}_2*.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row["doc_id"]: row["resps"] for row in rows}


def likelihoods(output: Path, task: str) -> list[float]:
    return [float(value) for _, resps in sorted(answers(output, task).items()) for ((value, _),) in resps]


def assert_same(output: Path, expected: Path) -> None:
    """Same texts, log-likelihoods and scores of the toy tasks."""
    assert answers(output, "toy_capitals") == answers(expected, "toy_capitals")
    wanted = likelihoods(expected, "toy_completion")
    assert likelihoods(output, "toy_completion") == pytest.approx(wanted, abs=1e-4)
    for task, found in scores(output).items():
        assert found == pytest.approx(scores(expected)[task], rel=1e-4)


def test_all_kinds_of_requests_are_answered_as_by_hf(model: str, tmp_path: Path) -> None:
    run(command(tmp_path / "hf", "hf", model, "--tasks", TASKS))
    shown = run(command(tmp_path / "prefix", "hf-prefix", model, "--tasks", TASKS))
    assert_same(tmp_path / "prefix", tmp_path / "hf")
    assert "Scoring: 100%" in shown
    assert "saved=" in shown


def test_a_killed_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    rng = random.Random(0)
    docs = [{"text": " ".join(rng.choices(WORDS, k=120)), "answer": 0} for _ in range(120)]
    (tmp_path / "tasks").mkdir()
    data = tmp_path / "tasks" / "docs.json"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (tmp_path / "tasks" / "letters.yaml").write_text(LETTERS.format(file=data))
    model = store_model(tmp_path / "model", width=512, layers=6)  # slow enough to be hit in the middle
    store = tmp_path / "store"

    def arguments(output: str) -> list[str]:
        options = ["--tasks", "toy_letters", "--include_path", str(tmp_path / "tasks")]
        return command(tmp_path / output, "hf-prefix", model, *options, model_args=f",resume={store}")

    def stored() -> int:
        try:
            (file,) = store.glob("answers-*.sqlite")
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
                return int(connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
        except (ValueError, sqlite3.OperationalError):  # not there yet
            return 0

    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, *arguments("killed")], env=os.environ | ENVIRONMENT, stderr=log)
        deadline = time.monotonic() + 300
        while stored() < 20 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
    kept = stored()
    assert 20 <= kept < 240
    assert not list((tmp_path / "killed").rglob("results_*.json"))
    shown = run([*arguments("resumed")], **ENVIRONMENT)
    assert f"{kept} of 240 answers found" in shown
    left = 120 - kept // 2  # of one whose second choice was left, too
    assert f"Scoring: 100%|██████████| {left}/{left} [" in shown
    assert stored() == 240
    options = ["--tasks", "toy_letters", "--include_path", str(tmp_path / "tasks")]
    run(command(tmp_path / "whole", "hf-prefix", model, *options))
    assert likelihoods(tmp_path / "resumed", "toy_letters") == pytest.approx(
        likelihoods(tmp_path / "whole", "toy_letters"), abs=1e-4
    )


def test_another_model_takes_nothing_from_the_store(model: str, tmp_path: Path) -> None:
    other = store_model(tmp_path / "other", seed=1)
    resume = f",resume={tmp_path / 'store'}"
    run(command(tmp_path / "first", "hf-prefix", model, "--tasks", "toy_completion", model_args=resume))
    shown = run(command(tmp_path / "second", "hf-prefix", other, "--tasks", "toy_completion", model_args=resume))
    assert "0 of 6 answers found" in shown
    run(command(tmp_path / "alone", "hf-prefix", other, "--tasks", "toy_completion"))
    assert likelihoods(tmp_path / "second", "toy_completion") == likelihoods(tmp_path / "alone", "toy_completion")


def test_two_processes_share_the_documents(model: str, tmp_path: Path) -> None:
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    run(command(tmp_path / "one", "hf-prefix", model, "--tasks", TASKS))
    shared = f",resume={tmp_path / 'store'}"
    shown = run(
        [*launch, *command(tmp_path / "two", "hf-prefix", model, "--tasks", TASKS, model_args=shared)], **ENVIRONMENT
    )
    assert_same(tmp_path / "two", tmp_path / "one")
    # The first of the two asked for its half, the two docs out of three that are its own.
    assert "0 of 4 answers found" in shown


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
