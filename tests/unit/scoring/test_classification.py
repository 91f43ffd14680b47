"""Label metrics against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring import classification as c

LABELS = ["a", "b", "c", "d"]
docs = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "invalid"])), min_size=1, max_size=40)
sets = st.lists(st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=30)


def seen(rows: list[tuple[str, str]]) -> list[str]:
    return [label for label in LABELS if any(label in row for row in rows)]


@given(rows=docs)
def test_label_metrics_equal_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, predicted = (list(column) for column in zip(*rows, strict=True))
    options = {"labels": seen(rows), "zero_division": 0}
    assert c.macro_f1(gold, predicted, LABELS) == pytest.approx(
        100 * sk.f1_score(gold, predicted, average="macro", **options)
    )
    assert c.weighted_f1(gold, predicted, LABELS) == pytest.approx(
        100 * sk.f1_score(gold, predicted, average="weighted", **options)
    )
    assert c.macro_recall(gold, predicted, LABELS) == pytest.approx(
        100 * sk.recall_score(gold, predicted, average="macro", **options)
    )
    assert c.micro_f1(gold, predicted, LABELS[1:]) == pytest.approx(
        100 * sk.f1_score(gold, predicted, labels=LABELS[1:], average="micro", zero_division=0)
    )
    assert c.accuracy(gold, predicted) == pytest.approx(100 * sk.accuracy_score(gold, predicted))


@given(rows=docs)
def test_label_items_give_the_same_as_label_lists(rows: list[tuple[str, str]]) -> None:
    gold, predicted = (list(column) for column in zip(*rows, strict=True))
    items = [([LABELS.index(g)], [LABELS.index(p)] if p in LABELS else [], 4) for g, p in rows]
    assert c.agg_macro_f1(items) == c.macro_f1(gold, predicted, LABELS)
    assert c.agg_weighted_f1(items) == c.weighted_f1(gold, predicted, LABELS)
    assert c.agg_macro_recall(items) == c.macro_recall(gold, predicted, LABELS)
    assert c.agg_micro_f1_excl(items) == c.micro_f1(gold, predicted, LABELS[1:])
    assert c.agg_f1_irony(items) == c.micro_f1(gold, predicted, LABELS[1:2])


def matrix(column: list[set[str]]) -> np.ndarray:
    return np.array([[label in one for label in LABELS] for one in column], dtype=int)


@given(rows=sets)
def test_set_metrics_equal_scikit_learn(rows: list[tuple[set[str], set[str]]]) -> None:
    gold, predicted = (list(column) for column in zip(*rows, strict=True))
    present = [i for i in range(len(LABELS)) if matrix(gold)[:, i].any() or matrix(predicted)[:, i].any()]
    if present:
        assert c.set_macro_f1(gold, predicted, LABELS) == pytest.approx(
            100 * sk.f1_score(matrix(gold), matrix(predicted), labels=present, average="macro", zero_division=0)
        )
        assert c.set_micro_f1(gold, predicted, LABELS) == pytest.approx(
            100 * sk.f1_score(matrix(gold), matrix(predicted), average="micro", zero_division=0)
        )
    for g, p in rows:
        if g | p:
            reference = sk.jaccard_score(matrix([g])[0], matrix([p])[0], zero_division=0)
            assert c.jaccard(g, p) == pytest.approx(100 * reference)


@given(rows=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_decisions_equal_scikit_learn_on_the_pooled_pairs(rows: list[tuple[bool, bool]]) -> None:
    gold, predicted = zip(*rows, strict=True)
    items = [c.decisions({1} if g else set(), {1} if p else set(), (1,)) for g, p in rows]
    scores = c.decision_scores(items)
    assert scores.pos_f1 == pytest.approx(100 * sk.f1_score(gold, predicted, pos_label=True, zero_division=0))
    assert scores.neg_f1 == pytest.approx(100 * sk.f1_score(gold, predicted, pos_label=False, zero_division=0))


def test_an_invalid_answer_is_wrong_but_no_class_of_its_own() -> None:
    assert c.macro_f1(["a", "a"], ["a", "invalid"], ["a", "b"]) == pytest.approx(100 * 2 / 3)


def test_an_oracle_scores_100_although_a_label_never_occurs() -> None:
    assert c.macro_f1(["a", "b"], ["a", "b"], LABELS) == 100.0
    assert c.set_macro_f1([{"a"}, {"b"}], [{"a"}, {"b"}], LABELS) == 100.0


def test_a_label_that_is_only_predicted_counts_in_the_macro_mean() -> None:
    assert c.macro_f1(["a"], ["b"], LABELS) == 0.0
    assert c.macro_f1(["a", "a"], ["a", "b"], LABELS) == pytest.approx(100 / 3)


def test_finding_nothing_where_there_is_nothing_is_perfect() -> None:
    assert c.jaccard(set(), set()) == 100.0
    assert c.pair_scores([(0, 0, 0)]).pair_f1 == 100.0
    assert c.pair_scores([(0, 0, 1)]).pair_f1 == 0.0


def test_gold_and_predictions_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 gold sets but 1 predicted"):
        c.macro_f1(["a", "b"], ["a"], LABELS)
