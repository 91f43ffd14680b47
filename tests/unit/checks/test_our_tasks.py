"""What ``harness-ext check`` says of the tasks that this package ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from harness_ext.checks.lock import LOCK
from harness_ext.checks.look import Report, choose, look

TASKS = Path(__file__).parents[3] / "tasks"
WITH_TASKS = sorted(
    {path.parent for path in TASKS.glob("*/*.yaml") if re.search(r"^task: \w+$", path.read_text(), re.M)}
)
"""Folders with tasks of their own; a group of lm-eval's has nothing to lock."""


@pytest.fixture(scope="module")
def report() -> Report:
    return look(choose(include_path=[TASKS]))


def test_nothing_is_found(report: Report) -> None:
    assert [f"{found.file.name}: {found.check}: {found.what}" for found in report.findings] == []


def test_docs_and_scores_of_every_task_are_looked_at_but_of_those_that_need_a_judge(report: Report) -> None:
    names = set(TaskManager(include_defaults=False, include_path=TASKS).all_subtasks)
    assert {loaded.file.name for loaded in report.loaded} == {name for name in names if not name.endswith("_judged")}


def test_a_task_with_a_judge_is_looked_at_once_it_is_given_one() -> None:
    chosen = choose(["safety_oktest_judged"], [TASKS])
    assert "has no judge" in look(chosen).left_out["safety_oktest_judged"]
    report = look(chosen, metadata={"judge": "rule:default_en"})
    assert ([loaded.file.name for loaded in report.loaded], report.findings) == (["safety_oktest_judged"], [])


@pytest.mark.parametrize("folder", WITH_TASKS, ids=lambda folder: folder.name)
def test_every_benchmark_has_a_lock_file(folder: Path) -> None:
    assert (folder / LOCK).is_file()


def test_every_yaml_file_is_in_lm_evals_index() -> None:
    index = TaskManager(include_defaults=False, include_path=TASKS).task_index
    assert {entry.yaml_path for entry in index.values()} - {None} == set(TASKS.rglob("*.yaml"))
