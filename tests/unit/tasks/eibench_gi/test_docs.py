"""The proxy tasks for general intelligence: questions, values and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext.errors import InputError
from harness_ext.tasks.eibench_gi import docs, scores

BOOLQ: dict[str, Any] = {
    "instruction": "Judge.", "input": "Is it so?", "gold": ["True"], "values": ["True", "False"], "listed": False,
}  # fmt: skip
QUOREF: dict[str, Any] = BOOLQ | {"gold": ["Smetana.", "the composer"], "values": []}
FOLDER = Path(docs.__file__).parent


@given(text=st.text())
def test_any_answer_has_scores_from_0_to_100_and_an_exact_one_is_readable(text: str) -> None:
    for doc in (BOOLQ, QUOREF):
        values = scores.exact(doc, [text])
        assert all(0 <= value <= 100 for value in values.values())
        assert values["gi_score"] in (0, 100)
        if values["gi_score"] == 100:
            assert values["parse_failure"] == 0


@pytest.mark.parametrize("text", ["True", "true.", "\n\n **True**\nbecause", " TRUE \n"])
def test_the_first_line_counts_without_case_and_punctuation(text: str) -> None:
    assert scores.exact(BOOLQ, [text])["gi_score"] == 100


@pytest.mark.parametrize(("text", "failed"), [("False", 0.0), ("It is true", 1.0), ("", 1.0)])
def test_a_wrong_value_is_wrong_and_anything_else_a_parse_failure_too(text: str, failed: float) -> None:
    values = scores.exact(BOOLQ, [text])
    assert (values["gi_score"], values["parse_failure"]) == (0, failed)


def test_the_best_of_several_answers_counts() -> None:
    assert scores.exact(QUOREF, ["The Composer"])["gi_score"] == 100
    values = scores.overlap(QUOREF, ["composer"])
    assert values["gi_score"] == values["t2t_rougeL"] == pytest.approx(200 / 3)
    assert values["t2t_em"] == 0


def test_a_free_answer_fails_only_when_it_is_empty() -> None:
    assert scores.overlap(QUOREF, ["anything"])["parse_failure"] == 0
    assert scores.overlap(QUOREF, [" \n"])["parse_failure"] == 1


def test_likelihoods_divided_by_length_may_choose_otherwise() -> None:
    values = scores.likeliest(BOOLQ | {"values": ["True", "Undecidable"]}, [(-4.0, False), (-5.0, False)])
    assert values == {"gi_score": 100.0, "acc_norm": 0.0}


@pytest.mark.parametrize("part", docs.PARTS)
def test_every_part_has_a_sample_that_an_oracle_solves(part: str) -> None:
    found = docs.load(part, data="sample")["test"]
    assert len(found) == 2
    for doc in found:
        text = docs.question(doc)
        assert text.endswith("\nOutput:")
        assert ("\nOptions: " in text) == (part not in ("copa", "commonsenseqa", "sciq", "quoref"))
        assert not text.startswith("\n")
        score = scores.overlap if part == "quoref" else scores.exact
        assert score(doc, [docs.target(doc)])["gi_score"] == 100
        if doc["values"]:
            assert doc["values"][docs.choice_number(doc)] == doc["gold"][0]


@pytest.mark.parametrize("wrong", [{"part": "mmlu", "data": "real"}, {"part": "boolq", "data": "both"}])
def test_an_unknown_choice_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="eibench_gi"):
        docs.load(**wrong)


def test_affect_tasks_are_in_no_group_of_general_intelligence() -> None:
    affect = {"eibench_gi_sst2", "eibench_gi_emotion875"}
    for name in ("eibench_gi_proxy", "eibench_gi_proxy_ll"):
        leaves = set(load_yaml(FOLDER / f"{name}.yaml", resolve_func=False)["task"])
        assert not {leaf.removesuffix("_ll") for leaf in leaves} & affect
    for form in ("", "_ll"):
        leaves = load_yaml(FOLDER / f"eibench_gi_affect{form}.yaml", resolve_func=False)["task"]
        assert set(leaves) == {f"{leaf}{form}" for leaf in affect}


def test_the_larger_group_names_tasks_of_lm_evals_own_and_no_mean_over_them() -> None:
    group = load_yaml(FOLDER / "eibench_gi.yaml", resolve_func=False)
    assert set(group["task"]) <= TaskManager().task_index.keys()
    assert group["task"] == ["mmlu", "arc_challenge", "winogrande", "boolq", "race"]
    assert "aggregate_metric_list" not in group
