"""What ``lm_eval validate`` does not see: mistakes in task YAML that lm-eval takes and runs wrongly, or not at all."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

from lm_eval.api.registry import AGGREGATION_REGISTRY, METRIC_REGISTRY
from lm_eval.config.group import GroupConfig
from lm_eval.config.task import TaskConfig
from lm_eval.tasks._yaml_loader import load_yaml

_TASK_KEYS = {field.name for field in fields(TaskConfig)}
_GROUP_KEYS = {field.name for field in fields(GroupConfig)} | _TASK_KEYS  # a group's other keys override its leaves'
METADATA_KEYS = {"version", "bench", "source", "prompt_pack", "language", "chance", "direction"}


def problems(
    folder: Path, *, cards: Collection[str], upstream: Collection[str], same_leaves: Collection[frozenset[str]] = ()
) -> list[str]:
    """One sentence for every mistake in a folder of benchmarks, ours or another package's, mostly with the file's name.

    Args:
        folder: holds a folder a benchmark.
        cards: names of the sources that have a data card.
        upstream: names of lm-eval's own tasks, groups and tags.
        same_leaves: pairs of groups that share leaves on purpose, so that lm-eval refuses to run both.
    """
    found: list[str] = []
    configs: list[tuple[Path, dict[str, Any]]] = []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            config = load_yaml(path, resolve_func=True)
        except Exception as error:
            found.append(f"{path.name}: {error}")
            continue
        configs.append((path, config))
        check = _check_group if "group" in config else _check_task
        found += [f"{path.name}: {problem}" for problem in check(config, path.parent.name, cards)]
    names = [config.get("group") or config.get("task") for _, config in configs]
    tags = {tag for _, config in configs for tag in _tags_of(config)}
    found += [f"{name} is defined {count} times" for name, count in Counter(names).items() if count > 1]
    found += [f"{name} is a name of lm-eval's own" for name in sorted({*names, *tags} & set(upstream), key=str)]
    by_name = {str(name): config for name, (_, config) in zip(names, configs, strict=True)}
    return found + _check_leaves(by_name, upstream, same_leaves)


def _tags_of(config: dict[str, Any]) -> list[str]:
    tags = config.get("tag") or []
    return [tags] if isinstance(tags, str) else tags


def _check_names(config: dict[str, Any], name: object, folder: str) -> list[str]:
    """Names and tags begin with the benchmark's name or the folder's, by which tables and people find them."""
    bench = (config.get("metadata") or {}).get("bench")
    starts = "|".join(re.escape(start) for start in (folder, bench) if isinstance(start, str))
    wrong = (own for own in (name, *_tags_of(config)) if not re.fullmatch(rf"({starts})(_[a-z0-9]+)*", str(own)))
    return [f"name {own!r} is not {folder} or {folder}_<lower case words>" for own in wrong]


def _check_task(config: dict[str, Any], folder: str, cards: Collection[str]) -> list[str]:
    found = _check_names(config, config.get("task"), folder)
    found += [f"unknown key {key!r}" for key in sorted(config.keys() - _TASK_KEYS)]
    for metric in config.get("metric_list") or [{}]:
        found += _check_metric(metric, custom="process_results" in config)
    metadata = config.get("metadata") or {}
    found += [f"metadata has no {key!r}" for key in sorted(METADATA_KEYS - metadata.keys())]
    if "source" in metadata and metadata["source"] not in cards:
        found.append(f"source {metadata['source']!r} has no data card")
    if metadata.get("direction", "higher") not in ("higher", "lower", None):
        found.append(f"direction is {metadata['direction']!r}, not higher, lower or null")
    if not isinstance(metadata.get("chance"), (int, float, type(None))):
        found.append(f"chance is {metadata['chance']!r}, not a number or null")
    if config.get("output_type") == "generate_until":
        settings = config.get("generation_kwargs") or {}
        found += [
            f"generation_kwargs has no {key!r}" for key in ("until", "max_gen_toks", "do_sample") if key not in settings
        ]
    return found


def _check_metric(metric: dict[str, Any], *, custom: bool) -> list[str]:
    name = metric.get("metric")
    found = [
        f"metric {name!r} has no {key!r}" for key in ("metric", "aggregation", "higher_is_better") if key not in metric
    ]
    if not custom and name not in METRIC_REGISTRY:
        found.append(f"metric {name!r} is not registered: lm-eval would look for it on the network")
    aggregation = metric.get("aggregation", "mean")
    if isinstance(aggregation, str) and aggregation not in AGGREGATION_REGISTRY:
        found.append(f"metric {name!r} has the unknown aggregation {aggregation!r}")
    # lm-eval records a function's source and of anything else the text: tables need an address in it.
    named = isinstance(aggregation, str) or inspect.isfunction(aggregation)
    if not named and not re.fullmatch(r"[\w.]+:\w+", str(aggregation)):
        found.append(f"metric {name!r} is aggregated by an object whose source the results cannot record")
    return found


def _check_group(config: dict[str, Any], folder: str, _cards: Collection[str]) -> list[str]:
    found = _check_names(config, config["group"], folder)
    found += [f"unknown key {key!r}" for key in sorted(config.keys() - _GROUP_KEYS)]
    missing = [key for key in ("version", "bench") if key not in (config.get("metadata") or {})]
    found += [f"metadata has no {key!r}" for key in missing]
    for metric in config.get("aggregate_metric_list") or []:
        if metric.get("aggregation") != "mean":
            found.append(f"metric {metric.get('metric')!r}: lm-eval averages groups whatever 'aggregation' says")
    return found


def _check_leaves(
    configs: dict[str, dict[str, Any]], upstream: Collection[str], same_leaves: Collection[frozenset[str]]
) -> list[str]:
    """Check what groups name, what they aggregate, and that no run of two groups meets a leaf twice.

    A group may stand inside another, a group of one group is only another name for it, and lm-eval's own tasks are
    taken as they are.
    """
    found = []
    groups = {name: config for name, config in configs.items() if "group" in config}

    def below(name: str) -> set[str]:
        found: set[str] = set()
        open_groups = [name]
        while open_groups:
            children = set(groups[open_groups.pop()]["task"]) - found
            found |= children
            open_groups += children & groups.keys()
        return found

    for name, config in groups.items():
        missing = below(name) - configs.keys() - set(upstream)
        found += [f"{name} names {child}, which does not exist" for child in sorted(missing)]
        for leaf in sorted(below(name) & configs.keys() - groups.keys()):
            has = {metric.get("metric") for metric in configs[leaf].get("metric_list") or []}
            aggregated = {metric.get("metric") for metric in config.get("aggregate_metric_list") or []}
            found += [f"{name} aggregates {metric}, which {leaf} does not have" for metric in sorted(aggregated - has)]
    other_names = {name for name, config in groups.items() if len(config["task"]) == 1 and below(name) & groups.keys()}
    for one, other in combinations(sorted(groups.keys() - other_names), 2):
        shared = (below(one) & below(other)) - groups.keys()
        nested = one in below(other) or other in below(one)
        if shared and not nested and frozenset({one, other}) not in same_leaves:
            found.append(f"{one} and {other} share {', '.join(sorted(shared))}: lm-eval refuses to run both")
    return found
