"""Methods as a user runs them: the command line, then lm-eval on what it wrote, then the table."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from warm_python import python

Run = subprocess.CompletedProcess[str]
SAMPLE = '{"data": "sample"}'
TASK = "mbtibench_zero_shot_ll_ei"


def call(*command: str) -> Run:
    return python(*command)


def harness_ext(*arguments: str) -> Run:
    return call("-c", "from harness_ext.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), dtype="bfloat16")


def settings(method: str, trio: Path) -> list[str]:
    base, two = f"base={trio / 'aligned'}", (trio / "finetuned", trio / "unaligned")
    merged = [base, f"models=[{two[0]}, {two[1]}]", "weights=[0.5, 0.5]"]
    return {
        "task_arithmetic": merged,
        "ties": [*merged, "density=0.5"],
        "dare": [*merged, "drop=0.9", "seed=1"],
        "resta": [base, f"finetuned={two[0]}", f"unaligned={two[1]}", "gamma=0.5"],
    }[method]


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare", "resta"])
def test_a_command_writes_a_model_that_loads(method: str, trio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [part for setting in [*settings(method, trio), f"out={out}"] for part in ("--set", setting)]
    done = harness_ext("method", "run", method, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{out}\n"
    assert json.loads((out / "method.json").read_text())["total"]["changed_entries"] > 0
    _, loading = transformers.AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert transformers.AutoTokenizer.from_pretrained(out)("abc")["input_ids"]


@pytest.mark.slow
def test_a_merge_stands_in_the_table_beside_its_base_and_a_fine_tuned_model(trio: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    options = [part for setting in [*settings("resta", trio), f"out={out}"] for part in ("--set", setting)]
    assert harness_ext("method", "run", "resta", *options).returncode == 0
    for model in (trio / "aligned", trio / "finetuned", out):
        run = call(
            "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model}", "--device", "cpu",
            "--tasks", TASK, "--metadata", SAMPLE, "--output_path", str(tmp_path / "results"), "--log_samples",
            "--limit", "4",
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
    table = harness_ext("table", str(tmp_path / "results"), "--output", str(tmp_path / "table.md"))
    assert table.returncode == 0, table.stderr[-3000:]
    text = (tmp_path / "table.md").read_text()
    for model in ("aligned", "finetuned", "merged (resta of aligned)"):
        assert f"| {model} " in text, text


def test_an_interrupted_command_goes_on_when_it_is_repeated(trio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [part for setting in [*settings("ties", trio), f"out={out}"] for part in ("--set", setting)]
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "model-00001-of-00001.safetensors.part").write_bytes(b"half")
    assert harness_ext("method", "run", "ties", *options).returncode == 0
    again = harness_ext("method", "run", "ties", *options)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1] == f"error: {out} is not empty. Give another out, or delete it."


def test_wrong_input_is_one_line_and_leaves_nothing(trio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [part for setting in [*settings("resta", trio), f"out={out}"] for part in ("--set", setting)]
    done = harness_ext("method", "run", "resta", *options, "--set", "gamma=high")
    assert done.returncode == 2
    assert done.stderr == "error: gamma is 'high', but must be a number.\n"
    done = harness_ext("method", "run", "resta", *options, "--set", f"unaligned={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "is no checkpoint that can be read" in done.stderr
    assert list(tmp_path.iterdir()) == []
