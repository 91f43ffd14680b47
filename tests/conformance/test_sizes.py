"""The sizes that ``harness-ext tasks`` prints are those of the real data."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval.tasks._index import TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext._autoload import task_folders
from harness_ext.errors import DataError
from harness_ext.results import benches
from harness_ext.results.catalogue import catalogue, size
from harness_ext.tasks.eibench.aspects import EI_ASPECTS
from harness_ext.tasks.eibench.docs import read


def _one_task_for_each_declared_size() -> list[str]:
    """The first task whose size comes from it: the longest key that its name begins with."""
    chosen: dict[str, str] = {}
    for name, entry in catalogue().items():
        keys = [key for key in benches.declared(entry.bench).sizes if f"{name}_".startswith(f"{key}_")]
        if entry.kind == "task" and keys and not name.endswith("_judged"):
            chosen.setdefault(max(keys, key=len), name)
    return sorted(chosen.values())


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    index = TaskIndex.build([Path(folder) for folder in task_folders()])
    return {name: entry.yaml_path for name, entry in index.items() if entry.yaml_path}


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("name", _one_task_for_each_declared_size())
def test_a_task_has_as_many_docs_as_it_says(name: str, files: dict[str, Path]) -> None:
    config = load_yaml(files[name])
    try:
        splits = config["custom_dataset"](**config["metadata"], **config.get("dataset_kwargs", {}))
    except DataError as error:
        pytest.skip(str(error)[:100])
    assert len(splits[config["test_split"]]) == size(name)


@pytest.mark.usefixtures("mirror")
def test_the_uncapped_group_has_all_docs_of_its_tasks() -> None:
    assert sum(len(read(part, "test")) for parts in EI_ASPECTS.values() for part in parts) == size("eibench_full")
