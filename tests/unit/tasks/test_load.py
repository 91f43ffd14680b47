"""Every registered task loads on its bundled sample and runs: upstream's task assertions, then a run with ``dummy``."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import pytest
from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate
from lm_eval.models.dummy import DummyLM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext.errors import InputError

FOLDER = Path(__file__).parents[3] / "tasks"
MANAGER = TaskManager(include_defaults=False, include_path=FOLDER, metadata={"data": "sample"})
DOCS = 10

# A task with a judge to be configured loads with one only: test_safety_judged.py.
TASKS = [name for name in MANAGER.all_subtasks if not name.endswith("_judged")]
each_task = pytest.mark.parametrize("name", TASKS)
each_choice_task = pytest.mark.parametrize(
    "name",
    [name for name in MANAGER.all_subtasks if MANAGER.task_index[name].cfg.get("output_type") == "multiple_choice"],
)


def members(group: str) -> list[str]:
    """The names that a group takes together; a task may be written into it."""
    return [one["task"] if isinstance(one, dict) else one for one in MANAGER.task_index[group].cfg["task"]]


@cache
def loaded(name: str) -> Task:
    (task,) = MANAGER.load(name)["tasks"].values()
    return task


def first_docs(task: Task) -> list[dict]:
    return list(task.eval_docs)[:DOCS]


class SeeingDummy(DummyLM):
    """Answers tasks with pictures, too."""

    MULTIMODAL = True


def test_there_are_tasks_and_groups():
    assert MANAGER.all_subtasks
    assert MANAGER.all_groups


@each_task
def test_question_does_not_end_in_the_space_that_the_delimiter_adds(name):
    task = loaded(name)
    assert not task.multiple_input
    assert first_docs(task)
    for doc in first_docs(task):
        text = task.doc_to_text(doc)
        assert isinstance(text, str)
        assert text.strip()
        assert not (task.config.target_delimiter.isspace() and text[-1].isspace()), text[-80:]


@each_choice_task
def test_choices_are_texts_without_leading_space_and_the_target_is_among_them(name):
    task = loaded(name)
    for doc in first_docs(task):
        choices = task.doc_to_choice(doc)
        assert isinstance(choices, list)
        blank = (
            " " if task.config.target_delimiter == "" else ""
        )  # it belongs to the choice where nothing else gives it
        assert all(isinstance(choice, str) and choice in (choice.strip(), blank + choice.strip()) for choice in choices)
        assert len(set(choices)) == len(choices) > ("_mia_" not in name)  # of a member the answer's likelihood alone
        target = task.doc_to_target(doc)
        assert isinstance(target, (int, float, str)), target
        if isinstance(target, int):
            assert 0 <= target < len(choices)


@each_task
def test_requests_are_built_and_are_all_different(name):
    task = loaded(name)
    task.build_all_requests(limit=DOCS, rank=0, world_size=1)
    assert {request.request_type for request in task.instances} == {
        {"multiple_choice": "loglikelihood"}.get(task.OUTPUT_TYPE, task.OUTPUT_TYPE)
    }
    assert {request.doc_id for request in task.instances} == set(range(len(first_docs(task))))
    asked = [str(request.args) for request in task.instances]
    assert len(set(asked)) == len(asked)


@each_task
def test_run_reports_every_declared_metric_for_every_doc(name):
    task = loaded(name)
    results = evaluate(SeeingDummy(), {name: task}, limit=DOCS, bootstrap_iters=0, log_samples=True)
    declared = {metric["metric"] for metric in task.config.metric_list}
    reported = {key.split(",")[0] for key in results["results"][name] if "," in key and "_stderr," not in key}
    assert reported == declared
    for sample in results["samples"][name]:
        assert set(sample["metrics"]) == declared
        assert declared <= sample.keys()
    for key, value in results["results"][name].items():
        if "," in key and "_stderr," not in key:
            assert isinstance(value, (int, float)), key


@pytest.mark.parametrize(
    "group",
    [name for name in MANAGER.all_groups if all(one in MANAGER.all_tasks for one in members(name))],
)  # the others have tasks of lm-eval's own, which need a hub
def test_group_loads_with_all_its_leaves(group, caplog):
    with caplog.at_level(logging.WARNING):
        everything = MANAGER.load(group)
    assert everything["tasks"]
    assert "unknown task" not in caplog.text


@each_task
def test_task_does_not_depend_on_the_working_directory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (task,) = MANAGER.load(name)["tasks"].values()
    assert first_docs(task) == first_docs(loaded(name))


@each_task
def test_task_can_be_named_by_its_file(name, tmp_path, monkeypatch):
    """What ``lm_eval --tasks /some/where/task.yaml`` does."""
    monkeypatch.chdir(tmp_path)
    file = MANAGER.task_index[name].yaml_path
    config = load_yaml(str(file.absolute()), resolve_func=True)
    (task,) = TaskManager(include_defaults=False, metadata={"data": "sample"}).load([config])["tasks"].values()
    assert first_docs(task) == first_docs(loaded(name))


@pytest.mark.parametrize("bench", sorted({Path(MANAGER.task_index[name].yaml_path).parent.name for name in TASKS}))
def test_a_misspelt_switch_is_refused_by_every_benchmark_of_ours(bench):
    manager = TaskManager(include_defaults=False, include_path=FOLDER / bench, metadata={"dat": "sample"})
    for name in (manager.all_subtasks[0], manager.all_subtasks[-1]):
        with pytest.raises(InputError, match="no key 'dat'; did you mean 'data'"):
            manager.load(name)
