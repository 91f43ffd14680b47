"""Soft labels over several classes: reading, scoring and what is refused; the metrics' references are in
test_corpus_metrics.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy.spatial import distance

from harness_ext.scoring import class_soft_labels as csl

LABELS = ["joy", "anger", "no emotion"]


@pytest.mark.parametrize(
    "text",
    [
        "joy: 60\nanger: 30\nno emotion: 10",
        "**Joy**: 60 %\n- Anger = 30%\n- No emotion | 10%",
        "<think>joy: 1, anger: 1, no emotion: 8</think>Joy: 0.6, anger: 0.3, no emotion: 0.1",
        "At first joy: 10. Then joy: 60, anger: 30, no emotion: 10.",
    ],
)
def test_weights_of_all_classes_are_read_whatever_their_form(text: str) -> None:
    values = csl.score_answer({"soft_label": [6, 3, 1], "labels": LABELS}, [text])
    assert values["parse_failure"] == 0.0
    assert csl.agg_total_variation([values["total_variation"]]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("text", ["", "joy", "joy: 60\nanger: 40", "joy: 0\nanger: 0\nno emotion: 0", "joyful: 1"])
def test_an_answer_that_does_not_weigh_every_class_fails_and_counts_as_uniform(text: str) -> None:
    values = csl.score_answer({"soft_label": [1, 0, 0], "labels": LABELS}, [text])
    assert values["parse_failure"] == 1.0
    assert csl.agg_total_variation([values["total_variation"]]) == pytest.approx(2 / 3)


@given(st.text(), st.lists(st.text(min_size=1), min_size=2, max_size=4, unique_by=str.casefold))
def test_any_text_is_either_read_as_a_distribution_or_not_at_all(text: str, labels: list[str]) -> None:
    found = csl.parse_distribution(text, labels)
    assert found is None or (len(found) == len(labels) and math.isclose(sum(found), 1) and min(found) >= 0)


def test_likelihoods_are_normalised_over_the_choices() -> None:
    likelihoods = [-3.2, -0.4, -7.5]
    values = csl.score_likelihoods({"soft_label": [1, 3, 0]}, [(one, False) for one in likelihoods])
    predicted = np.exp(likelihoods) / np.exp(likelihoods).sum()
    assert csl.agg_soft_brier([values["soft_brier"]]) == pytest.approx(distance.sqeuclidean([0.25, 0.75, 0], predicted))


def test_a_class_that_is_never_predicted_costs_much_but_not_infinitely_much() -> None:
    assert csl.agg_soft_cross_entropy([([0.5, 0.5], [1.0, 0.0])]) == pytest.approx(-0.5 * math.log(1e-12))
    assert csl.agg_jensen_shannon([([1.0, 0.0], [0.0, 1.0])]) == pytest.approx(1.0)


def test_the_mean_label_is_the_best_constant_under_cross_entropy_and_brier() -> None:
    gold = [csl.distribution(votes) for votes in ([5, 0, 1], [1, 1, 4], [2, 3, 1], [0, 6, 0])]
    items = [(one, [1 / 3] * 3) for one in gold]
    best = csl.mean_label(items)
    np.testing.assert_allclose(best[0][1], np.mean(gold, axis=0))
    other = [(one, special.softmax([0.3, 0.1, 0.0]).tolist()) for one in gold]
    for metric in (csl.agg_soft_cross_entropy, csl.agg_soft_brier):
        assert metric(best) < metric(csl.uniform(items))
        assert metric(best) < metric(other)


@pytest.mark.parametrize("weights", [[], [1], [0, 0], [1, -1], [1, math.nan], [[1, 2]]])
def test_what_is_no_soft_label_is_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="a weight of at least 0 for each of two classes or more"):
        csl.distribution(weights)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([([0.5, 0.5], [0.5, 0.4])], "probabilities with the sum 1"),
        ([([0.5, 0.5], [1.0, 0.0]), ([0.2, 0.3, 0.5], [1.0, 0.0, 0.0])], "one number of classes"),
        ([([0.5, 0.5], [0.2, 0.3, 0.5])], "2 and 3 classes"),
    ],
)
def test_items_that_are_no_pairs_of_distributions_are_refused(items: list[csl.Item], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        csl.agg_total_variation(items)
