"""Examples that all docs of a leaf share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager

from harness_ext.errors import InputError
from harness_ext.tasks.eibench.aspects import EI_ASPECTS
from harness_ext.tasks.eibench.few_shot import Spread

TASKS = Path(__file__).parents[4] / "tasks"


def ids(docs: Sequence[dict[str, int]]) -> list[int]:
    return [doc["id"] for doc in docs]


def test_examples_stand_at_equal_distances_and_are_the_same_for_every_doc() -> None:
    sampler = Spread([{"id": number} for number in range(100)])
    assert ids(sampler.sample(4)) == ids(sampler.sample(4, eval_doc={"id": 7})) == [0, 25, 50, 75]


def test_a_doc_is_not_its_own_example_and_the_others_stay() -> None:
    sampler = Spread([{"id": number} for number in range(100)])
    assert ids(sampler.sample(4, eval_doc={"id": 25})) == [0, 26, 50, 75]


def test_examples_have_different_answers_while_the_split_has_such() -> None:
    answers = ["neutral"] * 90 + ["joy"] * 5 + ["anger"] * 5
    sampler = Spread([{"id": number, "target": answer} for number, answer in enumerate(answers)])
    assert ids(sampler.sample(3)) == [0, 90, 95]
    assert ids(sampler.sample(3, eval_doc={"id": 90, "target": "joy"})) == [0, 91, 95]
    assert ids(sampler.sample(4)) == [0, 90, 95, 75]


@given(size=st.integers(1, 12), wanted=st.integers(1, 12), own=st.integers(0, 12))
def test_there_are_as_many_different_examples_as_asked_for_or_an_error(size: int, wanted: int, own: int) -> None:
    sampler = Spread([{"id": number} for number in range(size)])
    if wanted > size - (own < size):
        with pytest.raises(InputError, match="Give a smaller number"):
            sampler.sample(wanted, eval_doc={"id": own})
        return
    found = ids(sampler.sample(wanted, eval_doc={"id": own}))
    assert len(set(found)) == wanted
    assert own not in found


def test_the_groups_for_base_models_hold_every_leaf_once() -> None:
    manager = TaskManager(include_defaults=False, include_path=TASKS, metadata={"data": "sample"})
    leaves = {f"eibench_{part}" for parts in EI_ASPECTS.values() for part in parts}
    assert set(manager.load("eibench_few_shot")["tasks"]) == leaves
    halves = {"eibench_emobench_eu_emotion_ll", "eibench_emobench_eu_cause_ll"}
    without = {"eibench_cause_span", "eibench_ecf", "eibench_semeval_vreg", "eibench_emobench_eu"}
    for group in ("eibench_ll", "eibench_ll_few_shot"):
        assert set(manager.load(group)["tasks"]) == {f"{leaf}_ll" for leaf in leaves - without} | halves
    assert {f"{leaf}_ll" for leaf in without} & manager.task_index.keys() == set()
    mbtibench = manager.load("mbtibench_ll")["tasks"]
    assert len(mbtibench) == 8
    assert {task.OUTPUT_TYPE for task in mbtibench.values()} == {"multiple_choice"}
