"""Keys of ``--metadata`` that no task of a run reads are refused before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_eval import evaluator
from lm_eval.tasks import TaskManager

import harness_ext.tasks
from harness_ext.errors import InputError
from harness_ext.models.runs import switches

OURS = next(iter(harness_ext.tasks.__path__))
TOY = "output_type: multiple_choice\ndoc_to_text: x\ntest_split: test\nmetadata: {version: 1.0}\n"
LOADERS = """
def load(**settings):
    raise AssertionError("nothing is loaded yet")

def unsaid(**settings):
    raise AssertionError("nothing is loaded yet")

load.switches = ("colour",)
"""


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "docs.py").write_text(LOADERS)
    for name, loader, tag in (("mine", "load", "toy_tag"), ("mine_too", "load", "toy_tag"), ("open", "unsaid", "")):
        text = f"task: toy_{name}\ncustom_dataset: !function docs.{loader}\n{TOY}" + (f"tag: {tag}\n" if tag else "")
        (folder / f"{name}.yaml").write_text(text)
    (folder / "plain.yaml").write_text(f"task: toy_plain\ndataset_path: nowhere\n{TOY}")
    (folder / "group.yaml").write_text(
        "group: toy_group\ntask:\n  - toy_mine\n  - {task: toy_mine_too, num_fewshot: 1}\n"
    )
    (folder / "outer.yaml").write_text("group: toy_outer\ntask:\n  - toy_group\n  - {group: inner, task: [toy_tag]}\n")
    return TaskManager(include_defaults=False, include_path=[OURS, str(folder)])


@pytest.mark.parametrize(
    "tasks",
    [
        *(["toy_mine"], ["toy_tag"], ["toy_group"], ["toy_outer"], ["seceu_en", "toy_mine"], "toy_mine"),
        *([{"task": "toy_mine"}], [{"group": "new", "task": ["toy_mine", "toy_tag"]}]),
    ],
)
def test_a_key_that_no_task_reads_is_refused_with_the_keys_that_they_read(manager: Any, tasks: Any) -> None:
    asked = {"tasks": tasks, "task_manager": manager, "metadata": {"colour": "red", "size": 1}}
    with pytest.raises(InputError, match="no task of this run reads 'size' of --metadata; they read 'colour'"):
        switches.check(asked)


@pytest.mark.parametrize("unknown", ["toy_open", "toy_plain"])
def test_a_task_that_does_not_say_what_it_reads_may_read_every_key(manager: Any, unknown: str) -> None:
    switches.check({"tasks": ["toy_mine", unknown], "task_manager": manager, "metadata": {"size": 1}})


def test_tasks_of_lm_eval_itself_may_read_every_key() -> None:
    switches.check({"tasks": ["hellaswag"], "metadata": {"size": 1}})


def test_arguments_of_the_model_are_no_keys_that_anybody_asked_for(manager: Any) -> None:
    for model_args in ("pretrained=m,size=1", {"pretrained": "m", "size": 1}):
        given = {"tasks": ["toy_mine"], "task_manager": manager, "model_args": model_args}
        switches.check(given | {"metadata": {"pretrained": "m", "size": 1, "colour": "red"}})


def test_every_task_of_ours_says_what_it_reads(manager: Any) -> None:
    ours = [name for name in manager.all_subtasks if Path(manager.task_index[name].yaml_path).is_relative_to(OURS)]
    assert len(ours) > 100
    for name in ours:
        (load,) = switches.loaders([name], manager.task_index)
        assert {"data", "reasoning_markers"} <= {*load.switches}, name


@pytest.mark.parametrize(
    ("task", "key"),
    [
        *(
            ("mbtibench_zero_shot_ei", "cap"),
            ("mbtibench_zero_shot_ei", "personality"),
            ("eibench_meld", "prompt_pack"),
        ),
        *(("seceu_en", "form"), ("seceu_en", "version"), ("tombench_all_en", "judge"), ("seceu_en", "zzz")),
    ],
)
def test_a_key_of_another_benchmark_is_refused_before_the_model_is_made(manager: Any, task: str, key: str) -> None:
    with pytest.raises(InputError, match=f"no task of this run reads '{key}' of --metadata"):
        evaluator.simple_evaluate(
            model="no such model", tasks=[task], task_manager=manager, metadata={"data": "sample", key: "x"}
        )


def test_a_package_of_somebody_else_declares_what_its_tasks_read(monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(__file__).parents[2] / "e2e" / "third_party"
    monkeypatch.syspath_prepend(str(package))
    manager = TaskManager(include_defaults=False, include_path=str(package / "teahouse"))
    asked = {"tasks": ["steeping"], "task_manager": manager}
    switches.check(asked | {"metadata": {"unit": "seconds"}})
    with pytest.raises(InputError, match=r"no task of this run reads 'colour' of --metadata; they read .*'unit'"):
        switches.check(asked | {"metadata": {"colour": "red"}})
