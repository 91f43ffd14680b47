"""The demo from nothing: conversion, a method, both benchmarks with real language models, and the tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

from harness_ext.models.demo_models import BASE, INSTRUCT, is_intact, prepare
from harness_ext.tasks.eibench.aspects import EI_ASPECTS

pytestmark = pytest.mark.slow

TOY_TASKS = Path(__file__).parent / "toy_tasks"
PREPARE = """
import sys
from importlib.util import find_spec
from pathlib import Path
from harness_ext.models.demo_models import BASE, prepare
prepare(BASE, Path(sys.argv[1]), print)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | quiet,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def harness_ext(*arguments: str, cwd: Path, cache: Path) -> tuple[str, str]:
    main = "from harness_ext.cli import main; main()"
    done = python("-c", main, *arguments, cwd=cwd, timeout=1800, HARNESS_EXT_CACHE=str(cache), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def results(folder: Path, task: str) -> dict[str, Any]:
    contents: list[dict[str, Any]] = [json.loads(file.read_text()) for file in folder.glob("*/results_*.json")]
    (found,) = (content for content in contents if task in content["results"])
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which two processes at once have prepared the model, after a killed attempt and over a damaged one."""
    for package in (BASE.package, INSTRUCT.package, "gguf", "torch", "transformers"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    cache = tmp_path_factory.mktemp("cache")
    models = cache / "models"
    (models / f"{BASE.name}.partial-killed").mkdir(parents=True)
    (models / BASE.name).mkdir()
    (models / BASE.name / "model.safetensors").write_bytes(b"half of it")
    both = [start(PREPARE, str(cache)) for _ in range(2)]
    outputs = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("reading the weights" in out for out, _ in outputs) == 1
    return cache


def test_the_conversion_leaves_one_intact_model_and_nothing_else(cache: Path) -> None:
    assert is_intact(BASE, cache / "models" / BASE.name)
    assert {path.name for path in (cache / "models").iterdir()} == {BASE.name, f"{BASE.name}.lock"}


def test_the_converted_model_gives_the_scores_of_the_gguf_file(cache: Path, tmp_path: Path) -> None:
    model = f"pretrained={cache / 'models' / BASE.name},dtype=float32"
    tasks = ["--tasks", "toy_completion", "--include_path", str(TOY_TASKS), "--output_path", str(tmp_path)]
    harness_ext("run", "--model", "hf", "--model_args", model, "--device", "cpu", *tasks, cwd=tmp_path, cache=cache)
    found = results(tmp_path, "toy_completion")["results"]["toy_completion"]
    assert found["acc,none"] == 1.0
    assert round(found["rmse,none"], 4) == 0.2295  # lm_eval on the GGUF file itself, float32
    assert found["rmse_stderr,none"] == "N/A"


def test_the_demo_compares_a_model_that_it_makes_with_its_base(cache: Path, tmp_path: Path) -> None:
    prepare(INSTRUCT, cache)
    out, err = harness_ext("demo", "--sample", cwd=tmp_path, cache=cache)
    folder = tmp_path / "results" / "demo"
    record = json.loads((cache / "demo" / "samples" / "smollm2-135m-instruct-tuned" / "method.json").read_text())
    rows = [json.loads(line) for line in (cache / "demo" / "samples" / "train.jsonl").read_text().splitlines()]
    assert (record["method"], record["notes"]["rows"]) == ("fine_tuning", {"train": len(rows)})
    assert len(rows) > 40
    trained = {(row["task"], row["id"]) for row in rows}
    asked = set()
    for name in ("base", "instruct", "tuned"):
        for file in (folder / name).rglob("samples_*.jsonl"):
            docs = [json.loads(line)["doc"] for line in file.read_text().splitlines()]
            asked |= {(doc.get("task"), doc.get("id")) for doc in docs}
    assert len(trained) == len(rows)
    assert trained.isdisjoint(asked)
    scores = results(folder / "tuned", "eibench_few_shot")["results"]
    leaves = [f"eibench_{part}" for parts in EI_ASPECTS.values() for part in parts]
    shares = [scores[leaf].get("invalid,none", scores[leaf].get("parse_failure,none")) for leaf in leaves]
    assert sum(share <= 0.05 for share in shares) >= 15
    assert scores["eibench_emobench_eu"]["invalid,none"] < 1
    base = results(folder / "base", "eibench_ll_few_shot")["results"]["eibench_ll_few_shot"]
    assert {"ei_score,none", "ei_score,calibrated"} <= base.keys()
    cut = results(folder / "tuned", "eibench_few_shot")["usage"]["cut"]
    assert cut.keys() == set(leaves)
    assert all(own["answers"] == scores[leaf]["sample_len"] for leaf, own in cut.items())
    assert err.index("harness-ext pairs") < err.index("harness-ext method run") < err.index("Plan: ")
    assert err.index("Plan: ") < err.index("Wrote ") < err.index("page.html")
    for text in (out, (folder / "table.md").read_text(), (folder / "page.html").read_text()):
        for word in ("MBTIBench", "EiBench-R", "sample", "smollm2-135m-instruct-tuned", "gemma-3-270m-q4_k_m"):
            assert word in text
