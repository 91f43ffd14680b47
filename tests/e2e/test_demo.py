"""The demo from nothing: conversion, both benchmarks with a real language model, and the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness_ext.models import demo_model

pytestmark = pytest.mark.slow

TOY_TASKS = Path(__file__).parent / "toy_tasks"
PREPARE = """
import sys
from pathlib import Path
from harness_ext.models.demo_model import prepare
prepare(Path(sys.argv[1]), print)
"""


def start(program: str, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | quiet | environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def harness_ext(*arguments: str, cwd: Path, cache: Path) -> tuple[str, str]:
    process = start(
        "from harness_ext.cli import main; main()", *arguments, cwd=cwd, HARNESS_EXT_CACHE=str(cache), COLUMNS="200"
    )
    out, err = process.communicate(timeout=1800)
    assert process.returncode == 0, err
    return out, err


def results(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*/results_*.json")
    content: dict[str, Any] = json.loads(file.read_text())
    return content


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which two processes at once have prepared the model, after a killed attempt and over a damaged one."""
    for package in (demo_model.PACKAGE, "gguf", "torch", "transformers"):
        pytest.importorskip(package)
    cache = tmp_path_factory.mktemp("cache")
    models = cache / "models"
    (models / f"{demo_model.NAME}.partial-killed").mkdir(parents=True)
    (models / demo_model.NAME).mkdir()
    (models / demo_model.NAME / "model.safetensors").write_bytes(b"half of it")
    both = [start(PREPARE, str(cache)) for _ in range(2)]
    outputs = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("reading the weights" in out for out, _ in outputs) == 1
    return cache


def test_the_conversion_leaves_one_intact_model_and_nothing_else(cache: Path) -> None:
    assert demo_model.is_intact(cache / "models" / demo_model.NAME)
    assert {path.name for path in (cache / "models").iterdir()} == {demo_model.NAME, f"{demo_model.NAME}.lock"}


def test_the_converted_model_gives_the_scores_of_the_gguf_file(cache: Path, tmp_path: Path) -> None:
    model = f"pretrained={cache / 'models' / demo_model.NAME},dtype=float32"
    tasks = ["--tasks", "toy_completion", "--include_path", str(TOY_TASKS), "--output_path", str(tmp_path)]
    harness_ext("run", "--model", "hf", "--model_args", model, "--device", "cpu", *tasks, cwd=tmp_path, cache=cache)
    found = results(tmp_path)["results"]["toy_completion"]
    assert found["acc,none"] == 1.0
    assert round(found["rmse,none"], 4) == 0.2295  # lm_eval on the GGUF file itself, float32
    assert found["rmse_stderr,none"] == "N/A"


def test_the_demo_scores_both_benchmarks_and_marks_them_as_samples(cache: Path, tmp_path: Path) -> None:
    out, err = harness_ext("demo", cwd=tmp_path, cache=cache)
    folder = tmp_path / "results" / "demo"
    content = results(folder)
    scores = content["results"]
    assert {"mbtibench_zero_shot", "mbtibench_zero_shot_ll", "eibench"} <= set(content["groups"])
    assert scores["mbtibench_zero_shot_ll_ei"]["parse_failure,none"] == 0.0
    assert 0 <= scores["eibench_tweet_emotion"]["ei_score,none"] <= 100
    assert content["config"]["gen_kwargs"] == {"max_gen_toks": 16}
    assert err.index("Plan: ") < err.index("Roughly ") < err.index("Wrote ")
    for text in (out, (folder / "table.md").read_text()):
        assert "MBTIBench" in text
        assert "EiBench-R" in text
        assert "sample" in text
