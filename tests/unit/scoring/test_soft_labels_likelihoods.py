"""Soft labels from log-likelihoods of scores and questionnaire options, and from both orders of a scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness_ext.scoring.soft_labels import expected_score, flip, order_bias, ordinal_w1, parse_score, pool4, psycot_ll

LLS = st.lists(st.floats(-60, 0), min_size=9, max_size=9)
SHARES = st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any).map(lambda n: np.array(n) / sum(n))


@given(LLS, st.floats(-30, 30))
def test_expected_score_has_the_moments_of_the_distribution_and_ignores_a_shift(lls: list[float], shift: float) -> None:
    values = expected_score(lls)
    weights = np.exp(np.array(lls) - max(lls))
    reference = stats.rv_discrete(values=(np.arange(1, 10), weights / weights.sum()))
    assert values["expected_score"] == pytest.approx(reference.mean())
    assert values["var_score"] == pytest.approx(reference.var(), abs=1e-9)
    assert values["entropy_nats"] == pytest.approx(reference.entropy(), abs=1e-9)
    assert values["prob_second_mass"] == pytest.approx(reference.sf(5) + reference.pmf(5) / 2, abs=1e-9)
    assert 0 <= values["p_soft"] <= 1
    assert lls[values["argmax_score"] - 1] == pytest.approx(max(lls), abs=1e-12)
    assert expected_score(np.array(lls) + shift)["p_soft"] == pytest.approx(values["p_soft"], abs=1e-9)


@given(LLS)
def test_calibration_with_the_same_likelihoods_leaves_no_preference(lls: list[float]) -> None:
    assert expected_score(lls, null_lls=lls)["p_soft"] == pytest.approx(0.5)


@pytest.mark.parametrize("score", range(1, 10))
def test_a_certain_model_gives_the_soft_label_of_the_written_score(score: int) -> None:
    values = expected_score([0.0 if k == score else -50.0 for k in range(1, 10)])
    assert values["p_soft"] == pytest.approx(parse_score(f"[[{score}]]"), abs=1e-12)
    assert values["argmax_score"] == score


def test_a_score_without_any_probability_is_allowed_but_not_all_of_them() -> None:
    assert expected_score([-math.inf] * 8 + [-3.0])["expected_score"] == 9
    with pytest.raises(ValueError, match="finite"):
        expected_score([-math.inf] * 9)


@pytest.mark.parametrize("lls", [[0.0] * 8, [0.0] * 8 + [math.nan], [0.0] * 8 + [math.inf], [[0.0] * 9]])
def test_likelihoods_that_are_not_nine_numbers_are_refused(lls: list[float]) -> None:
    with pytest.raises(ValueError, match=r"nine|below infinity"):
        expected_score(lls)


def test_calibration_needs_finite_likelihoods() -> None:
    with pytest.raises(ValueError, match="finite"):
        expected_score([0.0] * 9, null_lls=[0.0] * 8 + [-math.inf])


@given(st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_pooling_keeps_the_mass_and_mirrors_with_the_scale(p: list[float]) -> None:
    pooled = pool4(p)
    assert pooled.sum() == pytest.approx(sum(p))
    assert pool4(p[::-1]) == pytest.approx(pooled[::-1])
    assert pool4([p, p[::-1]])[0] == pytest.approx(pooled)


@given(SHARES, SHARES)
def test_ordinal_distance_is_the_wasserstein_distance_on_option_numbers(a: np.ndarray, b: np.ndarray) -> None:
    assert ordinal_w1(a, b) == pytest.approx(stats.wasserstein_distance(range(4), range(4), a, b), abs=1e-12)


def test_distributions_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        ordinal_w1([1, 0], [1, 0, 0])
    with pytest.raises(ValueError, match="nine scores"):
        pool4([0.25] * 4)


def test_a_questionnaire_counts_keyed_options_fully_and_all_others_half() -> None:
    certain = [0.0, -100.0, -100.0, -100.0]
    items = [{"option_to_pole": {"A": "J", "B": "P"}}, {"option_to_pole": {"A": "P", "B": "J"}}]
    assert psycot_ll([certain, certain], items, "P")["item_values"] == pytest.approx([0, 1])
    assert psycot_ll([certain[::-1], certain[::-1]], items, "P")["p"] == pytest.approx(0.5)


@pytest.mark.parametrize("keyed", [{"A": "J", "B": "P"}, {"A": "J", "B": "P", "C": None}])
def test_an_option_without_a_pole_counts_half_whether_it_is_absent_or_null(keyed: dict[str, str | None]) -> None:
    certain = [-50.0, -50.0, 0.0]  # of the third option
    for second in "JP":
        assert psycot_ll([certain], [{"option_to_pole": keyed}], second)["p"] == pytest.approx(0.5)


def test_a_questionnaire_that_does_not_fit_its_likelihoods_is_refused() -> None:
    item = {"option_to_pole": {"A": "E", "B": "I"}}
    with pytest.raises(ValueError, match="2 for 1 items"):
        psycot_ll([[0.0, 0.0], [0.0, 0.0]], [item], "I")
    with pytest.raises(ValueError, match="keys options"):
        psycot_ll([[0.0]], [item], "I")
    with pytest.raises(ValueError, match="keys options"):
        psycot_ll([[0.0]], [{"option_to_pole": {"A": "E", "B": None}}], "I")


@given(st.dictionaries(st.integers(), st.floats(0, 1), min_size=1))
def test_a_model_that_answers_alike_on_the_reversed_scale_has_no_order_bias(p: dict[int, float]) -> None:
    reversed_scale = {i: flip(value) for i, value in p.items()}
    joined = order_bias(p, {i: flip(value) for i, value in reversed_scale.items()})
    assert joined["ids"] == sorted(p)
    assert joined["disagreement"] == pytest.approx(0, abs=1e-12)
    assert joined["p_mean"] == pytest.approx([p[i] for i in sorted(p)])


def test_both_orders_must_cover_the_same_items() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        order_bias({1: 0.5, 2: 0.5}, {1: 0.5, 3: 0.5})
