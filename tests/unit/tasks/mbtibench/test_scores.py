"""From answers to metric values, for every kind of MBTIBench leaf, and the task files that name them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext.scoring import soft_labels
from harness_ext.tasks.mbtibench import scores
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS

VOTES = {"first": "E", "second": "I", "a1": "E-", "a2": "I+", "a3": "I+"}
SOFT = {"soft": 0.3, "swapped": False, **VOTES}
SINGLE_CALL = (
    "zero_shot", "few_shot", "hard_zero_shot", "hard_few_shot", "zero_shot_ll", "few_shot_ll", "swap", "swap_ll",
    "null_ll", "psycot_ll", "step_by_step_1p", "psycot_1p",
)  # fmt: skip


def peaked(score: int, nats: float = 50.0) -> list[tuple[float, bool]]:
    return [(0.0 if k == score else -nats, k == score) for k in range(1, 10)]


@pytest.mark.parametrize("score", range(1, 10))
def test_a_likelihood_peak_and_a_written_score_are_the_same_answer(score: int) -> None:
    written, peak = scores.first_score(SOFT, [f"[[{score}]]"]), scores.score_likelihoods(SOFT, peaked(score))
    for metric in scores.PAIR_METRICS:
        aggregate = getattr(soft_labels, f"agg_{metric}")
        assert aggregate([written[metric]]) == pytest.approx(aggregate([peak[metric]]), nan_ok=True)
    assert peak["entropy_nats"] == pytest.approx(0, abs=1e-12)


@given(st.lists(st.floats(-30, 0), min_size=9, max_size=9))
def test_answers_on_the_reversed_scale_are_turned_back(likelihoods: list[float]) -> None:
    straight = [(value, False) for value in likelihoods]
    a = scores.score_likelihoods(SOFT, straight)
    b = scores.score_likelihoods({**SOFT, "swapped": True}, straight[::-1])
    assert a["s_rmse"] == pytest.approx(b["s_rmse"])
    assert a["ordinal_w1"] == pytest.approx(b["ordinal_w1"])
    for score in range(11):
        told = scores.first_score(SOFT, [f"[[{score}]]"])
        assert scores.first_score({**SOFT, "swapped": True}, [f"[[{10 - score}]]"]) == told


@given(st.text())
def test_any_answer_has_every_key_and_a_usable_value(text: str) -> None:
    for function in (scores.first_score, scores.last_score):
        values = function(SOFT, [text])
        assert set(values) == {*scores.PAIR_METRICS, *scores.FAILURE_METRICS, "parse_failure", "reasoning_cut"}
        assert values["s_rmse_worst"] == (*values["s_rmse"], bool(values["parse_failure"]))
    for values in (
        scores.choice({"hard": "E", "dimension": "E/I"}, [text]),
        scores.stress({"label": "yes"}, [text]),
        scores.personality({}, [text]),
    ):
        assert len(values) in (6, 7, 8)


def test_an_unparsable_answer_is_the_middle_and_says_so() -> None:
    for doc in (SOFT, {**SOFT, "swapped": True}):
        values = scores.first_score(doc, ["I cannot tell."])
        assert values["s_rmse"] == (0.3, 0.5)
        assert values["parse_failure"] == 1.0


def test_an_answer_out_of_range_is_counted_and_kept_for_the_released_metric() -> None:
    values = scores.first_score(SOFT, ["[[10]]"])
    assert values["s_rmse"] == (0.3, 1.125)
    assert soft_labels.agg_out_of_range([values["out_of_range"]]) == 1.0


def test_only_one_pass_variants_read_the_last_score() -> None:
    answer = ["First thought [[2]]. After all: [[8]]"]
    assert scores.first_score(SOFT, answer)["mae"] == (0.3, 0.125)
    assert scores.last_score(SOFT, answer)["mae"] == (0.3, 0.875)


def test_ordinal_distance_compares_with_the_votes() -> None:
    uniform = scores.score_likelihoods(SOFT, [(-2.0, False)] * 9)["ordinal_w1"]
    shares, pooled = np.array([0, 1, 0, 2]) / 3, np.array([2, 2.5, 2.5, 2]) / 9
    assert uniform == pytest.approx(np.abs(np.cumsum(shares - pooled)[:3]).sum())


def test_items_of_an_author_are_averaged_before_any_metric() -> None:
    doc = {"soft": 0.8, "second": "I", "keyed": ["A", "B"], "keyed_poles": ["E", "I"]}
    one, other = [(0.0, True), (-50.0, False), (-50.0, False)], [(-50.0, False), (0.0, True), (-50.0, False)]
    items = [scores.item_likelihoods({**doc, "id": 1}, lls)["rmse"] for lls in (one, other, other, other)]
    items.append(scores.item_likelihoods({**doc, "id": 2}, other)["rmse"])
    for metric in scores.PAIR_METRICS:
        per_author = [(0.8, 0.75), (0.8, 1.0)]
        wanted = getattr(soft_labels, f"agg_{metric}")(per_author)
        assert getattr(scores, f"authors_{metric}")(items) == pytest.approx(wanted, nan_ok=True), metric


def test_personality_scores_without_gold_leave_failures_out() -> None:
    values = [scores.personality({}, [text]) for text in ("[[9]]", "[[5]]", "?", "[[10]]")]
    assert soft_labels.agg_mean_score([value["mean_score"] for value in values]) == pytest.approx(23 / 3)
    assert [value["parse_failure"] for value in values] == [0, 0, 1, 0]
    assert [value["out_of_range"] for value in values] == [0, 0, 0, 1]


@pytest.fixture(scope="module")
def index(checkout: Any) -> dict[str, Any]:
    folder = checkout / "tasks" / "mbtibench"
    manager = TaskManager(include_defaults=False, include_path=folder)
    return {name: load_yaml(entry.yaml_path) for name, entry in manager.task_index.items()}


def test_every_variant_has_a_group_of_four_leaves(index: dict[str, Any]) -> None:
    dialogues = [f"{hard}{method}" for hard in ("", "hard_") for method in ("step_by_step", "psycot")]
    for variant in (*SINGLE_CALL, *dialogues, "dreaddit_personality"):
        leaves = [f"mbtibench_{variant}_{dimension.table.lower()}" for dimension in DIMENSIONS.values()]
        assert index[f"mbtibench_{variant}"]["task"] == leaves
        assert [index[leaf]["dataset_kwargs"]["dimension"] for leaf in leaves] == list(DIMENSIONS)
    assert index["mbtibench_dreaddit"]["task"] == [
        f"mbtibench_dreaddit_{condition}" for condition in ("none", "hard", "soft", "soft_inverted")
    ]
    assert index["mbtibench"]["task"] == ["mbtibench_zero_shot", "mbtibench_zero_shot_ll"]
    assert "aggregate_metric_list" not in index["mbtibench"]
    leaves = sum(isinstance(config["task"], str) for config in index.values())
    assert leaves == 4 * (len(SINGLE_CALL) + len(dialogues)) + 4 + 4


def test_leaf_metadata_are_complete_and_never_collide_with_the_loaders_arguments(index: dict[str, Any]) -> None:
    wanted = {"version", "bench", "source", "prompt_pack", "language", "chance", "direction", "part", "recorded"}
    for name, config in index.items():
        if isinstance(config["task"], str):
            assert set(config["metadata"]) == wanted, name
            assert not set(config["metadata"]) & set(config["dataset_kwargs"]), name
            assert config["num_fewshot"] == 0
            assert config["metadata"]["direction"] in ("lower", "higher", None)


def test_generation_is_greedy_and_stops_at_nothing(index: dict[str, Any]) -> None:
    for name, config in index.items():
        if config.get("output_type") == "generate_until":
            length = 8192 if "dreaddit" in name else 2048
            wanted = {"until": [], "max_gen_toks": length, "do_sample": False, "temperature": 0.0}
            assert config["generation_kwargs"] == wanted, name


def test_group_rows_are_means_of_leaves_without_metrics_that_can_be_undefined(index: dict[str, Any]) -> None:
    for name, config in index.items():
        for metric in config.get("aggregate_metric_list", []):
            assert metric["weight_by_size"] is False, name
            assert metric["metric"] not in ("spearman", "ccc", "s_rmse_parsed"), name
            for leaf in config["task"]:
                assert metric["metric"] in {entry["metric"] for entry in index[leaf]["metric_list"]}, (name, leaf)


def test_a_constant_answer_leaves_every_group_metric_defined(index: dict[str, Any]) -> None:
    docs = [{"soft": soft, "swapped": False, **VOTES} for soft in (0.1, 0.4, 0.9)]
    values = [scores.first_score(doc, ["[[5]]"]) for doc in docs]
    leaf = index["mbtibench_zero_shot_ei"]
    own = [metric for metric in leaf["metric_list"] if callable(metric["aggregation"])]
    found = {m["metric"]: m["aggregation"]([value[m["metric"]] for value in values]) for m in own}
    assert math.isnan(found["spearman"])
    grouped = {entry["metric"] for entry in index["mbtibench_zero_shot"]["aggregate_metric_list"]}
    assert all(math.isfinite(found[metric]) for metric in grouped)
