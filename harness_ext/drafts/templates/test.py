"""<< name >>: stored answers get the scores that are known of them. Fails until they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

TASKS = Path(__file__).parents[<< up >>] / << literal(tasks) >>
ANSWERS = Path(__file__).with_name("<< name >>_answers.jsonl")
"""What somebody answered, one line a doc: << row >>"""
GOLDEN: dict[str, float] = {}
"""Metric to score of these answers: published, or computed by other code than this project's."""


def test_stored_answers_get_the_scores_that_are_known_of_them() -> None:
    assert GOLDEN, f"put answers into {ANSWERS.name} and their known scores into GOLDEN"
    manager = TaskManager(include_path=str(TASKS))
    found = simple_evaluate(
        "replay", {"path": str(ANSWERS)}, tasks=["<< name >>"], task_manager=manager, bootstrap_iters=0
    )
    scores = found["results"]["<< name >>"]
    assert {metric: scores[f"{metric},none"] for metric in GOLDEN} == pytest.approx(GOLDEN)
