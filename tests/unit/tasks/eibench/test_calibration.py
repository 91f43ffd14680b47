"""Labels whatever the docs say: what calibration takes away, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import lm_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager

from harness_ext.tasks.eibench.calibration import calibrated

TASKS = Path(__file__).parents[4] / "tasks"
LIKELIHOODS = st.floats(-50, 0)


@given(
    table=st.lists(st.lists(LIKELIHOODS, min_size=3, max_size=3), min_size=2, max_size=6),
    preferred=st.lists(LIKELIHOODS, min_size=3, max_size=3),
)
def test_what_a_model_thinks_of_a_label_before_any_doc_moves_no_score(
    table: list[list[float]], preferred: list[float]
) -> None:
    docs = [doc for doc in ({"id": number} for number in range(len(table))) for _ in range(3)]
    plain, shifted = (
        [value for value, _ in calibrated([(float(one), False) for one in np.ravel(own)], docs)]
        for own in (np.array(table), np.array(table) + np.array(preferred))
    )
    assert plain == pytest.approx(shifted, abs=1e-9)
    assert np.reshape(plain, (-1, 3)).mean(0) == pytest.approx([0, 0, 0], abs=1e-9)


def test_docs_may_have_different_numbers_of_labels_and_a_reply_keeps_its_likelihood() -> None:
    two, three, reply = {"id": 1}, {"id": 2}, {"id": 3}
    found = calibrated(
        [(-1.0, True), (-2.0, False), (-3.0, True), (-4.0, False), (-7.0, False)], [two] * 2 + [three] * 3
    )
    assert found == [(1.0, True), (1.0, False), (-1.0, True), (-1.0, False), (0.0, False)]
    assert calibrated([(-9.0, True)], [reply]) == [(-9.0, True)]


def test_the_group_behind_examples_scores_both_ways() -> None:
    manager = TaskManager(include_defaults=False, include_path=TASKS, metadata={"data": "sample"})
    report = lm_eval.simple_evaluate(
        "dummy", tasks=["eibench_ll_few_shot"], limit=2, task_manager=manager, bootstrap_iters=0
    )
    for name in ("eibench_ll_few_shot", "eibench_meld_ll", "eibench_goemotions_ll"):
        assert {"ei_score,none", "ei_score,calibrated"} <= report["results"][name].keys()
    replies = report["results"]["eibench_ed_response_ll"]
    assert replies["gold_word_ppl,none"] == replies["gold_word_ppl,calibrated"]
