"""The benchmarks beside EiBench-R through lm-eval's own command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

from harness_ext.data import fetch
from harness_ext.tasks.eqbench_v2.docs import stored_answers

GROUPS = {
    "seceu": 2,
    "eqbench_v2": 2,
    "eqbench_v2_short": 2,
    "tombench_emotion": 2,
    "tombench_all_ll": 2,
    "emobench": 4,
    "emobench_ll": 6,
    "eibench_gi_proxy": 8,
    "eibench_gi_affect": 2,
    "eibench_gi_affect_ll": 2,
}


def lm_eval(output: Path, *arguments: str) -> dict[str, Any]:
    done = python("-m", "lm_eval", "run", "--output_path", str(output), *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = output.rglob("results_*.json")
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return report


def test_stored_answers_of_gpt_4_score_what_eq_bench_published(tmp_path: Path, mirror: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    rows = stored_answers(fetch("eqbench", "gpt-4-0613_eqbench_v2_results.json"))
    answers.write_text("\n".join(map(json.dumps, rows)))
    report = lm_eval(
        tmp_path / "out", "--model", "replay", "--model_args", f"path={answers}", "--tasks", "eqbench_v2_en"
    )
    values = report["results"]["eqbench_v2_en"]
    assert values["eqbench,none"] == pytest.approx(84.7873, abs=1e-4)
    assert values["eqbench_revised,none"] == pytest.approx(83.0922, abs=1e-4)
    assert values["percent_parseable,none"] == 100


def test_every_group_runs_on_its_sample_in_one_command(tmp_path: Path) -> None:
    report = lm_eval(
        tmp_path, "--model", "dummy", "--tasks", ",".join(GROUPS), "--metadata", '{"data": "sample"}', "--limit", "3"
    )
    assert {group: len(report["group_subtasks"][group]) for group in GROUPS} == GROUPS
    assert {config["metadata"]["data"] for config in report["configs"].values()} == {"sample"}
    assert report["groups"]["eibench_gi_proxy"]["gi_score,none"] == 0
    assert report["results"]["tombench_emotion_en"]["invalid,none"] == 1
    # a model that says nothing has an EQ-Bench score of 0, and no EQ
    assert report["results"]["eqbench_v2_de"]["eqbench,none"] == 0
    assert report["results"]["seceu_zh"]["parse_failure,none"] == 1
