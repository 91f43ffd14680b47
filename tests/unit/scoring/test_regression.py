"""Correlations and errors against numpy and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness_ext.scoring import regression

number = st.integers(0, 20).map(lambda n: n / 20)
columns = st.lists(st.tuples(number, number), min_size=2, max_size=40)


@given(rows=columns)
def test_correlations_equal_numpy_and_pandas(rows: list[tuple[float, float]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    assume(len(set(gold)) > 1 and len(set(predicted)) > 1)
    assert regression.pearson(gold, predicted) == pytest.approx(100 * np.corrcoef(gold, predicted)[0, 1], abs=1e-6)
    ranks = np.corrcoef(pd.Series(gold).rank(), pd.Series(predicted).rank())[0, 1]
    assert regression.spearman(gold, predicted) == pytest.approx(100 * ranks, abs=1e-6)
    assert regression.agg_pearson(rows) == regression.pearson(gold, predicted)
    assert regression.agg_mae(rows) == pytest.approx(np.abs(np.subtract(gold, predicted)).mean())


@given(gold=st.lists(number, min_size=1), constant=number)
def test_a_constant_prediction_correlates_with_nothing(gold: list[float], constant: float) -> None:
    predicted = [constant] * len(gold)
    assert regression.pearson(gold, predicted) == 0.0
    assert regression.spearman(gold, predicted) == 0.0


@pytest.mark.parametrize("score", [regression.pearson, regression.spearman, regression.mae])
def test_lists_of_different_length_are_refused(score: object) -> None:
    with pytest.raises(ValueError, match="equally long"):
        score([0.1, 0.2], [0.1])  # type: ignore[operator]
