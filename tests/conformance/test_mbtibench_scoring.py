"""Released data and golden numbers of MBTIBench against the scoring functions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness_ext.scoring import soft_labels as sl

DATA = "Personality-NLP/MbtiBench/b33ec40af3eba25f0ebec5e719da8784c714be30"
DIMENSIONS = ("E/I", "S/N", "T/F", "J/P")
PREDICTORS = ("const_mean", "const_0.5", "all_first", "all_second", "oracle_hard", "polar_2_8")


@pytest.fixture(scope="module")
def records(mirror: Path) -> list[dict[str, Any]]:
    lines = (mirror / DATA / "dataset" / "mbtibench.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    return {
        name: json.loads((golden / "mbtibench" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metrics", "binning", "parse_cases", "hard_metrics", "expected_score", "dreaddit")
    }


def gold(records: list[dict[str, Any]], dimension: str) -> tuple[np.ndarray, np.ndarray]:
    soft = np.array([record["softlabels"][dimension] for record in records])
    hard = np.array([record["hardlabels"][dimension] == dimension[-1] for record in records], dtype=int)
    return soft, hard


def prediction(name: str, y: np.ndarray, hard: np.ndarray) -> np.ndarray:
    return {
        "const_mean": np.full_like(y, y.mean()),
        "const_0.5": np.full_like(y, 0.5),
        "all_first": np.zeros_like(y),
        "all_second": np.ones_like(y),
        "oracle_hard": hard.astype(float),
        "polar_2_8": np.where(y > 0.5, 7 / 8, 1 / 8),
    }[name]


def assert_same(actual: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert actual.keys() == wanted.keys()
    for name, value in wanted.items():
        if value is None:
            assert math.isnan(actual[name]), name
        else:
            assert actual[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("name", PREDICTORS)
def test_all_31_metrics_equal_the_golden_values(records: Any, expected: Any, dimension: str, name: str) -> None:
    y, hard = gold(records, dimension)
    actual = sl.metrics(y, prediction(name, y, hard), hard)
    assert len(actual) == 31
    assert_same(actual, expected["metrics"]["dims"][dimension][name])


@pytest.mark.parametrize("name", PREDICTORS)
def test_aggregations_over_stored_docs_equal_the_golden_values(records: Any, expected: Any, name: str) -> None:
    for dimension in DIMENSIONS:
        y, hard = gold(records, dimension)
        items = json.loads(json.dumps(list(zip(y, prediction(name, y, hard), strict=True))))
        for metric, value in expected["metrics"]["dims"][dimension][name].items():
            aggregation = getattr(sl, f"agg_{metric}", None)
            if aggregation is None or metric.startswith("extrem"):
                continue
            assert aggregation(items) == pytest.approx(math.nan if value is None else value, abs=1e-9, nan_ok=True)
        accuracies = expected["metrics"]["dims"][dimension][name]
        both = (accuracies["acc_tie_first"] + accuracies["acc_tie_second"]) / 2
        assert sl.agg_acc(items) == pytest.approx(both, abs=1e-9)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_failures_are_read_three_ways(records: Any, expected: Any, dimension: str) -> None:
    y, hard = gold(records, dimension)
    p = prediction("polar_2_8", y, hard)
    for section, failed in (
        ("parse_failures", np.array([record["id"] % 5 == 0 for record in records])),
        ("all_unparsable", np.ones(len(y), dtype=bool)),
    ):
        wanted = expected["metrics"][section]["dims"][dimension]
        assert_same(dict(sl.with_failures(y, np.where(failed, np.nan, p), failed)), wanted)
        items = list(zip(y, np.where(failed, 0.5, p), failed, strict=True))
        for metric in ("s_rmse_parsed", "s_mae_parsed", "s_rmse_worst", "s_mae_worst", "s_rmse", "s_rmse_9"):
            value = math.nan if wanted[metric] is None else wanted[metric]
            assert getattr(sl, f"agg_{metric}")(items) == pytest.approx(value, abs=1e-9, nan_ok=True)
        assert sl.agg_parse_failure(failed.astype(float).tolist()) == pytest.approx(wanted["parse_failure"], abs=1e-12)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("name", ["polar_2_8", "all_first"])
def test_recalibration_equals_the_golden_values(records: Any, expected: Any, dimension: str, name: str) -> None:
    y, hard = gold(records, dimension)
    actual = dict(sl.recalibrate(y, prediction(name, y, hard), [record["id"] for record in records]))
    wanted = dict(expected["metrics"]["recalibrated"]["dims"][dimension][name])
    coefficients, lines = wanted.pop("coef"), actual.pop("coef")
    assert_same(actual, wanted)
    for fold, line in coefficients.items():
        assert lines[fold] == pytest.approx(line, abs=1e-9)


@pytest.mark.parametrize("source", ["kaggle", "pandora", "twitter"])
def test_sources_have_their_golden_values(records: Any, expected: Any, source: str) -> None:
    part = [record for record in records if record["source"] == source]
    y, hard = gold(part, "E/I")
    values = sl.metrics(y, prediction("polar_2_8", y, hard), hard)
    wanted = expected["metrics"]["subsets"]["E/I"][source]
    assert len(part) == wanted["n"]
    assert y.mean() == pytest.approx(wanted["mean_gold"], abs=1e-12)
    for metric in ("s_rmse", "s_mae", "s_rmse_9"):
        assert values[metric] == pytest.approx(wanted[metric], abs=1e-9)


def test_every_score_falls_into_its_golden_segment(records: Any, expected: Any) -> None:
    table = expected["binning"]["score_to_bin"]
    assert sl.bins([row["p"] for row in table], "compat").tolist() == [row["compat"] for row in table]
    assert sl.bins([row["p"] for row in table], "strict").tolist() == [row["strict"] for row in table]
    y, _ = gold(records, "E/I")
    assert np.bincount(sl.bins(y, "compat")).tolist() == expected["binning"]["gold_bin_counts_compat"]["E/I"]
    assert np.bincount(sl.bins(y, "strict")).tolist() == expected["binning"]["gold_bin_counts_strict"]["E/I"]


def test_scores_are_parsed_like_the_golden_cases(expected: Any) -> None:
    for case in expected["parse_cases"]["soft"]:
        for mode in ("compat", "strict"):
            assert sl.parse_score(case["text"], mode) == case[mode], case
            assert sl.parse_score(case["text"], mode, which="last") == case[f"{mode}_last"], case


def test_choices_are_parsed_like_the_golden_cases(expected: Any) -> None:
    for case in expected["parse_cases"]["hard"]:
        for mode in ("compat", "strict"):
            assert sl.parse_choice(case["text"], case["dim"], mode) == case[mode], case


def test_hard_metrics_equal_the_golden_values(records: Any, expected: Any) -> None:
    letters = [record["hardlabels"]["E/I"] for record in records]
    failed = [None if record["id"] <= 10 else record["hardlabels"]["E/I"] for record in records]
    for name, answers in (("ids_1_to_10_unparsable", failed), ("none_unparsable", letters)):
        wanted = expected["hard_metrics"]["E/I"][name]
        assert sl.hard_metrics(letters, answers, ("E", "I")) == pytest.approx(wanted, abs=1e-9)
        items = json.loads(json.dumps(list(zip(letters, answers, strict=True))))
        assert sl.agg_hard_f1_compat(items) == pytest.approx(wanted["f1_compat"], abs=1e-9)
    for dimension, wanted in expected["hard_metrics"]["majority_class"].items():
        letters = [record["hardlabels"][dimension] for record in records]
        actual = sl.hard_metrics(letters, [wanted["label"]] * len(letters), dimension.split("/"))
        assert (actual["acc"], actual["f1"]) == pytest.approx((wanted["acc"], wanted["f1"]), abs=1e-9)


def test_expected_scores_equal_the_golden_values(expected: Any) -> None:
    golden_scores = expected["expected_score"]
    for case in golden_scores["cases"] + golden_scores["calibrated"]:
        actual = sl.expected_score(case["lls"], case.get("null_lls"))
        assert_same(dict(actual), {name: case[name] for name in actual})
    for case in golden_scores["swap"]:
        normal = sl.expected_score(case["lls_normal"])["p_soft"]
        swapped = sl.flip(sl.expected_score(case["lls_swapped"])["p_soft"])
        assert (normal, swapped) == pytest.approx((case["p_normal"], case["p_swapped"]), abs=1e-9)
        joined = sl.order_bias({7: normal}, {7: swapped})
        assert joined["p_mean"] == pytest.approx([case["p_mean"]], abs=1e-9)
        assert joined["disagreement"] == pytest.approx(case["disagreement"], abs=1e-9)


def test_expected_scores_of_the_whole_data_set_equal_the_golden_values(records: Any, expected: Any) -> None:
    y, hard = gold(records, "E/I")
    k = np.arange(1, 10)
    p = [sl.expected_score(-((k - (1 + (r["id"] // 3) % 9)) ** 2) / 4)["p_soft"] for r in records]
    values = sl.metrics(y, p, hard)
    wanted = expected["expected_score"]["dataset"]["E/I"]
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)


def test_pooled_uniform_answers_have_the_golden_distance_to_the_annotators(records: Any, expected: Any) -> None:
    options = ("E+", "E-", "I-", "I+")
    shares = [[list(r["annotation"]["E/I"].values()).count(option) / 3 for option in options] for r in records]
    distances = sl.ordinal_w1(sl.pool4(np.full((len(records), 9), 1 / 9)), np.array(shares))
    assert np.mean(distances) == pytest.approx(expected["expected_score"]["ordinal_w1"]["E/I"], abs=1e-9)


def test_a_keyed_questionnaire_equals_the_golden_value(golden: Path, expected: Any) -> None:
    pack_file = golden / "mbtibench" / "prompt_pack_authors.json"
    if not pack_file.is_file():
        pytest.skip("the authors' prompt pack is for local use and absent here")
    items = json.loads(pack_file.read_text(encoding="utf-8"))["methods"]["psycot"]["items"]["E/I"]
    lls = [[-float((7 * j + 3 * o) % 5) for o in range(item["n_options"])] for j, item in enumerate(items)]
    actual = sl.psycot_ll(lls, items, "I")
    wanted = expected["expected_score"]["psycot_ll"]["E/I"]
    assert actual["item_values"] == pytest.approx(wanted["item_values"], abs=1e-9)
    assert actual["p"] == pytest.approx(wanted["p"], abs=1e-9)


def test_released_stress_answers_are_parsed_and_scored_like_the_logs(golden: Path, mirror: Path, expected: Any) -> None:
    responses = golden / "mbtibench" / "dreaddit_responses_round1.jsonl"
    if not responses.is_file():
        pytest.skip("the released answers are for local use and absent here")
    cases = [json.loads(line) for line in responses.read_text(encoding="utf-8").splitlines()]
    assert len(cases) == 153
    for case in cases:
        assert sl.parse_stress(case["response"], "compat") == case["compat"], case["id"]
        assert sl.parse_stress(case["response"], "strict") == case["strict"], case["id"]
    lines = (mirror / DATA / "downstream/Dreaddit/data/test.jsonl").read_text(encoding="utf-8").splitlines()
    labels = [json.loads(line)["label"] for line in lines]
    words = {"y": "yes", "n": "no", "?": None}
    for condition in ("none", "hard", "soft_inverted"):
        wanted = expected["dreaddit"]["round_1"][condition]
        compat, strict = ([words[c] for c in wanted[f"parsed_{mode}"]] for mode in ("compat", "strict"))
        for answers, reference in ((compat, wanted["compat"]), (strict, wanted["strict_invalid_is_wrong"])):
            values = sl.hard_metrics(labels, answers, ("yes", "no"))
            assert (values["acc"], values["f1"]) == pytest.approx((reference["acc"], reference["f1"]), abs=1e-9)
        assert sl.hard_metrics(labels, strict, ("yes", "no"))["n_fail"] == wanted["n_invalid_strict"]


def test_predictions_without_gold_are_described_like_the_released_ones(expected: Any) -> None:
    for dimension, wanted in expected["dreaddit"]["personality_stats"]["gpt-4o"].items():
        scores = expected["dreaddit"]["personality"]["gpt-4o"][dimension]["soft_1_9"]
        p = [math.nan if score is None else (score - 1) / 8 for score in scores]
        actual = sl.describe_scores(p)
        assert actual["hist_1_9"] == wanted["hist_1_9"]
        assert actual["distinct_scores"] == wanted["distinct_scores"] == sl.agg_distinct_scores(p)
        assert actual["mean_score"] == pytest.approx(wanted["mean_score"], abs=1e-9)
        assert actual["extremity"] == pytest.approx(wanted["extremity"], abs=1e-9)
        assert actual["extreme_share"] == pytest.approx(wanted["share_le2_or_ge8"], abs=1e-9)
        assert actual["share_5"] == pytest.approx(wanted["share_5"], abs=1e-9)
