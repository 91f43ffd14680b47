from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import interval
from harness_ext.results.statistics.significance import (
    effect_size,
    exchange,
    holm,
    minimum_detectable_effect,
    permutation_p,
)
from harness_ext.scoring.classification import agg_macro_f1
from harness_ext.scoring.soft_labels import agg_s_rmse

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def scipy_p(a: list[Any], b: list[Any], metric: Callable[[list[Any]], float], **settings: Any) -> float:
    """scipy's paired permutation test over document numbers, one exchange at a time."""
    items = [*a, *b]

    def difference(x: np.ndarray, y: np.ndarray) -> float:
        return round(metric([items[int(i)] for i in x]) - metric([items[int(i)] for i in y]), 10)

    n = len(a)
    return float(
        stats.permutation_test(
            (np.arange(n), np.arange(n, 2 * n)), difference, permutation_type="samples", vectorized=False, **settings
        ).pvalue
    )


def soft_items(n: int, noise: float, seed: int) -> list[tuple[float, float, bool]]:
    y = np.random.default_rng(0).random(n)
    p = np.clip(y + np.random.default_rng(seed).normal(0, noise, n), 0, 1)
    return [(float(gold), float(guess), False) for gold, guess in zip(y, p, strict=True)]


def label_items(n: int, right: float, seed: int) -> list[tuple[list[int], list[int], int]]:
    gold = np.random.default_rng(0).integers(0, 3, n)
    rng = np.random.default_rng(seed)
    guess = np.where(rng.random(n) < right, gold, rng.integers(0, 3, n))
    return [([int(g)], [int(p)], 3) for g, p in zip(gold, guess, strict=True)]


@pytest.mark.parametrize("seed", range(4))
def test_exact_p_values_of_s_rmse_are_those_of_scipy(seed: int) -> None:
    a, b = soft_items(9, 0.2, 1 + seed), soft_items(9, 0.5, 10 + seed)
    expected = scipy_p(a, b, agg_s_rmse, n_resamples=np.inf)
    assert permutation_p([exchange(resampled("s_rmse", [*a, *b]))]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_exact_p_values_of_macro_f1_are_those_of_scipy(seed: int) -> None:
    a, b = label_items(9, 0.8, 1 + seed), label_items(9, 0.3, 10 + seed)
    expected = scipy_p(a, b, agg_macro_f1, n_resamples=np.inf)
    assert permutation_p([exchange(resampled("macro_f1", [*a, *b]))]) == pytest.approx(expected)


def test_random_exchanges_are_those_of_scipy_with_the_same_seed() -> None:
    """Of two runs that answer every doc differently, the same docs are exchanged in the same draws."""
    off = np.where(np.arange(60) < 35, 1, 2) / 9  # by how many segments run A is off, where run B is by the other
    a, b = ([(1 / 18, float(1 / 18 + gap), False) for gap in gaps] for gaps in (off, 3 / 9 - off))
    assert all(agg_s_rmse([x]) != agg_s_rmse([z]) for x, z in zip(a, b, strict=True))
    expected = scipy_p(a, b, agg_s_rmse, n_resamples=999, rng=np.random.default_rng(5))
    assert 0.01 < expected < 0.99
    assert permutation_p([exchange(resampled("s_rmse", [*a, *b]))], draws=999, seed=5) == expected
    assert permutation_p([exchange(resampled("s_rmse", [*a, *b]))], draws=999, seed=6) != expected


def test_docs_on_which_the_runs_agree_count_but_are_not_exchanged() -> None:
    a, b = label_items(9, 0.9, 1), label_items(9, 0.2, 2)
    same = label_items(200, 0.6, 3)  # all exchanges of these, too, could not be tried
    expected = scipy_p(a, b, lambda items: agg_macro_f1([*items, *same]), n_resamples=np.inf)
    assert expected < 1
    assert permutation_p([exchange(resampled("macro_f1", [*a, *same, *b, *same]))]) == pytest.approx(expected)


def test_random_sign_flips_of_a_mean_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.1, 1, 50), rng.normal(0, 1, 50)
    expected = stats.permutation_test(
        (a, b),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="samples",
        n_resamples=2000,
        vectorized=True,
        rng=np.random.default_rng(0),
    ).pvalue
    found = permutation_p([exchange(resampled("score", [*a.tolist(), *b.tolist()]))], draws=2000)
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), n=st.integers(1, 20))
def test_p_lies_in_0_to_1_and_does_not_depend_on_which_run_comes_first(data: st.DataObject, n: int) -> None:
    value = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n)
    a, b = data.draw(value), data.draw(value)
    p = permutation_p([exchange(resampled("acc", a + b))], draws=200)
    assert 0 < p <= 1
    if n <= 7:  # exact
        assert p == pytest.approx(permutation_p([exchange(resampled("acc", b + a))], draws=200))


def test_identical_runs_have_p_1() -> None:
    items = label_items(30, 0.5, 1)
    assert permutation_p([exchange(resampled("macro_f1", items + items))]) == 1.0


def test_p_never_reaches_0() -> None:
    p = permutation_p([exchange(resampled("acc", [1.0] * 100 + [0.0] * 100))], draws=999)
    assert p == pytest.approx(2 / 1000)  # the observed exchange is one of the 1000, on either side


def test_an_undefined_metric_has_no_p_value() -> None:
    constant = [(0.2, 0.5, 0), (0.8, 0.5, 0), (0.9, 0.5, 0)]
    varied = [(0.2, 0.1, 0), (0.8, 0.7, 0), (0.9, 0.6, 0)]
    swap = exchange(resampled("var_ratio", [(0.5, p, 0) for _, p, _ in constant + varied]))
    assert math.isnan(permutation_p([swap]))


def test_a_dialogue_is_swapped_as_a_whole() -> None:
    a, b = [1.0] * 8, [0.0] * 8
    alone = permutation_p([exchange(resampled("acc", a + b))])
    dialogues = permutation_p([exchange(resampled("acc", a + b), ["x"] * 4 + ["y"] * 4)])
    assert alone == pytest.approx(2 / 2**8)
    assert dialogues == pytest.approx(2 / 2**2)


def test_tasks_about_the_same_units_are_swapped_together() -> None:
    tasks = [exchange(resampled("acc", [1.0] * 4 + [0.0] * 4))] * 2
    assert permutation_p(tasks, same_units=True) == pytest.approx(2 / 2**4)
    assert permutation_p(tasks) == pytest.approx(2 / 2**8)


def test_a_test_of_a_group_is_the_test_of_its_mean() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.random((2, 6)), rng.random((2, 6))
    together = permutation_p([exchange(resampled("s", [*x.tolist(), *y.tolist()])) for x, y in zip(a, b, strict=True)])
    assert together == pytest.approx(
        stats.permutation_test(
            (a.reshape(-1), b.reshape(-1)),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        ).pvalue
    )


def test_an_exchange_needs_two_runs_of_one_length() -> None:
    with pytest.raises(ValueError, match="3 items are not two runs"):
        exchange(resampled("acc", [1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="2 documents, but 3 units"):
        exchange(resampled("acc", [1.0, 0.0, 1.0, 0.5]), [1, 2, 3])


@given(probabilities)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


@given(probabilities)
def test_holm_keeps_the_order_and_never_lowers_a_p_value(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, corrected, strict=True))
    by_p = sorted(zip(p_values, corrected, strict=True))
    assert all(low[1] <= high[1] for low, high in itertools.pairwise(by_p))


def test_an_undefined_p_value_is_no_test() -> None:
    corrected = holm([0.02, float("nan"), 0.03])
    assert corrected[0] == corrected[2] == 0.04
    assert math.isnan(corrected[1])


def test_the_effect_of_a_mean_is_paired_cohens_d() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(0.3, 1, 300), rng.normal(0, 1, 300)
    gap = a - b
    error = interval(resampled("score", gap.tolist())).stderr
    assert effect_size(gap.mean(), error, 300) == pytest.approx(gap.mean() / gap.std(ddof=1), rel=0.03)


def test_no_difference_has_no_effect_and_no_spread_no_size() -> None:
    assert effect_size(0.0, 0.0, 10) == 0.0
    assert math.isnan(effect_size(0.5, 0.0, 10))


def test_a_difference_of_the_minimum_detectable_size_is_found_with_the_power_stated() -> None:
    rng = np.random.default_rng(10)
    error = 1 / math.sqrt(100)
    effect = minimum_detectable_effect(error)
    found = sum(stats.ttest_1samp(rng.normal(effect, 1, 100), 0).pvalue < 0.05 for _ in range(1000))
    assert found / 1000 == pytest.approx(0.8, abs=0.04)
