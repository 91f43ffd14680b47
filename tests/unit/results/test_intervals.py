"""Intervals from shared draws are those of scipy, and means and differences of them need no draws of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness_ext.results.statistics.bootstrap import Units, weighted
from harness_ext.results.statistics.intervals import DRAWS, draw
from harness_ext.scoring import classification, soft_labels
from harness_ext.scoring.resampled import CorpusMetric
from harness_ext.scoring.resampled.numbers import nanmean

Floats = npt.NDArray[np.float64]


def names(n: int, of: str = "doc") -> list[str]:
    return [f"{of} {number}" for number in range(n)]


def soft(n: int, seed: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    gold = rng.random(n)
    return list(zip(gold.tolist(), np.clip(gold + rng.normal(0, 0.3, n), 0, 1).round(2).tolist(), strict=True))


def reference(samples: list[list[Any]], value: Any, draws: Floats) -> tuple[float, float]:
    """scipy's BCa interval of several samples from draws that are known already."""
    numbers = tuple(np.arange(len(items)) for items in samples)
    found = stats.bootstrap(
        numbers,
        lambda *drawn: value(*([items[i] for i in own] for items, own in zip(samples, drawn, strict=True))),
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=draws),
        vectorized=False,
        method="BCa",
    ).confidence_interval
    return found.low, found.high


@pytest.mark.parametrize("metric", [soft_labels.agg_s_rmse, soft_labels.agg_spearman, soft_labels.agg_ccc])
def test_an_interval_is_scipys_on_the_same_draws(metric: CorpusMetric[Any]) -> None:
    items = soft(40, 1)
    drawn = draw(metric.resampled(items), Units.of(names(40)))
    found = drawn.interval
    assert found.method == "bca"
    assert found.value == pytest.approx(metric(items))
    assert (found.low, found.high) == pytest.approx(reference([items], metric, drawn.draws))


def test_the_draws_are_values_of_resamples() -> None:
    items = soft(12, 2)
    drawn = draw(soft_labels.agg_s_rmse.resampled(items), Units.of(names(12)), draws=4000)

    def value(own: Any) -> float:
        return soft_labels.agg_s_rmse([items[i] for i in own])

    independent = stats.bootstrap((np.arange(12),), value, vectorized=False, n_resamples=4000).bootstrap_distribution
    assert drawn.draws.mean() == pytest.approx(independent.mean(), abs=4 * independent.std() / 60)
    assert drawn.draws.std() == pytest.approx(independent.std(), rel=0.1)


def test_whole_clusters_are_drawn_and_left_out() -> None:
    items = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    clusters = ["a", "a", "b", "c", "b", "c", "d"]
    drawn = draw(nanmean(items), Units.of(clusters))
    members = {name: [at for at, own in enumerate(clusters) if own == name] for name in "abcd"}
    (left_out,) = drawn.left_out.values()
    expected = [np.mean([items[at] for at in range(7) if at not in own]) for own in members.values()]
    assert left_out == pytest.approx(expected)
    # two docs of one cluster are never drawn apart: with a alone, every doc is right
    assert drawn.draws.max() == 1.0


def test_a_mean_of_independent_tasks_is_scipys_of_several_samples() -> None:
    first, second = soft(30, 3), soft(24, 4)
    metric = soft_labels.agg_s_rmse
    parts = [draw(metric.resampled(own), Units.of(names(len(own), of))) for own, of in ((first, "x"), (second, "y"))]
    both = weighted(parts, [0.25, 0.75])
    found = both.interval
    assert found.value == pytest.approx(0.25 * metric(first) + 0.75 * metric(second))
    expected = reference([first, second], lambda a, b: 0.25 * metric(a) + 0.75 * metric(b), both.draws)
    assert (found.low, found.high) == pytest.approx(expected)
    assert abs(np.corrcoef(parts[0].draws, parts[1].draws)[0, 1]) < 0.15


def test_tasks_about_the_same_units_get_the_same_draws_in_any_order() -> None:
    values = np.random.default_rng(5).random(50)
    turned = np.random.default_rng(6).permutation(50)
    first = draw(nanmean(values), Units.of(names(50)))
    second = draw(nanmean(values[turned]), Units.of([names(50)[at] for at in turned]))
    difference = weighted([first, second], [1.0, -1.0])
    assert difference.draws == pytest.approx(np.zeros(DRAWS))
    assert difference.interval.value == pytest.approx(0.0)


def test_docs_that_are_all_alike_have_an_interval_without_width() -> None:
    found = draw(nanmean([1.0] * 9), Units.of(names(9))).interval
    assert (found.value, found.low, found.high, found.method) == (1.0, 1.0, 1.0, "percentile")


def test_a_single_unit_and_an_undefined_number_have_none() -> None:
    assert draw(nanmean([1.0]), Units.of(["a"])).interval.method == "none"
    assert draw(nanmean([float("nan")] * 3), Units.of(names(3))).interval.method == "none"


labels = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=25)


@given(pairs=labels)
def test_draws_are_what_the_metric_gives_on_repeated_items(pairs: list[tuple[int, int]]) -> None:
    items = [([gold], [guess], 3) for gold, guess in pairs]
    units = Units.of(names(len(items)))
    drawn = draw(classification.agg_macro_f1.resampled(items), units, draws=5)
    (left_out,) = drawn.left_out.values()
    in_order = [items[int(name.split()[1])] for name in units.names]
    expected = [classification.agg_macro_f1(in_order[:at] + in_order[at + 1 :]) for at in range(len(items))]
    assert left_out == pytest.approx(expected, nan_ok=True)
