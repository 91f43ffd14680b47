"""Unlearning as a user runs it: rows of a task, a method on the command line, and lm-eval on what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import warm_python

MAIN = "from harness_ext.cli import main; main()"


def python(*command: object) -> str:
    done = warm_python.python(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def trio(store_trio: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_trio(tmp_path_factory.mktemp("trio"), layers=2)


def test_rows_of_a_task_are_unlearned_and_lm_eval_runs_what_comes_out(trio: Path, tmp_path: Path) -> None:
    task, sample = "eibench_tweet_irony", '{"data": "sample"}'
    rows = tmp_path / "rows.jsonl"
    said = python("-c", MAIN, "pairs", task, "--split", "dev", "--metadata", sample, "--out", rows)
    common = {
        "model": trio / "aligned",
        "forget_data": rows,
        "lr": 1e-3,
        "epochs": 2,
        "batch_size": 2,
        "accumulation": 1,
    }
    for method, own in (
        ("gradient_ascent", {"out": tmp_path / "ascended"}),
        ("npo", {"out": tmp_path / "adapter", "retain_data": trio / "calib.jsonl", "trained": "lora"}),
    ):
        options = [part for name, value in (common | own).items() for part in ("--set", f"{name}={value}")]
        assert python("-c", MAIN, "method", "run", method, *options).strip() == str(own["out"])
        record = json.loads((own["out"] / "method.json").read_text())
        assert record["data"][str(rows)] in said  # the checksum that `pairs` printed
        assert record["total"]["changed_tensors"] > 0
    python(
        "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--tasks", task, "--metadata", sample,
        "--model_args", f"pretrained={tmp_path / 'ascended'},peft={tmp_path / 'adapter'}",
        "--limit", "2", "--apply_chat_template", "--output_path", tmp_path / "results",
    )  # fmt: skip
    (file,) = (tmp_path / "results").rglob("results_*.json")
    assert json.loads(file.read_text())["results"][task]
