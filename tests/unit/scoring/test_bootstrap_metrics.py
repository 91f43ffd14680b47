"""Resampled metrics against the aggregations of harness_ext.scoring, called on every resample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api.registry import get_aggregation

from harness_ext.results.statistics.bootstrap import interval
from harness_ext.results.statistics.paired import Job, Pair, assess
from harness_ext.scoring import classification, regression, soft_labels
from harness_ext.scoring.resampled import NotResampledError, Resampled, by_cluster, resampled
from harness_ext.scoring.resampled.registry import BUILT_IN, VECTORISED, functions, one_draw_at_a_time

LABELS = 4
number = st.sampled_from([-0.125, 0.0, 0.1, 0.25, 0.5, 0.625, 0.875, 1.0, 1.125])
gold = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0])
nan = st.just(float("nan"))
count = st.integers(0, 3)
words = st.lists(st.sampled_from(["I", "am", "so", "sorry", "for", "you", "."]), max_size=6).map(" ".join)
label_set = st.lists(st.integers(-1, LABELS - 1), max_size=2)
soft = st.tuples(gold, number | nan, st.booleans())
label_item = st.tuples(label_set, label_set, st.just(LABELS))
hard_item = st.tuples(st.sampled_from(["E", "I"]), st.sampled_from(["E", "I", None]))
points = st.floats(-300, 100)
FORMS: dict[str, st.SearchStrategy[Any]] = {
    "classification": label_item,
    "regression": st.tuples(number, number),
    "soft_labels": soft,
    "generation": st.tuples(words, words),
    "eqbench": st.tuples(points, st.booleans(), points, st.booleans()),
    "seceu": st.tuples(number.map(abs) | nan, st.sampled_from([2.0, 2.5, 3.5])),
    "tombench": st.tuples(st.sampled_from(["belief", "desire", "emotion"]), st.sampled_from([0.0, 100.0])),
}
OTHER_FORMS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["agg_pos_f1", "agg_neg_f1", "agg_decision_macro_f1"], st.tuples(count, count, count, count)),
    **dict.fromkeys(["agg_precision", "agg_recall", "agg_pair_f1"], st.tuples(count, count, count)),
    **dict.fromkeys(["agg_hard_acc", "agg_hard_f1", "agg_hard_f1_compat"], hard_item),
    **dict.fromkeys(["agg_gold_word_ppl", "agg_gold_byte_ppl"], st.tuples(st.floats(-9, 0), st.integers(1, 5))),
    **dict.fromkeys(
        ["agg_nanmean", "agg_parse_failure", "agg_ordinal_w1", "agg_mean_score", "agg_extremity_pred"], gold | nan
    ),
    **dict.fromkeys(["agg_extreme_share_pred", "agg_share_5"], gold | nan),
    **dict.fromkeys(
        ["agg_safety_balance", "agg_safety_balance_full"],
        st.tuples(st.sampled_from(["safe", "unsafe"]), st.sampled_from([0.0, 1.0]) | nan),
    ),
    "agg_target_nats_per_byte": st.tuples(st.floats(-9, 0), st.integers(1, 5)),
}
BY_ROWS = [classification.agg_jaccard, classification.agg_exact_set]
SUPPORTED = [function for function in VECTORISED if "dist" not in function.__name__ and function not in BY_ROWS]


def form_of(function: Callable[..., float]) -> st.SearchStrategy[Any]:
    return (OTHER_FORMS | FORMS)[
        function.__name__ if function.__name__ in OTHER_FORMS else function.__module__.rpartition(".")[2]
    ]


def one_by_one(function: Callable[..., float], items: list[Any], draws: np.ndarray) -> np.ndarray:
    return np.array([function([items[i] for i in draw]) for draw in draws])


@pytest.mark.parametrize("function", SUPPORTED, ids=lambda f: f"{f.__module__.rpartition('.')[2]}.{f.__name__}")
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_resampled_metric_is_the_aggregation_of_each_resample(
    function: Callable[..., float], data: st.DataObject
) -> None:
    items = data.draw(st.lists(form_of(function), min_size=1, max_size=12))
    draws = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, len(items), (6, len(items)))
    found = VECTORISED[function](items)(draws)
    np.testing.assert_allclose(found, one_by_one(function, items, draws), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("function", SUPPORTED, ids=lambda f: f"{f.__module__.rpartition('.')[2]}.{f.__name__}")
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_documents_does_not_matter(function: Callable[..., float], data: st.DataObject) -> None:
    items = data.draw(st.lists(form_of(function), min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(items))))
    shuffled = VECTORISED[function]([items[i] for i in order])
    np.testing.assert_allclose(shuffled.point, VECTORISED[function](items).point, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("function", BY_ROWS, ids=lambda f: f.__name__)
def test_docs_asked_about_in_several_rows_are_drawn_with_all_their_rows(
    function: Callable[..., float], data: st.DataObject
) -> None:
    answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4)
    docs = data.draw(st.lists(answers, min_size=2, max_size=6))
    items = [(f"d{doc}", row, *answer) for doc, rows in enumerate(docs) for row, answer in enumerate(rows)]
    statistic = by_cluster(VECTORISED[function](items), [item[0] for item in items])
    draws = np.random.default_rng(0).integers(0, len(docs), (5, len(docs)))
    drawn = [
        [(place, row, *answer) for place, doc in enumerate(draw) for row, answer in enumerate(docs[doc])]
        for draw in draws
    ]
    np.testing.assert_allclose(statistic(draws), [function(rows) for rows in drawn])


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_lm_evals_own_aggregations_give_the_same_numbers(name: str) -> None:
    rng = np.random.default_rng(1)
    values = -rng.random(30)
    items = list(zip(values, rng.integers(1, 9, 30), strict=True)) if name[:2] in {"we", "bi"} else values.tolist()
    draws = rng.integers(0, 30, (5, 30))
    np.testing.assert_allclose(BUILT_IN[name](items)(draws), one_by_one(get_aggregation(name), items, draws))


def test_an_aggregation_without_a_fast_form_is_called_on_every_resample() -> None:
    items = [(0.1, 0.3, 0), (0.5, 0.2, 0), (0.9, 0.8, 0), (0.9, 0.4, 0)]
    draws = np.array([[0, 1, 2, 3], [3, 3, 2, 0]])
    slow = one_draw_at_a_time(soft_labels.agg_kendall_tau_b)(items)
    np.testing.assert_allclose(slow(draws), one_by_one(soft_labels.agg_kendall_tau_b, items, draws))


def test_dist_n_is_refused_with_the_reason() -> None:
    with pytest.raises(NotResampledError, match="no new n-grams"):
        resampled("dist_1", ["I am here", "I see"])


def test_the_reported_number_tells_apart_two_functions_of_one_name() -> None:
    items = [(0.1, 0.2), (0.5, 0.4), (0.9, 0.3)]
    percent, fraction = regression.agg_pearson(items), soft_labels.agg_pearson(items)
    assert resampled("pearson", items, reported=percent).point == pytest.approx(percent)
    assert resampled("pearson", items, reported=fraction).point == pytest.approx(fraction)
    with pytest.raises(NotResampledError, match="several aggregations"):
        resampled("pearson", items)


def test_samples_that_do_not_give_the_reported_number_are_refused() -> None:
    with pytest.raises(NotResampledError, match=r"samples give 0\.5, the result file 0\.75"):
        resampled("acc", [1.0, 0.0], reported=0.75)


def test_the_aggregation_is_found_by_the_source_text_in_a_result_file() -> None:
    import inspect

    items = [([0], [0], 2), ([1], [0], 2), ([0], [0], 2)]
    source = inspect.getsource(classification.agg_weighted_f1)
    assert resampled("ei_score", items, aggregation=source).point == pytest.approx(
        classification.agg_weighted_f1(items)
    )


def test_an_unknown_metric_of_plain_numbers_is_their_mean() -> None:
    assert resampled("my_score", [1, 0.5, True], aggregation="def their_own(items): ...").point == pytest.approx(
        2.5 / 3
    )


def test_an_unknown_metric_of_other_items_is_refused() -> None:
    with pytest.raises(NotResampledError, match="no aggregation for documents of this form"):
        resampled("my_score", [("a", "b")])
    with pytest.raises(NotResampledError, match="no documents"):
        resampled("my_score", [])


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(label_item, min_size=4, max_size=12),
    clusters=st.lists(st.sampled_from("abc"), min_size=12, max_size=12),
)
def test_a_drawn_cluster_brings_all_its_documents(items: list[Any], clusters: list[str]) -> None:
    clusters = clusters[: len(items)]
    names = sorted(set(clusters))
    statistic = by_cluster(VECTORISED[classification.agg_macro_f1](items), clusters)
    draws = np.random.default_rng(0).integers(0, len(names), (5, len(names)))
    members = [[items[i] for c in draw for i in range(len(items)) if clusters[i] == names[c]] for draw in draws]
    np.testing.assert_allclose(statistic(draws), [classification.agg_macro_f1(docs) for docs in members])


def test_clusters_must_fit_the_documents() -> None:
    with pytest.raises(ValueError, match="2 documents have 1 clusters"):
        by_cluster(resampled("acc", [1.0, 0.0]), ["a"])


def test_functions_of_one_name_are_found_once_each() -> None:
    assert functions("agg_macro_f1") == [classification.agg_macro_f1]
    assert functions("agg_nothing") == []


def test_a_single_document_has_a_value() -> None:
    statistic: Resampled = resampled("spearman", [(0.5, 0.5)], reported=float("nan"))
    assert math.isnan(statistic.point)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_infinite_item_spoils_only_the_resamples_that_draw_it() -> None:
    statistic = resampled("acc", [1.0, math.inf, 3.0, -math.inf])
    draws = np.array([[0, 2], [0, 1], [2, 3], [1, 3]])
    np.testing.assert_equal(statistic(draws), [2.0, math.inf, -math.inf, math.nan])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("other", [2.0, math.inf])
def test_an_infinite_value_has_no_interval_and_no_p_value(other: float) -> None:
    pair = Pair(resampled("acc", [1.0, math.inf, 2.0, 1.0, other, 2.0]), np.array(["a", "b", "c"]))
    found = assess(Job("task", "acc", "none", "A", "B", [pair], (1.0,), False, True), draws=100)
    assert found.value_a == math.inf
    assert found.value_b == pytest.approx((3 + other) / 3)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert found.better is None
    assert interval(pair.statistic.only(slice(3)), draws=100).method == "none"
