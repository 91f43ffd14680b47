"""Scores of tasks that `harness-ext new-task` writes, beside scikit-learn, pandas and counting by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring import class_soft_labels, classification, generation

LABELS = ["anger", "joy", "neither"]
votes = st.lists(st.sampled_from([*LABELS, ""]), min_size=1, max_size=7)


@given(votes.filter(any))
def test_a_soft_label_of_votes_is_pandas_share_of_each_value(given_votes: list[str]) -> None:
    shares = (
        pd.Series([vote or None for vote in given_votes]).value_counts(normalize=True).reindex(LABELS, fill_value=0)
    )
    assert class_soft_labels.of_votes(given_votes, LABELS) == pytest.approx(shares.tolist())


@pytest.mark.parametrize(("given_votes", "said"), [(["", ""], "nobody voted"), (["joy", "fun"], "a vote for 'fun'")])
def test_votes_that_make_no_label_are_refused(given_votes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        class_soft_labels.of_votes(given_votes, LABELS)


def test_classes_by_likelihood_score_what_scikit_learn_says_of_the_likeliest() -> None:
    rng = np.random.default_rng(5)
    gold, likelihoods = rng.integers(3, size=40), rng.normal(size=(40, 3))
    scored = [
        classification.score_likelihoods({"answer": int(answer)}, [(value, False) for value in row])
        for answer, row in zip(gold, likelihoods, strict=True)
    ]
    predicted = likelihoods.argmax(1)
    assert np.mean([one["accuracy"] for one in scored]) == pytest.approx(
        100 * sklearn.metrics.accuracy_score(gold, predicted)
    )
    assert classification.agg_macro_f1([one["macro_f1"] for one in scored]) == pytest.approx(
        100 * sklearn.metrics.f1_score(gold, predicted, average="macro")
    )


@pytest.mark.parametrize(
    ("answer", "references", "expected"),
    [
        ("paris!\nIt is in France.", ["Paris"], (100.0, 0.0, 0.0)),
        ("London", ["Paris", "London."], (100.0, 0.0, 0.0)),
        ("one\ntwo", ["one\ntwo"], (100.0, 0.0, 0.0)),
        ("one", ["one\ntwo"], (0.0, 0.0, 0.0)),
        ("<think>Paris</think>London", ["Paris"], (0.0, 0.0, 1.0)),
        ("<think>Paris", ["Paris"], (0.0, 1.0, 1.0)),
        ("  \n", ["Paris"], (0.0, 1.0, 0.0)),
    ],
)
def test_an_answer_is_compared_with_every_reference(
    answer: str, references: list[str], expected: tuple[float, float, float]
) -> None:
    scored = generation.score_answer({"answers": references}, [answer])
    assert (scored["exact_match"], scored["no_answer"], scored["reasoning_cut"]) == expected


@given(st.text(max_size=60))
def test_any_answer_gets_every_score_in_range(answer: str) -> None:
    scored = generation.score_answer({"answers": ["Paris"]}, [answer])
    assert list(scored) == ["exact_match", "rouge_l", "no_answer", "reasoning_cut"]
    assert 0 <= scored["exact_match"] <= 100
    assert 0 <= scored["rouge_l"] <= 100.0001
