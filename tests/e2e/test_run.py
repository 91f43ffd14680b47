"""``harness-ext run``: lm-eval's own run, with the plan said before the first request."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

TOY_TASKS = Path(__file__).parent / "toy_tasks"
LM_EVAL = ("-m", "lm_eval")
HARNESS_EXT = ("-c", "from harness_ext.cli import main; main()")

Run = subprocess.CompletedProcess[str]


def call(program: tuple[str, ...], *arguments: str, **environment: str) -> Run:
    return python(*program, *arguments, **environment)


def scores(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*/results_*.json")
    content: dict[str, Any] = json.loads(file.read_text())["results"]
    return content


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"task": "toy_capitals", "id": name, "response": "Paris"} for name in ("fr", "it", "jp", "pe")]
    rows += [{"task": "toy_capitals_twice", "id": row["id"], "response": ["Lima", "Rome"]} for row in rows]
    file = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, store_tiny: Callable[..., Path]) -> Path:
    """A random two-layer model over bytes."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*alphabet, "<s>", "</s>"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    ends = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    own = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 256}
    tokens = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257, "initializer_range": 0.02}
    return store_tiny(tmp_path_factory.mktemp("model"), "LlamaForCausalLM", own, **sizes, **tokens)


def test_the_plan_counts_requests_and_the_extension_is_loaded_without_the_start_up_hook(answers: Path) -> None:
    tasks = ["--tasks", "toy_capitals,toy_capitals_twice", "--include_path", str(TOY_TASKS)]
    done = call(
        HARNESS_EXT, "run", "--model", "replay", "--model_args", f"path={answers}", *tasks, HARNESS_EXT_AUTOLOAD="0"
    )
    assert done.returncode == 0, done.stderr
    assert "Plan: 12 requests to the model for 8 docs of 2 tasks" in done.stderr
    lines = [line.split() for line in done.stderr.splitlines() if line.startswith("  toy_capitals")]
    assert lines == [
        ["toy_capitals", "generate_until", "4", "4", "23/24", "<=", "8"],
        ["toy_capitals_twice", "generate_until", "4", "8", "23/24", "<=", "8"],
    ]
    assert "not measured for this backend" in done.stderr
    assert "|toy_capitals " in done.stdout  # lm-eval's own table


@pytest.mark.parametrize("program", [HARNESS_EXT, ("-m", "lm_eval")], ids=["harness-ext", "lm_eval"])
def test_wrong_input_is_one_line_and_exit_code_2(program: tuple[str, ...]) -> None:
    tasks = ["--tasks", "toy_capitals", "--include_path", str(TOY_TASKS)]
    done = call(program, "run", "--model", "replay", "--model_args", "path=/nowhere.jsonl", *tasks)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: /nowhere.jsonl: no such file")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "dummy", "--tasks", "mbtibnch"), "tasks not found: mbtibnch (perhaps mbtibench"),
        (("--model", "dummy", "--tasks", "mbtibench", "--metadata", "{data"), "Invalid JSON: {data"),
        (("--config", "nowhere.yaml"), "config file not found: "),
        (
            ("--model", "dummy", "--tasks", "seceu", "--hf_hub_log_args", "push_results_to_hub=True"),
            "--hf_hub_log_args pushes to the Hub",
        ),
    ],
)
def test_arguments_that_lm_eval_refuses_with_a_traceback_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = call(HARNESS_EXT, "run", *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_says_where_lm_evals_options_are(arguments: list[str]) -> None:
    done = call(HARNESS_EXT, "run", *arguments, COLUMNS="200")
    assert done.returncode == 0
    assert "lm_eval run --help" in done.stdout


def test_a_local_model_is_timed_and_the_timing_changes_nothing(tiny_model: Path, tmp_path: Path) -> None:
    def run(program: tuple[str, ...], name: str) -> Run:
        tasks = "toy_capitals,toy_completion,toy_perplexity"
        model = ["--model", "hf", "--model_args", f"pretrained={tiny_model}", "--batch_size", "2", "--device", "cpu"]
        where = ["--include_path", str(TOY_TASKS), "--output_path", str(tmp_path / name)]
        cache = ["--use_cache", str(tmp_path / f"{name}_cache")]
        done = call(program, "run", *model, "--tasks", tasks, *where, *cache)
        assert done.returncode == 0, done.stderr
        return done

    def cached(name: str) -> int:
        with sqlite3.connect(tmp_path / f"{name}_cache_rank0.db") as database:
            (count,) = database.execute("SELECT COUNT(*) FROM unnamed").fetchone()
        return int(count)

    plain, ours = run(LM_EVAL, "plain"), run(HARNESS_EXT, "ours")
    assert "Plan:" not in plain.stderr
    # Three contexts of two five-letter choices each, over bytes: nothing to share; and three whole texts.
    assert "tokens/s scoring, 9 forward passes" in ours.stderr
    assert "at most (measured: batch size 2" in ours.stderr
    assert ours.stderr.index("Roughly") < ours.stderr.index("Running loglikelihood requests:")
    assert scores(tmp_path / "ours") == scores(tmp_path / "plain")
    assert cached("ours") == cached("plain")


def test_the_plan_is_said_again_for_the_next_run_in_the_same_process(answers: Path) -> None:
    script = """
import sys
from harness_ext.cli.run import lm_eval_run
for _ in range(2):
    lm_eval_run(sys.argv[1:])
"""
    arguments = ["--model", "replay", "--model_args", f"path={answers}", "--tasks", "toy_capitals"]
    done = call(("-c", script), *arguments, "--include_path", str(TOY_TASKS))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Plan: 4 requests") == 2


def test_options_may_stand_in_a_file_and_the_command_line_goes_before_it(answers: Path, tmp_path: Path) -> None:
    settings = {"model": "replay", "model_args": {"path": str(answers)}, "tasks": ["toy_capitals"], "limit": 1}
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(settings | {"include_path": str(TOY_TASKS), "output_path": str(tmp_path / "results")}))
    done = call(HARNESS_EXT, "run", "--config", str(file), "--limit", "3", HARNESS_EXT_AUTOLOAD="0")
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("results/**/results_*.json")
    content = json.loads(results.read_text())
    assert (content["config"]["limit"], content["config"]["model"]) == (3, "replay")
    assert content["n-samples"]["toy_capitals"]["effective"] == 3


@pytest.fixture(scope="module")
def no_weights(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model without its weights."""
    kept = tmp_path_factory.mktemp("no_weights") / "tiny"
    shutil.copytree(tiny_model, kept, ignore=shutil.ignore_patterns("*.safetensors"))
    return kept


@pytest.mark.parametrize("backend", ["vllm", "local-completions"])
def test_plan_counts_tokens_without_weights_and_for_engines_that_are_not_here(backend: str, no_weights: Path) -> None:
    prompts = [f"The capital of {country} is" for country in ("France", "Italy", "Japan", "Peru")]  # a token a letter
    tokens = sum(map(len, prompts))
    tree = len({prompt[:end] for prompt in prompts for end in range(1, len(prompt) + 1)})
    named = {"local-completions": f"model=m,base_url=http://127.0.0.1:1,tokenizer={no_weights}"}
    done = call(
        HARNESS_EXT, "run", "--plan", "--model", backend,
        "--model_args", named.get(backend, f"pretrained={no_weights}"),
        "--tasks", "toy_capitals,toy_capitals_twice", "--include_path", str(TOY_TASKS),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert lines[1:] == [
        ["toy_capitals", "4", "4", str(tokens), str(tokens), str(tree), "<=", "32"],
        ["toy_capitals_twice", "4", "8", str(2 * tokens), str(tokens), str(tree), "<=", "64"],
        ["all", "8", "12", str(3 * tokens), str(tokens), str(tree), "<=", "96"],
    ]


def test_plan_adds_a_group_up_and_names_what_it_lacks(no_weights: Path) -> None:
    tasks = ["--tasks", "toy_choices", "--include_path", str(TOY_TASKS)]
    done = call(HARNESS_EXT, "run", "--plan", "--model", "hf", "--model_args", f"pretrained={no_weights}", *tasks)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  toy_")}
    numbers = {name: [int(cell.replace(",", "")) for cell in row[:-1]] for name, row in rows.items()}
    parts, group = [numbers["toy_completion"], numbers["toy_letters"]], numbers["toy_choices"]
    assert group[:3] == [sum(column) for column in zip(*parts, strict=True)][:3]
    assert max(part[4] for part in parts) < group[4] <= sum(part[4] for part in parts)
    assert all(tree < distinct <= asked for _, _, asked, distinct, tree in numbers.values())
    without = call(HARNESS_EXT, "run", "--plan", "--model", "dummy", *tasks)
    assert without.returncode == 2
    assert "dummy has no tokenizer. Give pretrained=FOLDER for one." in without.stderr.splitlines()[-1]
