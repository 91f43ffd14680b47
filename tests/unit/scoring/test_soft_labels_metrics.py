"""Soft- and hard-label metrics against scipy, sklearn, brute force and their own symmetries."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from harness_ext.scoring import soft_labels as sl
from harness_ext.scoring.recalibration import recalibrated

GOLD = st.floats(0, 1)
ANSWER = st.one_of(st.floats(-0.125, 1.125), st.integers(0, 10).map(lambda score: (score - 1) / 8))
PAIRS = st.lists(st.tuples(GOLD, ANSWER), min_size=2, max_size=40)
ON_SCALE = st.integers(1, 9).map(lambda score: (score - 1) / 8)
SCALE_PAIRS = st.lists(st.tuples(ON_SCALE, ON_SCALE), min_size=2, max_size=40)

BOUNDS = {
    "rmse": (0, 1.125),
    "mae": (0, 1.125),
    "s_rmse": (0, 10),
    "s_mae": (0, 10),
    "s_rmse_9": (0, 8),
    "s_mae_9": (0, 8),
    "bias": (-1, 1),
    "pearson": (-1, 1),
    "spearman": (-1, 1),
    "kendall_tau_b": (-1, 1),
    "ccc": (-1, 1),
    "w1_marginal": (0, 1),
    "w1_hist9_bins": (0, 8),
    "jsd_hist9_bits": (0, 1),
    "kl_gold_pred_hist9_addone": (0, math.log(50)),
    "ce_lewidi2023": (-1e-8, 21),
    "ce_eps1e-6": (0, 14),
    "md_lewidi2025": (0, 2),
    "jsd_item_bits": (0, 1),
    "brier_soft": (0, 2),
    "extremity_pred": (0, 1),
    "extremity_gold": (0, 1),
    "polarisation_gap": (-1, 1),
    "extreme_share_pred": (0, 1),
    "extreme_share_gold": (0, 1),
    "var_ratio": (0, math.inf),
    "acc_tie_first": (0, 100),
    "f1_tie_first": (0, 100),
    "acc_tie_second": (0, 100),
    "f1_tie_second": (0, 100),
    "tie_share": (0, 1),
}


def columns(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, p = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    return y, p, (y > 0.5).astype(int)


def segment_by_counting(value: float, mode: str) -> int:
    passed = sum(value >= edge for edge in np.linspace(0, 1, 10)) - 1
    return min(max(passed, 0), 8) if mode == "strict" else passed


@given(PAIRS)
def test_every_metric_is_within_its_bounds_or_undefined(pairs: list[tuple[float, float]]) -> None:
    values = sl.metrics(*columns(pairs))
    assert values.keys() == BOUNDS.keys()
    for name, (lowest, highest) in BOUNDS.items():
        assert math.isnan(values[name]) or lowest - 1e-9 <= values[name] <= highest + 1e-9, name


@given(PAIRS)
def test_segmented_errors_equal_a_count_of_passed_edges(pairs: list[tuple[float, float]]) -> None:
    y, p, _ = columns(pairs)
    for mode, predicted in (("compat", p), ("strict", np.clip(p, 0, 1))):
        errors = [
            segment_by_counting(a, mode) - segment_by_counting(b, mode) for a, b in zip(y, predicted, strict=True)
        ]
        rmse = math.sqrt(math.fsum(e * e for e in errors) / len(errors))
        assert sl.segmented_rmse(y, predicted, mode) == pytest.approx(rmse)  # type: ignore[arg-type]
        mae = math.fsum(map(abs, errors)) / len(errors)
        assert sl.segmented_mae(y, predicted, mode) == pytest.approx(mae)  # type: ignore[arg-type]


@given(SCALE_PAIRS)
def test_swapping_the_poles_mirrors_the_metrics(pairs: list[tuple[float, float]]) -> None:
    y, p, hard = columns(pairs)
    values, mirrored = sl.metrics(y, p, hard), sl.metrics(1 - y, 1 - p, 1 - hard)
    for name in set(BOUNDS) - {"s_rmse", "s_mae"}:
        partner = name.replace("first", "second") if "first" in name else name.replace("second", "first")
        sign = -1 if name == "bias" else 1
        assert mirrored[partner] == pytest.approx(sign * values[name], abs=1e-9, nan_ok=True), name


@given(st.lists(GOLD, min_size=1, max_size=30))
def test_a_perfect_prediction_has_no_error(gold: list[float]) -> None:
    values = sl.metrics(gold, gold, [int(y > 0.5) for y in gold])
    for name in ("rmse", "s_rmse", "s_mae_9", "bias", "w1_marginal", "jsd_hist9_bits", "jsd_item_bits", "brier_soft"):
        assert values[name] == 0, name
    assert values["acc_tie_first"] == 100


@pytest.mark.parametrize(
    "p", [[0.1, 0.4, 0.4, 0.9, 0.2, 0.5], [0.5, 0.5, 0.5, 0.5, 0.5, 0.75], [-0.125, 0.4, 0.5, 1.125, 0.2, 0.4]]
)
def test_metrics_equal_their_reference_implementations(p: list[float]) -> None:
    y, hard = np.array([0.0, 0.3, 0.3, 1.0, 0.6, 0.7]), [0, 0, 0, 1, 1, 1]
    c = np.clip(p, 0, 1)
    counts = [np.histogram(v, bins=9, range=(0, 1))[0] for v in (y, c)]
    items = [jensenshannon([a, 1 - a], [b, 1 - b], base=2) ** 2 for a, b in zip(y, c, strict=True)]
    reference = {
        "rmse": sklearn.metrics.root_mean_squared_error(y, p),
        "mae": sklearn.metrics.mean_absolute_error(y, p),
        "pearson": np.corrcoef(y, c)[0, 1],
        "spearman": np.corrcoef(stats.rankdata(y), stats.rankdata(c))[0, 1],
        "kendall_tau_b": stats.kendalltau(y, c, variant="b").statistic,
        "w1_marginal": stats.wasserstein_distance(y, c),
        "w1_hist9_bins": stats.wasserstein_distance(range(9), range(9), *counts),
        "jsd_hist9_bits": jensenshannon(*counts, base=2) ** 2,
        "kl_gold_pred_hist9_addone": stats.entropy(counts[0] + 1, counts[1] + 1),
        "jsd_item_bits": np.mean(items),
        "ce_eps1e-6": np.mean(
            [
                sklearn.metrics.log_loss([1, 0], [q, q], sample_weight=[t, 1 - t], labels=[0, 1])
                for t, q in zip(y, np.clip(c, 1e-6, 1 - 1e-6), strict=True)
            ]
        ),
        "f1_tie_first": 100 * sklearn.metrics.f1_score(hard, c > 0.5, average="macro", zero_division=0),
        "f1_tie_second": 100 * sklearn.metrics.f1_score(hard, c >= 0.5, average="macro", zero_division=0),
        "acc_tie_second": 100 * sklearn.metrics.accuracy_score(hard, c >= 0.5),
    }
    values = sl.metrics(y, p, hard)
    assert {name: values[name] for name in reference} == pytest.approx(reference, abs=1e-9)


def test_concordance_falls_below_correlation_for_a_shifted_prediction() -> None:
    y = np.linspace(0, 0.8, 9)
    values = sl.metrics(y, y + 0.2, y > 0.5)
    shift = 0.2**2 / np.var(y)  # for a pure shift d, ccc = 2 / (2 + d^2 / variance)
    assert values["pearson"] == pytest.approx(1)
    assert values["ccc"] == pytest.approx(2 / (2 + shift))


def test_correlations_with_a_constant_are_undefined_and_its_concordance_is_zero() -> None:
    values = sl.metrics([0.1, 0.9], [0.5, 0.5], [0, 1])
    assert all(math.isnan(values[name]) for name in ("pearson", "spearman", "kendall_tau_b"))
    assert values["ccc"] == 0


@pytest.mark.parametrize(
    ("y", "p", "hard", "message"),
    [
        ([], [], [], "not empty"),
        ([0.1], [0.1, 0.2], [0], "equally long"),
        ([1.1], [0.1], [1], r"\[0, 1\]"),
        ([math.nan], [0.1], [1], r"\[0, 1\]"),
        ([0.1], [math.nan], [0], "NaN"),
        ([0.1], [0.1], [2], "hard01"),
        ([0.1], [0.1], [0, 1], "hard01"),
    ],
)
def test_impossible_labels_are_refused(y: list[float], p: list[float], hard: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sl.metrics(y, p, hard)


@pytest.mark.parametrize(("y", "p"), [([0.5], [1.01]), ([0.5], [-0.1]), ([1.5], [0.5]), ([0.5], [math.nan]), ([], [])])
def test_strict_segments_refuse_what_lies_outside_the_scale(y: list[float], p: list[float]) -> None:
    for error in (sl.segmented_rmse, sl.segmented_mae):
        with pytest.raises(ValueError, match=r"\[0, 1\]|NaN|not empty"):
            error(y, p)


@given(st.lists(st.tuples(GOLD, ON_SCALE, st.booleans()), min_size=1, max_size=30))
def test_failures_fall_back_are_dropped_or_put_at_the_far_end(rows: list[tuple[float, float, bool]]) -> None:
    y, p, failed = (np.array(column) for column in zip(*rows, strict=True))
    values = sl.with_failures(y, np.where(failed, np.nan, p), failed)
    assert values["n_parsed"] == len(rows) - failed.sum()
    filled = [0.5 if fail else answer for _, answer, fail in rows]
    assert values["s_rmse"] == sl.segmented_rmse(y, filled, "compat")
    kept = [(gold, answer) for gold, answer, fail in rows if not fail]
    expected = sl.segmented_mae(*zip(*kept, strict=True)) if kept else math.nan
    assert values["s_mae_parsed"] == pytest.approx(expected, nan_ok=True)
    far = [abs(segment_by_counting(g, "strict") - (0 if g >= 0.5 else 8)) for g, _, fail in rows if fail]
    near = [abs(segment_by_counting(g, "strict") - segment_by_counting(a, "strict")) for g, a in kept]
    assert values["s_mae_worst"] == pytest.approx(sum(far + near) / len(rows))
    assert values["s_rmse_worst"] >= values["s_rmse_9"] - 1e-9


def test_a_parsed_answer_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        sl.with_failures([0.5], [math.nan], [False])
    with pytest.raises(ValueError, match="shape"):
        sl.with_failures([0.5], [0.5], [False, True])


@given(PAIRS.filter(lambda pairs: len(pairs) >= 6))
def test_recalibration_is_linear_regression_on_the_other_fold(pairs: list[tuple[float, float]]) -> None:
    y, p, _ = columns(pairs)
    ids, c = np.arange(len(y)), np.clip(p, 0, 1)
    values = sl.recalibrate(y, p, ids)
    corrected = np.empty_like(y)
    for fold in (0, 1):
        mine, other = ids % 2 == fold, ids % 2 != fold
        # A slope from differences this small is rounding noise in any implementation; sklearn's is for a constant too.
        assume(np.ptp(c[other]) == 0 or np.ptp(c[other]) > 1e-6)
        if np.ptp(c[other]) == 0:
            corrected[mine] = y[other].mean()
            continue
        line = sklearn.linear_model.LinearRegression().fit(c[other][:, None], y[other])
        corrected[mine] = np.clip(line.predict(c[mine][:, None]), 0, 1)
    assert values["rmse_recal"] == pytest.approx(math.sqrt(np.mean((corrected - y) ** 2)), abs=1e-6)


def test_recalibration_makes_a_shifted_scale_perfect_and_leaves_a_constant_uninformed() -> None:
    y = np.array([0.1, 0.1, 0.5, 0.5, 0.9, 0.9])
    ids = [1, 2, 3, 4, 5, 6]
    assert sl.recalibrate(y, 0.4 + y / 2, ids)["rmse_recal"] == pytest.approx(0)
    constant = sl.recalibrate(y, [0.3] * 6, ids)
    assert constant["coef"]["applied_to_odd_ids"] == {"a": pytest.approx(0.5), "b": 0.0}
    with pytest.raises(ValueError, match="even"):
        sl.recalibrate(y, y, [2, 4, 6, 8, 10, 12])


@given(st.lists(st.tuples(st.sampled_from("EI"), st.sampled_from(["E", "I", None])), min_size=1, max_size=40))
def test_an_unparsable_choice_is_wrong_but_a_class_only_in_the_released_f1(
    rows: list[tuple[str, str | None]],
) -> None:
    gold, pred = ([*column] for column in zip(*rows, strict=True))
    written = ["failure" if label is None else label for label in pred]
    values = sl.hard_metrics(gold, pred, ("E", "I"))

    def reference(labels: list[str] | None) -> float:
        return 100 * float(sklearn.metrics.f1_score(gold, written, labels=labels, average="macro", zero_division=0))

    assert values["acc"] == pytest.approx(100 * sklearn.metrics.accuracy_score(gold, written))
    assert values["f1"] == pytest.approx(reference(["E", "I"]))
    assert values["f1_compat"] == pytest.approx(reference(None))
    assert values["n_fail"] == pred.count(None)
    items = json.loads(json.dumps(rows))
    assert sl.agg_hard_acc(items) == values["acc"]
    assert sl.agg_hard_f1(items) == values["f1"]
    assert sl.agg_hard_f1_compat(items) == values["f1_compat"]


@pytest.mark.parametrize(
    ("gold", "pred", "poles"),
    [([], [], "EI"), (["E"], ["E", "I"], "EI"), (["E"], ["S"], "EI"), (["E"], ["E"], "EE"), (["E"], ["E"], "EIS")],
)
def test_labels_that_are_not_poles_are_refused(gold: list[str], pred: list[str | None], poles: str) -> None:
    with pytest.raises(ValueError, match=r"pole|equally long"):
        sl.hard_metrics(gold, pred, tuple(poles))


def test_hard_aggregations_need_labels_of_a_known_pair() -> None:
    assert math.isnan(sl.agg_hard_acc([]))
    with pytest.raises(ValueError, match="'maybe'"):
        sl.agg_hard_acc([("maybe", "yes")])


PAIR_AGGREGATIONS = {
    name: getattr(sl, f"agg_{name}")
    for name in BOUNDS
    if hasattr(sl, f"agg_{name}") and name not in ("extremity_pred", "extreme_share_pred")
}


@given(PAIRS)
def test_aggregations_give_the_metric_of_the_same_name_over_tuples_lists_and_triples(
    pairs: list[tuple[float, float]],
) -> None:
    y, p, hard = columns(pairs)
    values = sl.metrics(y, p, hard)
    stored = json.loads(json.dumps([*pairs, (math.nan, 0.5), (0.5, math.nan)]))
    triples = [(*pair, False) for pair in pairs]
    for name, aggregation in PAIR_AGGREGATIONS.items():
        for items in (pairs, stored, triples):
            assert aggregation(items) == pytest.approx(values[name], nan_ok=True), name
    assert sl.agg_acc(pairs) == pytest.approx((values["acc_tie_first"] + values["acc_tie_second"]) / 2)
    assert sl.agg_out_of_range(pairs) == np.mean((p < 0) | (p > 1))
    assert sl.agg_extremity_pred(p.tolist()) == pytest.approx(values["extremity_pred"])
    assert sl.agg_extreme_share_pred(p.tolist()) == pytest.approx(values["extreme_share_pred"])
    assert sl.agg_share_5(p.tolist()) == pytest.approx(values["tie_share"])


@pytest.mark.parametrize("name", sorted(name for name in dir(sl) if name.startswith("agg_")))
def test_an_aggregation_of_nothing_is_undefined_or_zero(name: str) -> None:
    value = getattr(sl, name)([])
    assert value == 0.0 if name == "agg_distinct_scores" else math.isnan(value)


@given(st.lists(st.tuples(GOLD, ON_SCALE, st.booleans()), min_size=1, max_size=30))
def test_failure_aggregations_give_the_metrics_of_the_same_name(rows: list[tuple[float, float, bool]]) -> None:
    values = sl.with_failures(*zip(*rows, strict=True))
    for items in (rows, json.loads(json.dumps(rows))):
        for name in ("s_rmse_parsed", "s_mae_parsed", "s_rmse_worst", "s_mae_worst"):
            assert getattr(sl, f"agg_{name}")(items) == pytest.approx(values[name], nan_ok=True)  # type: ignore[literal-required]
    assert sl.agg_parse_failure([float(failed) for *_, failed in rows]) == pytest.approx(values["parse_failure"])


def test_a_description_without_answers_is_undefined_but_counts() -> None:
    description = sl.describe_scores([math.nan])
    assert (description["n"], description["distinct_scores"], sum(description["hist_1_9"])) == (0, 0, 0)
    assert math.isnan(description["mean_score"])


def test_recalibration_of_a_resample_is_that_of_the_items_drawn() -> None:
    random = np.random.default_rng(3)
    y, p, ids = random.random(20), random.random(20) * 1.2 - 0.1, np.arange(20)
    p[:4] = p[0]
    draws = np.vstack([random.integers(0, 20, (30, 20)), [[0, 1, 2, 3] * 5], [[0, 2] * 10]])
    halves = [len(set(ids[draw] % 2)) == 2 for draw in draws]
    assert sum(halves) == 31
    for name, form in recalibrated(y, p, ids).items():
        expected = [
            sl.recalibrate(y[draw], p[draw], ids[draw])[name] if both else float("nan")  # type: ignore[literal-required]
            for draw, both in zip(draws, halves, strict=True)
        ]
        assert form(draws) == pytest.approx(expected, abs=1e-9, nan_ok=True), name
