"""Which metric a recorded aggregation is, with its resampled form, checked against the numbers that lm-eval wrote.

A result file holds one of lm-eval's names, the address of a :class:`~harness_ext.scoring.resampled.CorpusMetric`, or
the source text of a function. None of it is executed: an address is looked up in the packages of task folders and in
:mod:`harness_ext.scoring`, a function by its name in its benchmark's ``scores`` and then in scoring.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from harness_ext import scoring
from harness_ext.results import benches
from harness_ext.scoring.lm_eval_aggregations import AGGREGATIONS
from harness_ext.scoring.resampled import CorpusMetric, NotResampledError, Resampled, one_draw_at_a_time

Metric = CorpusMetric[Any]
Built = tuple[Resampled, float]
"""The form of a metric for one run, and its value."""
Answers = tuple[Sequence[Any], float | None]
"""One item per document, as ``process_results`` returned it and the samples file holds it, and lm-eval's value."""

_ADDRESS = re.compile(r"(?P<module>[a-z]\w*(?:\.[a-z]\w*)+):(?P<name>[a-z]\w*)", re.IGNORECASE)


def resampled(
    metric: str,
    items: Sequence[Any],
    *,
    aggregation: str | None = None,
    reported: float | None = None,
    bench: str = "",
) -> Resampled:
    """The resampled form of a metric over the items of one run; arguments and errors as for :func:`recorded_metric`.

    >>> resampled("acc", [1.0, 0.0]).point
    0.5
    >>> resampled("s_rmse", [(0.0, 0.0), (1.0, 0.5)]).point
    3.5355339059327378
    """
    _, ((built, _),) = _found(metric, [(items, reported)], aggregation, bench)
    return built


def recorded_metric(metric: str, runs: Sequence[Answers], *, aggregation: str | None = None, bench: str = "") -> Metric:
    """The corpus metric behind the numbers of some runs.

    Args:
        metric: the metric's name; its aggregation is looked up as ``agg_<metric>`` when none is given.
        runs: of several metrics of one name the first that gives the reported values of all runs is taken; without
            them there must be only one.
        aggregation: what the result file records.
        bench: the benchmark whose own metrics may be meant.

    Raises:
        NotResampledError: the metric has no resampled form, or none that gives the reported values.
    """
    found, _ = _found(metric, runs, aggregation, bench)
    return found


def is_certain(recorded: str) -> bool:
    """Whether it is known which metric a recorded aggregation is, whatever the metric is called.

    >>> is_certain("mean"), is_certain("def agg_own(items):"), is_certain("harness_ext.scoring.em:agg_em")
    (True, False, False)
    """
    return recorded in AGGREGATIONS or corpus_metric_at(recorded) is not None


def _found(metric: str, runs: Sequence[Answers], aggregation: str | None, bench: str) -> tuple[Metric, list[Built]]:
    if not all(items for items, _ in runs):
        raise NotResampledError(f"{metric}: there are no documents")
    recorded = f"agg_{metric}" if aggregation is None else aggregation
    sure = AGGREGATIONS.get(recorded) or corpus_metric_at(recorded)
    told = all(reported is not None for _, reported in runs)
    wrong: list[tuple[float, float]] = []
    for group in [[sure]] if sure else _by_name(metric, recorded, bench, runs[0][0]):
        fitting: list[tuple[Metric, list[Built]]] = []
        for one in group:
            built = _built(one, runs)
            miss = _first_miss(built, runs) if built else None
            if built and miss is None:
                if told:
                    return one, built
                fitting.append((one, built))
            wrong += [miss] if miss else []
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise NotResampledError(
                f"{metric}: several aggregations have this name; the result file beside the samples would tell which"
            )
    if not wrong:
        raise NotResampledError(f"{metric}: no aggregation for documents of this form is known")
    value, reported = wrong[0]
    doubt = "" if sure else ", or the aggregation is not known here"
    raise NotResampledError(
        f"{metric}: the samples give {value:.6g}, the result file {reported:.6g}; they do not belong together{doubt}"
    )


def _built(metric: Metric, runs: Sequence[Answers]) -> list[Built]:
    """Its form and its value for each run; empty if the items are not its own."""
    try:
        forms = [metric.resampled(items) for items, _ in runs]
        return [(one, one.point) for one in forms]
    except NotResampledError:
        raise
    except Exception:  # a metric of the same name for items of another form
        return []


def _first_miss(built: Sequence[Built], runs: Sequence[Answers]) -> tuple[float, float] | None:
    """The first value that is not the reported one, with that one."""
    for (_, value), (_, told) in zip(built, runs, strict=True):
        same = told is None or math.isclose(value, told, rel_tol=1e-9, abs_tol=1e-9)
        if told is not None and not same and not (math.isnan(value) and math.isnan(told)):
            return value, told
    return None


@functools.cache
def corpus_metric_at(address: str) -> Metric | None:
    """The corpus metric at ``package.module:name``, if that lies where metrics may."""
    match = _ADDRESS.fullmatch(address)
    rooms = (*benches.packages(), scoring.__name__)
    if not match or not match["module"].startswith(tuple(f"{room}." for room in rooms)):
        return None
    try:
        found = getattr(importlib.import_module(match["module"]), match["name"], None)
    except ImportError:
        return None
    return found if isinstance(found, CorpusMetric) else None


def _by_name(metric: str, recorded: str, bench: str, items: Sequence[Any]) -> Iterator[list[Metric]]:
    """Metrics that may be meant: the benchmark's, then those of scoring, then, for plain numbers, their mean."""
    name = _function_name(recorded)
    own = benches.module(bench, "scores")
    yield _of_bench(own, name) if own else []
    yield _of_scoring(name)
    yield _after(own, metric) if own else []
    yield [AGGREGATIONS["mean"]] if all(isinstance(item, int | float) for item in items) else []


def _function_name(recorded: str) -> str:
    """Name of a function from its source text or from an address that leads nowhere.

    >>> _function_name("def agg_s_rmse(items: Sequence[Item]) -> float:"), _function_name("/there/scores:agg_own")
    ('agg_s_rmse', 'agg_own')
    """
    defined = re.search(r"^\s*def (\w+)", recorded, re.MULTILINE)
    return defined[1] if defined else recorded.rpartition(":")[2]


def _of_bench(module: ModuleType, name: str) -> list[Metric]:
    """What the benchmark calls so."""
    found = getattr(module, name, None)
    if inspect.isfunction(found) and found.__module__ == module.__name__:
        found = one_draw_at_a_time(found)
    return [found] if isinstance(found, CorpusMetric) else []


@functools.cache
def _after(module: ModuleType, metric: str) -> list[Metric]:
    """What the benchmark calls after the metric: old result files name the function that an own one wraps."""
    own = (each for key, each in vars(module).items() if key.endswith(f"_{metric}"))
    return list(dict.fromkeys(each for each in own if isinstance(each, CorpusMetric)))


@functools.cache
def _of_scoring(name: str) -> list[Metric]:
    """Every corpus metric of that name in the modules of :mod:`harness_ext.scoring`, in the modules' order.

    >>> [str(metric) for metric in _of_scoring("agg_pearson")]
    ['harness_ext.scoring.regression:agg_pearson', 'harness_ext.scoring.soft_labels:agg_pearson']
    """
    modules = sorted(f"{scoring.__name__}.{module.name}" for module in pkgutil.iter_modules(scoring.__path__))
    found = (getattr(importlib.import_module(module), name, None) for module in modules)
    return list(dict.fromkeys(each for each in found if isinstance(each, CorpusMetric)))
