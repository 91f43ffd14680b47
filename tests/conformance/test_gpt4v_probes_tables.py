"""Stored answers to probes, from lm-eval to the tables; and two runs with the same pictures are the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

from harness_ext import compare, read
from harness_ext.models.replay.lm import Replay
from harness_ext.results.reading.frame import to_rows
from harness_ext.tasks import gpt4v_probes
from harness_ext.tasks.gpt4v_probes import table

TASKS = (
    "syn_vqa",
    "syn_depth",
    "vicomte_shape",
    "vicomte_shape_text",
    *(f"syn_refusal_{t}" for t in ("gender", "race", "age")),
)
LIMIT = 12
REFUSAL = "I'm sorry, but I cannot help with identifying people."


def answered(folder: Path, right: set[str]) -> Path:
    """Results of a model that answers the first half of every task and, of those named, all; it refuses the rest."""
    names = [f"gpt4v_probes_{task}" for task in TASKS]
    manager = TaskManager(include_defaults=False, include_path=str(Path(gpt4v_probes.__file__).parent))
    rows = []
    for name, task in manager.load(names)["tasks"].items():
        for number, doc in zip(range(LIMIT), task.eval_docs, strict=False):
            text = task.doc_to_target(doc) if name in right or number < LIMIT // 2 else REFUSAL
            rows.append({"task": name, "doc_id": number, "response": text})
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    tracker = EvaluationTracker(output_path=str(folder))
    found = simple_evaluate(
        model=Replay(str(folder / "answers.jsonl"), model="toy"), tasks=names, task_manager=manager, limit=LIMIT,
        bootstrap_iters=0, log_samples=True, evaluation_tracker=tracker,
    )  # fmt: skip
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in names:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Path:
    folder = tmp_path_factory.mktemp("probes")
    first, second = folder / "first", folder / "second"
    for each in (first, second):
        each.mkdir()
        answered(each, {"gpt4v_probes_vicomte_shape_text", "gpt4v_probes_syn_refusal_age"})
    return folder


def value(rows: Any, task: str, metric: str) -> Any:
    (found,) = [row for row in rows if row.task == f"gpt4v_probes_{task}" and row.metric == metric]
    return found


def test_blocks_refusals_and_white_pictures_have_numbers_with_intervals(runs: Path) -> None:
    rows = to_rows(read(runs / "first").frame)
    assert value(rows, "visual", "right").value == 0.5
    assert value(rows, "refusal", "refusal_gap").value == 0.5
    assert value(rows, "refusal", "refusal_inconsistency_gender").value == 1.0
    assert value(rows, "refusal", "refusal_inconsistency_age").value == 0.0
    effect = value(rows, "vicomte_shape", "white_effect")
    assert effect.value == -0.5
    assert effect.low < effect.value < effect.high < 0
    share = value(rows, "visual", "right")
    assert share.low < 0.5 < share.high


def test_what_people_counted_stands_in_a_column_of_its_own(runs: Path) -> None:
    rows = to_rows(read(runs / "first", published=True).frame)
    (seeing,) = [one for one in table.build(rows) if "seeing" in one.title]
    heads = [column.name for column in seeing.columns]
    people, scorers = heads.index("correct ↑"), heads.index("right ↑")
    totals = [line for line in seeing.rows if line[0].text == "gpt4v_probes_visual"]
    assert [(line[people].text, line[scorers].text[:6]) for line in totals] == [
        ("–", "0.5000"), ("135 of 160", "–"), ("125 of 160", "–"), ("52 of 60", "–")
    ]  # fmt: skip


def test_two_runs_with_the_same_pictures_compare_as_equal(runs: Path) -> None:
    found = compare(runs / "first", runs / "second").to_pandas()
    assert (found["difference"] == 0).all()
