"""Unlearning as a user runs it: rows of a task, methods on the command line, and lm-eval on what they wrote."""

from __future__ import annotations

import csv
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import warm_python

MAIN = "from harness_ext.cli import main; main()"
CHAIN = Path(__file__).parents[2] / "examples/unlearning/chain.py"
PROGRAMS = {"harness-ext": ("-c", MAIN), "lm_eval": ("-m", "lm_eval")}


def python(*command: object) -> str:
    done = warm_python.python(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What the example makes, with few epochs, and what its commands print."""
    folder = tmp_path_factory.mktemp("chain") / "runs"
    printed = {}

    def run(command: list[str], *, check: bool) -> None:
        printed[" ".join(command).replace(f"{folder}/", "")] = python(*PROGRAMS[command[0]], *command[1:])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["chain.py", str(folder), "--epochs", "30"])
        chain = runpy.run_path(str(CHAIN))
        patched.setitem(chain["run"].__globals__, "subprocess", SimpleNamespace(run=run))
        chain["main"]()
    return folder, printed


def told(printed: dict[str, str], name: str) -> dict[str, float]:
    said = printed[f"harness-ext forget-quality results/{name} --retain results/retain"]
    return {name: float(value) for name, value in re.findall(r"^(\w+) +([\d.]+)$", said, re.MULTILINE)}


def test_the_example_trains_unlearns_asks_and_compares(runs: tuple[Path, dict[str, str]]) -> None:
    folder, printed = runs
    with (folder / "table.csv").open(encoding="utf-8", newline="") as lines:
        rows = {(row["model"], row["metric"]): float(row["value"]) for row in csv.DictReader(lines)}
    assert {model for model, metric in rows if metric == "forget_quality"} == {"full", "rkld", "npo"}
    assert rows["full", "prob"] > 10 * rows["retain", "prob"]  # it was taught what the other one was not
    for name in ("rkld", "npo"):
        assert rows[name, "prob"] == pytest.approx(told(printed, name)["forget_prob"], abs=1e-6)
        assert rows[name, "prob"] < 0.8 * rows["full", "prob"]
        record = json.loads((folder / name / "method.json").read_text())
        assert record["base"]["path"] == str(folder / "full")
        assert record["notes"]["rows"]["forget"] == 20


def test_an_adapter_that_forgets_is_run_by_lm_eval(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, printed = runs
    given = {
        "model": folder / "full", "forget_data": folder / "full.jsonl", "out": tmp_path / "adapter", "trained": "lora",
        "epochs": 2, "lr": 1e-3,
    }  # fmt: skip
    options = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    assert python("-c", MAIN, "method", "run", "npo", *options).strip() == str(given["out"])
    record = json.loads((tmp_path / "adapter" / "method.json").read_text())
    (said,) = (text for command, text in printed.items() if command.startswith("harness-ext pairs"))
    assert record["data"][str(folder / "full.jsonl")] in said  # the checksum that `pairs` printed
    assert record["total"]["changed_tensors"] > 0
    task = "tofu_forget10_generate"
    python(
        "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--tasks", task, "--metadata", '{"data": "sample"}',
        "--model_args", f"pretrained={folder / 'full'},peft={tmp_path / 'adapter'}",
        "--limit", "2", "--output_path", tmp_path / "results",
    )  # fmt: skip
    (file,) = (tmp_path / "results").rglob("results_*.json")
    assert json.loads(file.read_text())["results"][task]
