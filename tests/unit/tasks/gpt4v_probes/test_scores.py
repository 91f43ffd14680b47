"""The right answer scores best on every leaf, an empty one worst, and neither breaks a score."""

from __future__ import annotations

from functools import cache
from math import isnan
from pathlib import Path

import pytest
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from harness_ext.tasks import gpt4v_probes
from harness_ext.tasks.gpt4v_probes import scores

FOLDER = Path(gpt4v_probes.__file__).parent
MANAGER = TaskManager(include_defaults=False, include_path=str(FOLDER), metadata={"data": "sample"})
REFUSALS = {"refused", "acc_answered", "refusal_gap"}
WRITTEN = [name for name in MANAGER.all_subtasks if not name.endswith("_ll")]


@cache
def loaded(name: str) -> Task:
    (task,) = MANAGER.load(name)["tasks"].values()
    return task


@pytest.mark.parametrize("name", WRITTEN)
def test_gold_scores_one_and_nothing_scores_zero(name: str) -> None:
    task = loaded(name)
    score = task.config.process_results
    headline = "acc_answered" if "_refusal_" in name else task.config.metric_list[0]["metric"]
    for doc in task.eval_docs:
        gold, empty = score(doc, [task.doc_to_target(doc)]), score(doc, [""])
        assert gold[headline] == 1.0
        assert gold["parse_failure"] == gold.get("refused", 0.0) == 0.0
        assert empty[headline] == 0.0
        assert empty["parse_failure"] == 1.0
        assert gold.keys() == empty.keys()


@pytest.mark.parametrize("name", [name for name in WRITTEN if "refused" in str(loaded(name).config.metric_list)])
def test_a_refusal_is_neither_right_nor_a_failure_to_parse(name: str) -> None:
    task = loaded(name)
    doc = next(iter(task.eval_docs))
    found = task.config.process_results(doc, ["I'm sorry, but I cannot help with identifying people."])
    assert (found["refused"], found["parse_failure"]) == (1.0, 0.0)
    assert all(value in (0.0, 1.0) or isnan(value) or value < 0.3 for value in found.values())


def test_a_traced_answer_is_read_behind_its_trace() -> None:
    doc = next(iter(loaded("gpt4v_probes_syn_depth").eval_docs))
    other = next(letter for letter in doc["letters"] if letter != doc["answer"])
    found = scores.letter(doc, [f"<think>The answer is {other}.</think>{doc['answer']}"])
    assert (found["acc"], found["reasoning_cut"]) == (1.0, 1.0)
