"""Derived scores against scipy, numpy and hand-made cases."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.results.derived import (
    chance_normalised,
    definition,
    delta_to_base,
    delta_to_trivial,
    harmonic_mean,
    language_macro,
    mean_rank,
    retention,
)

scores = st.floats(0, 100)


@given(st.lists(st.lists(scores, min_size=3, max_size=3), min_size=1, max_size=8), st.booleans())
def test_ranks_are_scipys_minimum_ranks(columns: list[list[float]], higher: bool) -> None:
    sign = -1 if higher else 1
    expected = np.mean([scipy.stats.rankdata(sign * np.array(column), method="min") for column in columns], axis=0)
    assert mean_rank(columns, higher_is_better=higher) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("columns", [[], [[1.0, 2.0], [1.0]], [[1.0, math.nan]]])
def test_ranks_of_incomplete_columns_are_refused(columns: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"ranks need|no rank"):
        mean_rank(columns, higher_is_better=True)


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=9))
def test_the_harmonic_mean_is_scipys(parts: list[float]) -> None:
    assert harmonic_mean(parts) == pytest.approx(scipy.stats.hmean(parts))


def test_a_harmonic_mean_is_zero_undefined_or_refused_at_the_edges() -> None:
    assert harmonic_mean([0.5, 0.0]) == 0
    assert math.isnan(harmonic_mean([0.5, math.nan]))
    for parts in ([], [0.5, -0.1]):
        with pytest.raises(ValueError, match="at least 0"):
            harmonic_mean(parts)


def test_chance_is_nothing_and_perfection_everything() -> None:
    assert chance_normalised(0.25, 0.25) == 0
    assert chance_normalised(100, 20, best=100) == 1
    assert chance_normalised(0.0, 0.5) == -1
    with pytest.raises(ValueError, match="already perfect"):
        chance_normalised(1.0, 1.0)


def test_a_language_that_one_run_lacks_is_in_nobodys_macro() -> None:
    runs = {
        "base": {"de": [[0.5]], "sw": [[0.1]], "zh": [[0.9], [0.7]]},
        "tuned": {"de": [[0.6]], "sw": [[math.nan]], "zh": [[0.8], [0.8]]},
    }
    found = language_macro(runs)
    assert found.languages == ("de", "zh")
    assert found.macros == pytest.approx({"base": 0.65, "tuned": 0.7})
    assert found.missing == {"base": (), "tuned": ("sw",)}


def test_families_weigh_the_same_however_many_leaves_they_have() -> None:
    assert language_macro({"a": {"de": [[1.0], [0.0] * 9]}}).macros == {"a": 0.5}


def test_runs_without_a_common_language_have_no_macro() -> None:
    found = language_macro({"a": {"de": [[1.0]]}, "b": {"zh": [[1.0]], "ko": []}})
    assert all(math.isnan(macro) for macro in found.macros.values())


def test_retention_names_the_worst_leaf() -> None:
    kept = retention({"boolq": 71.2, "rte": 60.0}, {"boolq": 69.0, "rte": 61.5})
    assert (kept.worst, round(kept.worst_delta, 4)) == ("boolq", -2.2)
    assert kept.delta == pytest.approx(-0.35)
    assert math.isnan(retention({"a": 0.0}, {"a": 1.0}).ratio)


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({"a": 1.0}, {"b": 1.0}), ({"a": 1.0}, {})])
def test_retention_over_different_leaves_is_refused(before: dict[str, float], after: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="same leaves"):
        retention(before, after)


def test_every_derived_score_can_say_in_a_line_what_it_is() -> None:
    deltas = (delta_to_base, delta_to_trivial)
    for score in (*deltas, mean_rank, chance_normalised, harmonic_mean, language_macro, retention):
        assert ":" in definition(score)
        assert definition(score).endswith(".")
