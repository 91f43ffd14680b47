"""Keys and values of a task's YAML that lm-eval takes without a word and runs wrongly, or not at all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields

from lm_eval.api.registry import AGGREGATION_REGISTRY, METRIC_REGISTRY
from lm_eval.config.group import GroupConfig
from lm_eval.config.task import TaskConfig

from harness_ext.checks.files import TaskFile
from harness_ext.checks.findings import Found, check

_TASK_KEYS = {field.name for field in fields(TaskConfig)}
_GROUP_KEYS = {field.name for field in fields(GroupConfig)} | _TASK_KEYS  # a group's other keys override its leaves'


@check(
    "file",
    why="lm-eval leaves the file out without a word, or stops when the task is asked for.",
    mend="Correct the path of the include, the name of the function or the YAML.",
)
def unreadable_yaml(file: TaskFile) -> Iterator[Found]:
    """Lm-eval can read the file, its includes and the functions that it names."""
    if file.error:
        yield Found(file.error)


@check(
    "file",
    why="without network the task cannot even be looked at, and importing it has effects nobody asked for.",
    mend="Move the download into the function that needs it, or require the data as an installed package.",
)
def network_on_import(file: TaskFile) -> Iterator[Found]:
    """The modules that a file names do not ask for the network as soon as they are imported."""
    if file.asks_network:
        yield Found("the functions that it names ask for the network as soon as they are imported")


@check(
    "file",
    why="lm-eval stops with a traceback, or drops the key without a word: what it was to say does not happen.",
    mend="Correct the spelling or delete the key.",
)
def unknown_key(file: TaskFile) -> Iterator[Found]:
    """Every key is one of lm-eval's."""
    known = _GROUP_KEYS if file.is_group else _TASK_KEYS
    for key in () if file.is_python else sorted(map(str, file.config.keys() - known)):
        yield Found(f"unknown key {key!r}", key)


@check(
    "file",
    why="lm-eval falls back to a default of its own, which a reader does not see and an upgrade may change.",
    mend="Write the key into the metric's entry of metric_list.",
)
def metric_aggregation(file: TaskFile) -> Iterator[Found]:
    """Every metric says how it is aggregated, in which direction it is better, and lm-eval knows both."""
    if file.is_group or file.is_python or not file.config:
        return
    for metric in file.metrics or [{}]:
        name = metric.get("metric")
        name = getattr(name, "__name__", name)
        key = f"metric_list.{name}"
        for needed in ("metric", "aggregation", "higher_is_better"):
            if needed not in metric:
                yield Found(f"metric {name!r} has no {needed!r}", key)
        aggregation = metric.get("aggregation", "mean")
        if isinstance(aggregation, str) and aggregation not in AGGREGATION_REGISTRY:
            yield Found(f"metric {name!r} has the unknown aggregation {aggregation!r}", key)
        # lm-eval records a function's source and of anything else the text: tables need an address in it.
        named = isinstance(aggregation, str) or inspect.isfunction(aggregation)
        if not named and not re.fullmatch(r"[\w.]+:\w+", str(aggregation)):
            yield Found(f"metric {name!r} is aggregated by an object whose source the results cannot record", key)


@check(
    "file",
    why="lm-eval looks for it on the network and fails where there is none.",
    mend="Use a registered metric, or return the value from process_results.",
)
def metric_unregistered(file: TaskFile) -> Iterator[Found]:
    """Every metric that lm-eval computes itself is registered."""
    if file.is_group or "process_results" in file.config:
        return
    for metric in file.metrics:
        name = metric.get("metric")
        if "metric" in metric and not callable(name) and name not in METRIC_REGISTRY:
            yield Found(f"metric {name!r} is not registered: lm-eval would look for it on the network")


@check(
    "file",
    why="lm-eval's defaults cut an answer at the first blank line, end it after 256 tokens or leave sampling open.",
    mend="Give until, max_gen_toks and do_sample in generation_kwargs.",
)
def generation_kwargs(file: TaskFile) -> Iterator[Found]:
    """Generation says where it stops, how long it may be and whether it samples."""
    if file.config.get("output_type") == "generate_until" and not file.is_group:
        settings = file.config.get("generation_kwargs") or {}
        for key in ("until", "max_gen_toks", "do_sample"):
            if key not in settings:
                yield Found(f"generation_kwargs has no {key!r}", "generation_kwargs")


@check(
    "file",
    why="lm-eval averages groups whatever the key says, so the number is not what it is called.",
    mend="Write mean, or compute the number in derived.py.",
)
def group_aggregation(file: TaskFile) -> Iterator[Found]:
    """Groups are aggregated by the mean, which is all that lm-eval can."""
    if file.is_group:
        for metric in file.group_metrics:
            if metric.get("aggregation", "mean") != "mean":
                what = f"metric {metric.get('metric')!r}: lm-eval averages groups whatever 'aggregation' says"
                yield Found(what, "aggregate_metric_list")
