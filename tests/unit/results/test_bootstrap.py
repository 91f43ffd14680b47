from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import Drawn, Units, draw, interval, weighted
from harness_ext.scoring import soft_labels
from harness_ext.scoring.resampled import Resampled, by_cluster, one_draw_at_a_time
from harness_ext.scoring.segments import segmented_rmse


def drawn(statistic: Resampled, *, draws: int = 10_000, seed: int = 0) -> Drawn:
    ((one,),) = draw([(Units.each(len(statistic)), [statistic])], draws=draws, seed=seed)
    return one


def resample(statistic: Resampled, *, draws: int, seed: int = 0) -> np.ndarray:
    return drawn(statistic, draws=draws, seed=seed).draws


LabelItem = tuple[list[int], list[int], int]


def soft_label_items(n: int) -> list[tuple[float, float, bool]]:
    rng = np.random.default_rng(5)
    y = rng.random(n).round(3)
    p = np.clip(y + rng.normal(0, 0.3, n), 0, 1).round(2)
    return list(zip(y.tolist(), p.tolist(), [False] * n, strict=True))


def label_items(n: int, right: float) -> list[LabelItem]:
    rng = np.random.default_rng(round(100 * right))
    gold = rng.choice(4, n, p=[0.6, 0.2, 0.15, 0.05])
    guess = np.where(rng.random(n) < right, gold, rng.integers(0, 4, n))
    return [([int(g)], [int(p)], 4) for g, p in zip(gold, guess, strict=True)]


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_s_rmse_intervals_are_those_of_scipy_on_the_same_draws(method: str) -> None:
    items = soft_label_items(286)
    y, p, _ = (np.array(column, dtype=float) for column in zip(*items, strict=True))
    reference = stats.bootstrap(
        (y, p),
        lambda y, p: segmented_rmse(y, p, "compat"),
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method=method,
        rng=np.random.default_rng(0),
    )
    statistic = resampled("s_rmse", items)
    np.testing.assert_allclose(resample(statistic, draws=1000), reference.bootstrap_distribution, rtol=1e-12)
    if method == "BCa":
        found = interval(statistic, draws=1000)
        assert found.method == "bca"
        assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval), abs=1e-12)
        assert found.stderr == pytest.approx(reference.standard_error)


def test_macro_f1_draws_are_those_of_scikit_learn_on_the_same_documents() -> None:
    items = label_items(200, 0.6)
    gold, guess = np.array([item[0][0] for item in items]), np.array([item[1][0] for item in items])
    draws = np.random.default_rng(3).integers(0, 200, (50, 200))
    expected = [100 * sklearn.metrics.f1_score(gold[d], guess[d], average="macro", zero_division=0) for d in draws]
    np.testing.assert_allclose(resample(resampled("macro_f1", items), draws=50, seed=3), expected)


def test_draws_do_not_change_between_releases() -> None:
    """Golden: printed intervals must be reproducible years later with the same seed."""
    golden = [2.1213203435596424, 2.0445048300260873, 1.6309506430300091]
    statistic = resampled("s_rmse", soft_label_items(50))
    assert resample(statistic, draws=3, seed=7).tolist() == pytest.approx(golden, abs=1e-12)


def test_a_seed_gives_the_same_interval_and_another_seed_another_one() -> None:
    statistic = resampled("macro_f1", label_items(100, 0.6))
    assert interval(statistic, draws=200) == interval(statistic, draws=200)
    assert interval(statistic, draws=200) != interval(statistic, draws=200, seed=1)


def test_the_interval_of_a_mean_is_close_to_the_textbook_one() -> None:
    values = np.random.default_rng(2).normal(0.4, 0.2, 400)
    found = interval(resampled("score", values.tolist()))
    error = stats.sem(values)
    assert found.stderr == pytest.approx(error, rel=0.05)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=2e-3
    )


def test_intervals_cover_the_true_value_about_as_often_as_they_say() -> None:
    """Macro-F1 of a rare label is the hard case: BCa must not fall far below 95 %."""
    rng = np.random.default_rng(11)

    def corpus(n: int) -> list[LabelItem]:
        gold = (rng.random(n) < 0.2).astype(int)
        guess = np.where(rng.random(n) < 0.8, gold, 1 - gold)
        return [([g], [p], 2) for g, p in zip(gold.tolist(), guess.tolist(), strict=True)]

    truth = resampled("macro_f1", corpus(200_000)).point
    found = [interval(resampled("macro_f1", corpus(150)), draws=300, seed=i) for i in range(120)]
    covered = sum(one.low <= truth <= one.high for one in found)
    assert stats.binomtest(covered, len(found), 0.95).pvalue > 1e-3, f"{covered} of {len(found)} intervals"


def test_clusters_widen_the_interval_when_their_documents_agree() -> None:
    values = np.repeat(np.random.default_rng(4).random(40), 10)
    dialogues = np.repeat(np.arange(40), 10)
    single = resampled("score", values.tolist())
    alone, together = interval(single, draws=2000), interval(by_cluster(single, dialogues), draws=2000)
    assert together.value == pytest.approx(alone.value)
    assert together.stderr == pytest.approx(alone.stderr * math.sqrt(10), rel=0.1)


def test_independent_tasks_are_drawn_independently_and_combined() -> None:
    rng = np.random.default_rng(6)
    first, second = (resampled("score", rng.normal(0, sd, n).tolist()) for sd, n in ((1, 80), (2, 50)))
    apart = [(Units.each(len(one))._replace(key=str(at)), [one]) for at, one in enumerate((first, second))]
    parts = [one for own in draw(apart, draws=4000) for one in own]
    group = weighted(parts, [0.5, 0.5]).interval
    errors = interval(first, draws=4000).stderr, interval(second, draws=4000).stderr
    assert group.value == pytest.approx((first.point + second.point) / 2)
    assert group.stderr == pytest.approx(math.hypot(*errors) / 2, rel=0.05)


def test_an_undefined_metric_has_no_interval() -> None:
    found = interval(resampled("ccc", [(0.5, 0.5, False)] * 5), draws=100)
    assert math.isnan(found.value) and math.isnan(found.low) and found.method == "none"


def test_a_metric_that_is_undefined_in_many_draws_has_no_interval() -> None:
    items = [(0.1, 0.5, False), (0.2, 0.5, False), (0.3, 0.6, False)]
    found = interval(resampled("spearman", items, reported=math.sqrt(3) / 2), draws=200)
    assert found.value == pytest.approx(math.sqrt(3) / 2)
    assert found.undefined > 0 and math.isnan(found.low)


def test_a_few_undefined_draws_are_left_out_and_counted() -> None:
    items = [(i / 10, 0.5 if i < 5 else 0.6, False) for i in range(10)]
    found = interval(resampled("spearman", items, reported=soft_labels.agg_spearman(items)), draws=2000)
    assert 0 < found.undefined < 20
    assert found.method == "percentile" and found.low < found.value <= found.high


def test_percentile_bounds_are_those_of_scipy_on_the_same_draws() -> None:
    values = np.array([0.0] * 15 + [1.0] * 26)  # no single document moves the median, so BCa is undefined

    found = interval(one_draw_at_a_time(lambda drawn: float(np.median(drawn))).resampled(values.tolist()), draws=2000)
    reference = stats.bootstrap(
        (values,), np.median, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.method == "percentile"
    assert (found.low, found.high) == tuple(reference) == (0.0, 1.0)  # at 90 %, low would be 1


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_paired_difference_of_groups_is_scipys(seed: int) -> None:
    """Two tasks of two runs: the same draws of docs for both runs, others for the other task."""
    rng = np.random.default_rng(seed)
    sizes, weights = (40, 25), (0.25, 0.75)
    runs = [[rng.normal(mean, 1, n) for n in sizes] for mean in (0.3, 0.0)]

    def difference(*numbers: np.ndarray, axis: int) -> np.ndarray:
        means = [[run[task][own].mean(axis=-1) for task, own in enumerate(numbers)] for run in runs]
        return sum(weight * (a - b) for weight, a, b in zip(weights, *means, strict=True))  # type: ignore[return-value]

    reference = stats.bootstrap(
        tuple(np.arange(n) for n in sizes),
        difference,
        vectorized=True,
        n_resamples=1500,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    samples = [
        (Units.each(n)._replace(key=str(at)), [resampled("score", run[at].tolist()) for run in runs])
        for at, n in enumerate(sizes)
    ]
    parts = [weighted(own, [1.0, -1.0]) for own in draw(samples, draws=1500, seed=seed)]
    found = weighted(parts, weights)
    np.testing.assert_allclose(found.draws, reference.bootstrap_distribution, rtol=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(reference.confidence_interval), abs=1e-9)


def test_a_run_of_a_pair_is_drawn_as_if_it_stood_alone() -> None:
    rng = np.random.default_rng(3)
    one, other = (rng.normal(size=20).round(2).tolist() for _ in range(2))
    metric = one_draw_at_a_time(lambda drawn: float(np.median(drawn)))
    both, alone = metric.resampled([*one, *other]), drawn(metric.resampled(one), draws=200)
    side = drawn(both.only(slice(0, len(one))), draws=200)
    np.testing.assert_array_equal(side.draws, alone.draws)
    left_out = [np.median([*one[:at], *one[at + 1 :]]) for at in range(len(one))]
    for found in (side, alone):
        np.testing.assert_array_equal(found.left_out[""], left_out)


def test_one_document_has_a_value_and_no_interval() -> None:
    found = interval(resampled("acc", [1.0]))
    assert found.value == 1.0 and math.isnan(found.low)


def test_documents_that_all_score_alike_have_an_interval_of_width_zero() -> None:
    found = interval(resampled("acc", [1.0] * 20), draws=100)
    assert (found.low, found.high, found.method) == (1.0, 1.0, "percentile")


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    statistic = resampled("macro_f1", label_items(60, 0.5))
    whole = resample(statistic, draws=50)
    monkeypatch.setattr("harness_ext.results.statistics.bootstrap._BATCH", 60 * 7)
    np.testing.assert_array_equal(resample(statistic, draws=50), whole)


def test_a_metric_that_resampling_distorts_has_an_error_but_no_interval() -> None:
    """Two samples of one distribution: any resample of them is further apart than they are."""
    values = np.random.default_rng(0).permutation(np.linspace(0, 1, 40))
    found = interval(resampled("w1_marginal", list(zip(np.linspace(0, 1, 40), values, strict=True))), draws=500)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.method == "none" and math.isnan(found.low) and found.stderr > 0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=15))
def test_an_interval_contains_its_value(items: list[tuple[float, float]]) -> None:
    for metric in ("s_rmse", "ccc", "w1_marginal", "bias"):
        found = interval(resampled(metric, items), draws=100)
        assert found.method == "none" or found.low - 1e-9 <= found.value <= found.high + 1e-9
