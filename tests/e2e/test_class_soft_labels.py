"""Soft labels over three classes: a task of YAML alone, from lm-eval's own command to the table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import distance
from warm_python import python

TOY_TASKS = Path(__file__).parent / "toy_tasks"
VOTES = np.array([[8, 0, 2], [0, 7, 3], [1, 1, 8], [0, 9, 1], [9, 0, 1], [0, 10, 0]]) / 10


def call(*arguments: object) -> str:
    done = python(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 2):
        call(
            *("-m", "lm_eval", "run", "--model", "dummy", "--tasks", "toy_moods", "--include_path", TOY_TASKS),
            *("--output_path", folder / str(seed), "--log_samples", "--seed", seed),
        )
    return folder


def table(*arguments: object) -> str:
    return call("-c", "from harness_ext.cli import main; main()", "table", *arguments)


@pytest.fixture(scope="module")
def rows(results: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(results, "--format", "csv"))))


def test_the_measured_row_is_scipys_mean_and_has_an_interval(results: Path, rows: list[dict[str, str]]) -> None:
    (samples,) = results.glob("1/**/samples_*.jsonl")
    expected = {"total_variation": [], "jensen_shannon": [], "soft_brier": []}
    for line in map(json.loads, samples.read_text().splitlines()):
        likelihoods = np.array([float(answer[0][0]) for answer in line["resps"]])
        predicted, gold = np.exp(likelihoods) / np.exp(likelihoods).sum(), np.array(line["doc"]["soft_label"]) / 10
        expected["total_variation"].append(distance.cityblock(gold, predicted) / 2)
        expected["jensen_shannon"].append(distance.jensenshannon(gold, predicted, 2) ** 2)
        expected["soft_brier"].append(distance.sqeuclidean(gold, predicted))
    measured = {row["metric"]: row for row in rows if row["run"].startswith(str(results / "1"))}
    for metric, values in expected.items():
        row = measured[metric]
        assert float(row["value"]) == pytest.approx(np.mean(values))
        assert float(row["low"]) < float(row["value"]) < float(row["high"])
    assert "soft_cross_entropy" in measured


def test_the_trivial_predictors_stand_beside_it_once_for_all_runs_of_the_same_docs(rows: list[dict[str, str]]) -> None:
    trivial = [row for row in rows if row["origin"] == "baseline" and row["metric"] == "soft_brier"]
    values = {row["model"]: float(row["value"]) for row in trivial}
    assert len(trivial) == len(values)
    predictors = {"mean label": VOTES.mean(0), "uniform label": np.full(3, 1 / 3)}
    assert values == pytest.approx(
        {name: np.mean([distance.sqeuclidean(gold, own) for gold in VOTES]) for name, own in predictors.items()}
    )


def test_the_table_tells_how_far_a_model_is_from_the_mean_label(results: Path) -> None:
    text = table(results / "1", "--format", "md")
    lines = [line for line in text.splitlines() if line.startswith("| toy_moods")]
    assert [("dummy" in line, "mean label" in line, "uniform label" in line) for line in lines] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert "Δ trivial" in text
