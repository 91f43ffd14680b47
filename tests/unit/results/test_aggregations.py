"""From what a result file records of an aggregation to the metric, with the names that files may hold."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness_ext.results import benches
from harness_ext.results.statistics import aggregations
from harness_ext.results.statistics.aggregations import recorded_metric, resampled
from harness_ext.results.statistics.bootstrap import interval
from harness_ext.results.statistics.paired import Job, Pair, assess
from harness_ext.scoring import classification, regression, soft_labels
from harness_ext.scoring.resampled import NotResampledError
from harness_ext.tasks.mbtibench import scores as mbtibench

LABELS = [([0], [0], 2), ([1], [0], 2), ([0], [0], 2)]

STRANGER = '''
import math
from harness_ext.scoring.resampled import CorpusMetric, from_sums

ran = []

def geometric_mean(items):
    return math.exp(sum(map(math.log, items)) / len(items))

def quadratic_mean(items):
    return math.sqrt(sum(x * x for x in items) / len(items))

@CorpusMetric
def ratio_of_sums(items):
    """Their own corpus metric."""
    return from_sums(items, lambda sums: sums[:, 0] / sums[:, 1])
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A task package of somebody else with one benchmark, and a module beside it that must never be imported."""
    bench = tmp_path / "their_tasks" / "kindness"
    bench.mkdir(parents=True)
    (bench.parent / "__init__.py").touch()
    (bench / "__init__.py").touch()
    (bench / "scores.py").write_text(STRANGER)
    (tmp_path / "their_other_module.py").write_text("raise SystemExit('this must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(benches, "packages", lambda: ("harness_ext.tasks", "their_tasks"))
    for cached in (benches.homes, benches.module, aggregations.corpus_metric_at):
        cached.cache_clear()
    yield "kindness"
    for cached in (benches.homes, benches.module, aggregations.corpus_metric_at):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("recorded", "metric", "items"),
    [
        (str(soft_labels.agg_pearson), soft_labels.agg_pearson, [(0.1, 0.2), (0.5, 0.4), (0.9, 0.3)]),
        (str(regression.agg_pearson), regression.agg_pearson, [(0.1, 0.2), (0.5, 0.4), (0.9, 0.3)]),
        (str(mbtibench.authors_mae), mbtibench.authors_mae, [(1, 0.0, 0.5), (1, 0.0, 0.1), (2, 1.0, 1.0)]),
    ],
)
def test_an_address_is_the_metric_itself(recorded: str, metric: Any, items: list[Any]) -> None:
    assert recorded_metric("any", [(items, metric(items))], aggregation=recorded) is metric
    assert resampled("any", items, aggregation=recorded).point == metric(items)


def test_a_name_of_lm_evals_is_its_own_aggregation() -> None:
    assert resampled("anything", [1.0, 4.0, 2.0, 8.0], aggregation="median").point == 4.0
    items = [(-2.0, 1), (-1.0, 2)]
    assert resampled("word_perplexity", items, aggregation="weighted_perplexity").point == pytest.approx(math.e)


def test_the_source_text_in_an_old_result_file_names_the_metric() -> None:
    source = "def agg_weighted_f1(items: Iterable[LabelItem]) -> float:\n    return _weighted_f1(_item_counts(items))\n"
    expected = classification.agg_weighted_f1(LABELS)
    assert resampled("ei_score", LABELS, aggregation=source, reported=expected).point == expected


def test_the_reported_number_tells_apart_two_metrics_of_one_name() -> None:
    items = [(0.1, 0.2), (0.5, 0.4), (0.9, 0.3)]
    for metric in (regression.agg_pearson, soft_labels.agg_pearson):
        assert recorded_metric("pearson", [(items, metric(items))]) is metric
    with pytest.raises(NotResampledError, match="several aggregations"):
        resampled("pearson", items)


def test_an_old_file_of_a_metric_that_a_benchmark_wraps_finds_the_wrapping_one() -> None:
    """The old aggregation of PsyCoT averaged an author's items and was recorded as the function that it wrapped."""
    items = [[1, 0.0, 0.5], [1, 0.0, 0.25], [2, 1.0, 0.75]]
    source = "def agg_s_rmse(items: Sequence[Item]) -> float:\n    ..."
    told = soft_labels.agg_s_rmse([(0.0, 0.375), (1.0, 0.75)])
    assert resampled("s_rmse", items, aggregation=source, reported=told, bench="mbtibench").point == told


@pytest.mark.parametrize("name", ["geometric_mean", "quadratic_mean"])
def test_a_plain_function_of_somebody_else_is_found_in_their_benchmark(stranger: str, name: str) -> None:
    values = [1.0, 2.0, 4.0]
    source = f"def {name}(items):\n    return 0\n"
    told = {"geometric_mean": 2.0, "quadratic_mean": math.sqrt(7)}[name]
    found = resampled("kindness", values, aggregation=source, reported=told, bench=stranger)
    assert found.point == pytest.approx(told)
    draws = np.array([[0, 0, 0], [2, 2, 2]])
    assert found(draws).tolist() == pytest.approx([1.0, 4.0])
    assert interval(found, draws=200).method != "none"


@pytest.mark.parametrize("address", ["their_tasks.kindness.scores:ratio_of_sums", "/abroad/scores:ratio_of_sums"])
def test_a_corpus_metric_of_somebody_else_is_found_by_address_or_name(stranger: str, address: str) -> None:
    items = [[1, 2], [1, 2], [3, 4]]
    assert resampled("share", items, aggregation=address, reported=5 / 8, bench=stranger).point == 5 / 8


@pytest.mark.parametrize(
    "recorded",
    [
        "their_other_module:anything",
        "os:getcwd",
        "os.path:join",
        "their_tasks.kindness.scores:geometric_mean",  # a function is not recorded by address
        "their_tasks.kindness.scores:math",
        "their_tasks.kindness.scores:__builtins__",
        "harness_ext.scoring.resampled.statistic:np",
        "harness_ext.cli:main",
        "def system(command): ...",
        "",
        "\x00:\x00",
    ],
)
def test_no_name_in_a_file_reaches_anything_but_metrics(stranger: str, recorded: str) -> None:
    with pytest.raises(NotResampledError, match="no aggregation"):
        resampled("share", [["a", "b"]], aggregation=recorded, reported=1.0, bench=stranger)
    assert "their_other_module" not in sys.modules


def test_a_metric_that_is_known_for_sure_and_gives_another_number_does_not_belong_to_the_samples() -> None:
    address = str(classification.agg_macro_f1)
    with pytest.raises(NotResampledError, match=r"samples give 40, the result file 99; they do not belong together$"):
        resampled("macro_f1", LABELS, aggregation=address, reported=99.0)
    with pytest.raises(NotResampledError, match=r"samples give 0\.5, the result file 0\.75"):
        resampled("acc", [1.0, 0.0], aggregation="mean", reported=0.75)


def test_a_metric_found_by_its_name_only_is_not_said_to_belong_for_sure() -> None:
    source = "def agg_macro_f1(items): ..."
    with pytest.raises(NotResampledError, match="or the aggregation is not known here"):
        resampled("macro_f1", LABELS, aggregation=source, reported=99.0)


def test_an_unknown_aggregation_of_plain_numbers_is_their_mean() -> None:
    source = "def their_own(items): ..."
    assert resampled("my_score", [1, 0.5, True], aggregation=source).point == pytest.approx(2.5 / 3)


def test_an_unknown_aggregation_of_other_items_is_refused() -> None:
    with pytest.raises(NotResampledError, match="no aggregation for documents of this form"):
        resampled("my_score", [("a", "b")])
    with pytest.raises(NotResampledError, match="no documents"):
        resampled("my_score", [])


def test_a_single_document_has_a_value() -> None:
    assert math.isnan(resampled("spearman", [(0.5, 0.5)], reported=float("nan")).point)


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


def test_every_aggregation_of_our_task_files_is_recorded_by_an_address_that_is_found() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    import harness_ext.tasks

    (root, *_) = harness_ext.tasks.__path__
    listed = [
        entry["aggregation"]
        for file in Path(root).rglob("*.yaml")
        for entry in load_yaml(file, resolve_func=True).get("metric_list") or []
    ]
    functions = {one for one in listed if not isinstance(one, str)}
    assert len(functions) > 50
    assert all(aggregations.corpus_metric_at(str(function)) is function for function in functions)
    assert not [one for one in functions if inspect.isfunction(one)]
    assert json.dumps([str(one) for one in functions])
