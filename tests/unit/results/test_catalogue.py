"""The catalogue of tasks is what lm-eval finds, read without lm-eval."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext._autoload import task_folders
from harness_ext.results import catalogue as rooms
from harness_ext.results.catalogue import asked, catalogue, leaves, metrics, nearest, size


@functools.cache
def lm_evals() -> dict[str, Entry]:
    """lm-eval's own index of the same folders."""
    return TaskIndex.build([Path(folder) for folder in task_folders()])


def test_it_holds_the_names_that_lm_eval_finds() -> None:
    kinds = {Kind.GROUP: "group", Kind.TASK: "task", Kind.TAG: "tag"}
    assert {name: entry.kind for name, entry in catalogue().items()} == {
        name: kinds[entry.kind] for name, entry in lm_evals().items()
    }
    assert {name: set(entry.children) for name, entry in catalogue().items() if entry.kind == "tag"} == {
        name: entry.tags for name, entry in lm_evals().items() if entry.kind == Kind.TAG
    }


def test_includes_are_merged_as_lm_eval_merges_them() -> None:
    def without_functions(value: Any) -> Any:
        """lm-eval writes a function as a path."""
        if isinstance(value, dict):
            return {key: without_functions(own) for key, own in value.items()}
        if isinstance(value, list):
            return [without_functions(own) for own in value]
        return value.rpartition("/")[2] if isinstance(value, str) and "harness_ext." in value else value

    for name, entry in catalogue().items():
        file = lm_evals()[name].yaml_path
        if file is not None:
            theirs = load_yaml(file, resolve_func=False)
            assert without_functions(entry.config) == without_functions(theirs), name


def test_groups_come_first_and_hold_each_task_once() -> None:
    kinds = [entry.kind for entry in catalogue().values()]
    assert kinds == sorted(kinds, key=("group", "tag", "task").index)
    found = leaves("eibench")
    assert len(found) == len(set(found)) == 21
    assert leaves("eibench_gi") == ["mmlu", "arc_challenge", "winogrande", "boolq", "race"]


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_name_says_what_it_asks_and_how_it_is_judged(name: str) -> None:
    assert asked(name)
    entries = [catalogue().get(leaf) for leaf in leaves(name)]
    if None not in entries:  # lm-eval's own tasks, which their YAML tells of and ours does not
        assert metrics(name)
    counted = all(
        entry and entry.metadata.get("source") != "lens_nlu_hub" for entry in entries
    )  # nobody counts a hub's
    if counted and "_local_" not in name:  # or a user's
        assert size(name)


def test_a_group_that_runs_other_docs_than_its_tasks_has_a_size_of_its_own() -> None:
    assert size("eibench") == 17 * 500 + 261 + 141 + 2 * 200
    full = size("eibench_full")
    assert full is not None
    assert full > 60_000


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mbtibnch", "mbtibench"), ("eibench_mled", "eibench_meld"), ("EIBENCH", "eibench"),
        ("tombench", "tombench_all"), ("safety_xtest", "safety_xstest"), ("seceu_eng", "seceu_en"),
    ],
)  # fmt: skip
def test_a_typo_is_near_to_what_was_meant(typed: str, meant: str) -> None:
    assert meant in nearest(typed, catalogue())


def test_nothing_is_near_to_what_nobody_means() -> None:
    assert nearest("qqqqqqq", catalogue()) == []
    assert nearest("", catalogue()) == []


def test_a_broken_file_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "good.yaml").write_text("task: tea\nmetadata: {version: 1.0}\n")
    (tmp_path / "broken.yaml").write_text("task: [tea\n")
    (tmp_path / "list.yaml").write_text("- tea\n")
    (tmp_path / "loop.yaml").write_text("include: loop.yaml\ntask: loop\n")
    (tmp_path / "orphan.yaml").write_text("include: nowhere\ntask: orphan\n")
    monkeypatch.setattr(rooms.benches, "places", lambda: [("other.tasks", tmp_path)])
    monkeypatch.setattr(rooms, "catalogue", functools.cache(catalogue.__wrapped__))
    assert list(rooms.catalogue()) == ["tea"]
    for name in ("broken", "list", "loop", "orphan"):
        assert f"{name}.yaml is left out" in caplog.text
