"""Unlearning's scores against scipy and sklearn, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring import unlearning

ratios = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30)
scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20)


@given(forget=scores, holdout=scores)
def test_auc_is_sklearns_with_ties(forget: list[float], holdout: list[float]) -> None:
    labels = [0] * len(forget) + [1] * len(holdout)
    expected = sklearn.metrics.roc_auc_score(labels, forget + holdout)
    assert unlearning.auc(forget, holdout) == pytest.approx(expected, abs=1e-12)


def test_auc_of_resamples_is_sklearns() -> None:
    rng = np.random.default_rng(0)
    items = [(float(at % 2), float(rng.integers(5))) for at in range(40)]
    form = unlearning.agg_member_auc.resampled(items)
    for _ in range(20):
        drawn = rng.integers(40, size=40)
        members, values = zip(*[items[at] for at in drawn], strict=True)
        expected = sklearn.metrics.roc_auc_score([1 - int(one) for one in members], values)
        assert form(drawn[None])[0] == pytest.approx(expected, abs=1e-12)


@given(first=ratios, second=ratios)
def test_forget_quality_is_scipys_and_symmetric(first: list[float], second: list[float]) -> None:
    found = unlearning.forget_quality(first, second)
    assert scipy.stats.ks_2samp(first, second).statistic == found.D
    assert found.p == pytest.approx(unlearning.forget_quality(second, first).p, rel=1e-9)
    assert 0 <= found.D <= 1
    assert found.n == len(first)


def test_where_scipy_gives_the_exact_test_up_that_is_told() -> None:
    assert unlearning.forget_quality(range(40), range(40)).method == "exact"
    assert unlearning.forget_quality(np.arange(10_001), np.arange(10_001)).method == "asymp"


@given(values=st.lists(st.floats(1e-6, 1.0), min_size=9, max_size=9))
def test_model_utility_is_scipys_harmonic_mean(values: list[float]) -> None:
    named = dict(zip(unlearning.UTILITY, values, strict=True))
    assert unlearning.model_utility(named) == pytest.approx(scipy.stats.hmean(values), rel=1e-9)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.1, None])
def test_model_utility_drops_nothing(wrong: float | None) -> None:
    values = dict.fromkeys(unlearning.UTILITY, 0.5)
    if wrong is None:
        del values["wf_truth_ratio"]
    else:
        values["wf_truth_ratio"] = wrong
    with pytest.raises(ValueError, match="wf_truth_ratio"):
        unlearning.model_utility(values)


@pytest.mark.parametrize("losses", [[math.nan, 1.0], [1.0, math.inf], [1.0]])
def test_a_truth_ratio_needs_finite_losses_of_both_kinds(losses: list[float]) -> None:
    with pytest.raises(ValueError, match="finite losses"):
        unlearning.truth_ratio(losses[0], losses[1:])


@given(base=st.floats(0, 900), wrong=st.lists(st.floats(0, 900), min_size=1, max_size=5))
def test_truth_ratios_stay_in_range(base: float, wrong: list[float]) -> None:
    for mode in ("geometric", "arithmetic", "prob_mean"):
        found = unlearning.truth_ratio(base, wrong, mode)  # type: ignore[arg-type]
        assert found >= 0
        for part in ("forget", "retain"):
            assert 0 <= unlearning.closeness(found, part, mode) <= 1  # type: ignore[arg-type]
    geometric = unlearning.truth_ratio(base, wrong)
    mean = scipy.stats.gmean([math.exp(-loss / 100) for loss in wrong])
    assert geometric == pytest.approx((mean / math.exp(-base / 100)) ** 100, rel=1e-6)
    assert unlearning.truth_ratio(base, wrong, "prob_mean") == pytest.approx(1 / (1 + geometric))


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: unlearning.truth_ratio(1.0, [1.0], "harmonic"), "harmonic"),  # type: ignore[arg-type]
        (lambda: unlearning.aggregate_truth_ratios([]), "no truth ratio"),
        (lambda: unlearning.aggregate_truth_ratios([math.nan]), "0 or more"),
        (lambda: unlearning.forget_quality([], [1.0]), "both models"),
        (lambda: unlearning.forget_quality([math.nan], [1.0]), "NaN"),
        (lambda: unlearning.auc([1.0], []), "both sets"),
        (lambda: unlearning.min_k([]), "log-probabilities"),
        (lambda: unlearning.min_k([-1.0], 0.0), "share k"),
        (lambda: unlearning.min_k_plus_plus([-1.0], [-1.0, 2.0], [1.0]), "shapes differ"),
        (lambda: unlearning.exact_memorisation([]), "without tokens"),
        (lambda: unlearning.extraction_strength([]), "without tokens"),
        (lambda: unlearning.ks_lattice(1.5, 10), "p-value"),
    ],
)
def test_what_means_nothing_is_refused(call: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        call()


@given(said=st.text(max_size=40), right=st.text(max_size=40))
def test_rwkus_recall_never_raises_and_stays_in_range(said: str, right: str) -> None:
    assert 0.0 <= unlearning.rwku_recall(said, right) <= 1.0


@given(hits=st.lists(st.booleans(), min_size=1, max_size=12))
def test_extraction_strength_is_the_right_end(hits: list[bool]) -> None:
    end = next(n for n in range(len(hits), -1, -1) if all(hits[len(hits) - n :]))
    assert unlearning.extraction_strength(hits) == end / len(hits)


@pytest.mark.parametrize("said", ["", ".", " . . "])
def test_an_answer_without_words_recalls_nothing(said: str) -> None:
    assert unlearning.rwku_recall(said, "Paris") == 0.0


def test_corpus_metrics_leave_other_subsets_out() -> None:
    items = [(0.5, "geometric"), (math.nan, "geometric"), (2.0, "geometric")]
    assert unlearning.agg_forget_truth_ratio(items) == 0.5
    assert unlearning.agg_known_truth_ratio(items) == 0.25
    assert unlearning.agg_known_truth_ratio([(0.3, "prob_mean")]) == pytest.approx(0.3)
