"""Two runs of lm-eval's real command line, compared by ours."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

from harness_ext.data import load_sample

LEAVES = [f"mbtibench_zero_shot_{part}" for part in ("ei", "sn", "tf", "jp")]
SAMPLE = '{"data": "sample"}'


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python(*arguments)


def compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return call("-c", "from harness_ext.cli import main; main()", "compare", *map(str, arguments))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """MBTIBench on sample data: answers in the middle of the scale, and random ones."""
    folder = tmp_path_factory.mktemp("runs")
    rng = random.Random(1)
    found = []
    for name, scores in (("middle", [4, 5, 6]), ("wild", [1, 9])):
        answers = folder / f"{name}.jsonl"
        rows = [
            {"task": task, "id": doc["id"], "response": f"[[{rng.choice(scores)}]]"}
            for task in LEAVES
            for doc in load_sample("mbtibench")
        ]
        answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = call(
            "-m", "lm_eval", "run", "--model", "replay", "--model_args", f"path={answers},model={name}", "--tasks",
            "mbtibench_zero_shot", "--metadata", SAMPLE, "--output_path", str(folder / name), "--log_samples",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(folder / name)
    return found


def reported(run: Path) -> dict[str, dict[str, Any]]:
    (file,) = run.rglob("results_*.json")
    content: dict[str, dict[str, Any]] = json.loads(file.read_text())["results"]
    return content


def test_the_compared_values_are_those_that_lm_eval_reported(runs: list[Path]) -> None:
    done = compare(*runs, "--json", "--draws", "1000")
    assert done.returncode == 0, done.stderr
    lines = {line["task"]: line for line in json.loads(done.stdout)["comparisons"]}
    assert list(lines) == [*LEAVES, "mbtibench_zero_shot"]
    for side, run in zip(("value_a", "value_b"), runs, strict=True):
        values = reported(run)
        assert {task: line[side] for task, line in lines.items()} == pytest.approx(
            {task: values[task]["s_rmse,none"] for task in lines}
        )
    group, authors = lines["mbtibench_zero_shot"], len(load_sample("mbtibench"))
    assert (group["n"], group["units"]) == (4 * authors, authors)
    assert group["better"] == "middle"


def test_a_run_compared_with_itself_does_not_differ(runs: list[Path]) -> None:
    done = compare(runs[0], runs[0], "--json", "--draws", "200", "--metric", "spearman", "--metric", "s_mae")
    assert done.returncode == 0, done.stderr
    for line in json.loads(done.stdout)["comparisons"]:
        assert (line["difference"], line["p"], line["better"]) == (0, 1, None)


def test_runs_with_other_prompts_are_refused_in_a_sentence(runs: list[Path], tmp_path: Path) -> None:
    for file in runs[1].rglob("*.json*"):
        lines = file.read_text().replace('"prompt_hash": "', '"prompt_hash": "0')
        (tmp_path / file.name).write_text(lines)
    done = compare(runs[0], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the runs cannot be compared:\n  mbtibench_zero_shot_ei: prompts differ for ")
    assert "Traceback" not in done.stderr


def test_metrics_that_a_benchmark_brings_are_recorded_by_address_and_found_again(tmp_path: Path) -> None:
    """PsyCoT averages the items of an author first: an aggregation of MBTIBench's own."""
    tasks = "mbtibench_psycot_ll,mbtibench_zero_shot_ei"
    done = call(
        "-m", "lm_eval", "run", "--model", "dummy", "--tasks", tasks, "--metadata", SAMPLE, "--output_path",
        str(tmp_path / "out"), "--log_samples",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "out").rglob("results_*.json")
    configs = json.loads(file.read_text())["configs"]
    for task, address in (
        ("mbtibench_psycot_ll_ei", "harness_ext.tasks.mbtibench.scores:authors_s_rmse"),
        ("mbtibench_zero_shot_ei", "harness_ext.scoring.soft_labels:agg_s_rmse"),
    ):
        recorded = {entry["metric"]: entry["aggregation"] for entry in configs[task]["metric_list"]}
        assert recorded["s_rmse"] == address

    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    done = compare(tmp_path / "out", tmp_path / "copy", "--json", "--draws", "100", "--all-metrics")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    reported = {
        (task, key.removesuffix(",none")): value
        for task, results in json.loads(file.read_text())["results"].items()
        for key, value in results.items()
        if key.endswith(",none") and "stderr" not in key and not math.isnan(value)
    }
    compared = {(line["task"], line["metric"]): line["value_a"] for line in found["comparisons"]}
    assert {key: compared[key] for key in reported if key[0].startswith("mbtibench_psycot_ll_")} == pytest.approx(
        {key: value for key, value in reported.items() if key[0].startswith("mbtibench_psycot_ll_")}
    )
    assert not [note for note in found["notes"] if "left out" in note]
    units = {line["task"]: line["units"] for line in found["comparisons"]}
    assert units["mbtibench_psycot_ll_ei"] == len(load_sample("mbtibench"))

    done = call("-c", "from harness_ext.cli import main; main()", "table", str(tmp_path / "out"), "--details")
    assert done.returncode == 0, done.stderr
    assert "psycot_ll" in done.stdout
