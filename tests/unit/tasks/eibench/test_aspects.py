"""Means of means of EiBench-R against the statistics module."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.results.derived import definition
from harness_ext.tasks.eibench.aspects import EI_ASPECTS, ei_scores
from harness_ext.tasks.eibench.bench import BENCH

scores = st.floats(0, 100)
LEAVES = [part for parts in EI_ASPECTS.values() for part in parts]


@given(st.fixed_dictionaries(dict.fromkeys(LEAVES, scores)))
def test_ei_scores_of_all_leaves_are_means_of_means(leaves: dict[str, float]) -> None:
    found = ei_scores(leaves)
    means = {aspect: statistics.fmean(leaves[part] for part in parts) for aspect, parts in EI_ASPECTS.items()}
    assert found.missing == ()
    assert found.aspect_macro == pytest.approx(statistics.fmean(means.values()))
    assert found.task_macro == pytest.approx(statistics.fmean(leaves.values()))
    assert ei_scores(leaves, partial=True) == found


@given(st.sets(st.sampled_from(LEAVES), min_size=1))
def test_missing_leaves_are_named_and_only_their_aspects_undefined(gone: set[str]) -> None:
    found = ei_scores({part: 1.0 for part in LEAVES if part not in gone})
    assert set(found.missing) == gone
    assert {aspect for aspect in EI_ASPECTS if math.isnan(getattr(found, aspect))} == {
        aspect for aspect, parts in EI_ASPECTS.items() if gone & set(parts)
    }
    assert math.isnan(found.aspect_macro)
    assert math.isnan(found.task_macro)


def test_an_undefined_leaf_counts_as_missing() -> None:
    assert ei_scores({part: math.nan if part == "cee" else 1.0 for part in LEAVES}).missing == ("cee",)


@given(st.fixed_dictionaries(dict.fromkeys(LEAVES, scores)))
def test_the_mean_that_runs_are_compared_by_is_the_aspect_macro(leaves: dict[str, float]) -> None:
    (mean,) = BENCH.means
    weighted = math.fsum(weight * leaves[task.removeprefix("eibench_")] for task, weight in mean.weights.items())
    assert weighted == pytest.approx(ei_scores(leaves).aspect_macro)


def test_the_definition_names_what_is_averaged() -> None:
    assert definition(ei_scores).startswith("ei_ep, ei_ec, ei_ee: mean ei_score of an aspect;")
