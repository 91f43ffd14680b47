"""Agreement coefficients against sklearn, the krippendorff package and pair counting."""

from __future__ import annotations

import math
from itertools import permutations

import krippendorff
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

CATEGORIES = 4


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    raters = draw(st.integers(2, 5))
    row = st.lists(st.integers(0, CATEGORIES - 1), min_size=raters, max_size=raters)
    table = np.array(draw(st.lists(row, min_size=2, max_size=25)))
    return table if len(np.unique(table)) > 1 else np.vstack([table, (table[-1:] + 1) % CATEGORIES])


@given(tables())
def test_fleiss_kappa_equals_a_count_of_agreeing_pairs(table: np.ndarray) -> None:
    pairs = [a == b for row in table.tolist() for a, b in permutations(row, 2)]
    observed = sum(pairs) / len(pairs)
    chance = sum(float((table == category).mean()) ** 2 for category in range(CATEGORIES))
    assert fleiss_kappa(table, CATEGORIES) == pytest.approx((observed - chance) / (1 - chance))


@pytest.mark.parametrize("metric", ["nominal", "interval", "ordinal"])
@given(table=tables())
def test_krippendorff_alpha_equals_the_krippendorff_package(table: np.ndarray, metric: str) -> None:
    reference = krippendorff.alpha(
        reliability_data=table.T, value_domain=list(range(CATEGORIES)), level_of_measurement=metric
    )
    assert krippendorff_alpha(table, CATEGORIES, metric) == pytest.approx(reference)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_cohen_kappa_equals_sklearn(pairs: list[tuple[str, str]]) -> None:
    a, b = ([*column] for column in zip(*pairs, strict=True))
    if len({*a, *b}) == 1:
        assert math.isnan(cohen_kappa(a, b))
    else:
        assert cohen_kappa(a, b) == pytest.approx(sklearn.metrics.cohen_kappa_score(a, b))


def test_full_agreement_is_one_and_a_single_category_is_undefined() -> None:
    table = [[0, 0, 0], [2, 2, 2]]
    assert fleiss_kappa(table, 3) == krippendorff_alpha(table, 3, "ordinal") == cohen_kappa("ab", "ab") == 1
    assert math.isnan(fleiss_kappa([[1, 1], [1, 1]], 3))
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]], 3, "interval"))


@pytest.mark.parametrize("table", [[[0], [1]], [0, 1], [[0, 4]], [[0, -1]], [[0, 0.5]]])
def test_tables_without_two_raters_or_with_unknown_codes_are_refused(table: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"raters|whole numbers"):
        fleiss_kappa(table, CATEGORIES)
    with pytest.raises(ValueError, match=r"raters|whole numbers"):
        krippendorff_alpha(table, CATEGORIES, "nominal")


def test_unknown_metrics_and_unequal_raters_are_refused() -> None:
    with pytest.raises(ValueError, match="'ratio'"):
        krippendorff_alpha([[0, 1]], 2, "ratio")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lengths are 1 and 0"):
        cohen_kappa(["a"], [])
