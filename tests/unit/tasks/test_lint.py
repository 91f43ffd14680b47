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

import lm_eval.tasks
import pytest
import yaml
from lm_eval.api.registry import AGGREGATION_REGISTRY, METRIC_REGISTRY
from lm_eval.config.group import GroupConfig
from lm_eval.config.task import TaskConfig
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext.scoring.resampled import CorpusMetric

REPOSITORY = Path(__file__).parents[3]
TASK_KEYS = {field.name for field in fields(TaskConfig)}
GROUP_KEYS = {field.name for field in fields(GroupConfig)} | TASK_KEYS  # a group's other keys override its leaves'
METADATA_KEYS = {"version", "source", "prompt_pack", "language", "chance", "direction"}
SAME_LEAVES_ON_PURPOSE = {frozenset({"eibench", "eibench_full"})}  # the second runs the leaves of the first uncapped


def problems(folder: Path, *, cards: Collection[str], upstream: Collection[str]) -> list[str]:
    """Return one sentence for every mistake in the task folder, each starting with the file's name."""
    found: list[str] = []
    configs: list[tuple[Path, dict[str, Any]]] = []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            config = load_yaml(path, resolve_func=True)
        except Exception as error:
            found.append(f"{path.name}: {error}")
            continue
        configs.append((path, config))
        check = check_group if "group" in config else check_task
        found += [f"{path.name}: {problem}" for problem in check(config, path.parent.name, cards)]
    names = [config.get("group") or config.get("task") for _, config in configs]
    tags = {tag for _, config in configs for tag in tags_of(config)}
    found += [f"{name} is defined {count} times" for name, count in Counter(names).items() if count > 1]
    found += [f"{name} is a name of lm-eval's own" for name in sorted({*names, *tags} & set(upstream), key=str)]
    return found + check_leaves({name: config for name, (_, config) in zip(names, configs, strict=True)}, upstream)


def tags_of(config: dict[str, Any]) -> list[str]:
    tags = config.get("tag") or []
    return [tags] if isinstance(tags, str) else tags


def check_name(name: object, bench: str) -> list[str]:
    if isinstance(name, str) and re.fullmatch(rf"{bench}(_[a-z0-9]+)*", name):
        return []
    return [f"name {name!r} is not {bench} or {bench}_<lower case words>"]


def check_task(config: dict[str, Any], bench: str, cards: Collection[str]) -> list[str]:
    found = check_name(config.get("task"), bench)
    found += [problem for tag in tags_of(config) for problem in check_name(tag, bench)]
    found += [f"unknown key {key!r}" for key in sorted(config.keys() - TASK_KEYS)]
    for metric in config.get("metric_list") or [{}]:
        found += check_metric(metric, custom="process_results" in config)
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


def check_metric(metric: dict[str, Any], *, custom: bool) -> list[str]:
    name = metric.get("metric")
    found = [
        f"metric {name!r} has no {key!r}" for key in ("metric", "aggregation", "higher_is_better") if key not in metric
    ]
    if not custom and name not in METRIC_REGISTRY:
        found.append(f"metric {name!r} is not registered: lm-eval would look for it on the network")
    aggregation = metric.get("aggregation", "mean")
    if isinstance(aggregation, str) and aggregation not in AGGREGATION_REGISTRY:
        found.append(f"metric {name!r} has the unknown aggregation {aggregation!r}")
    if not isinstance(aggregation, str | CorpusMetric) and not inspect.isfunction(aggregation):
        found.append(f"metric {name!r} is aggregated by an object that the results cannot record")
    return found


def check_group(config: dict[str, Any], bench: str, _cards: Collection[str]) -> list[str]:
    found = check_name(config["group"], bench)
    found += [f"unknown key {key!r}" for key in sorted(config.keys() - GROUP_KEYS)]
    if "version" not in (config.get("metadata") or {}):
        found.append("metadata has no 'version'")
    for metric in config.get("aggregate_metric_list") or []:
        if metric.get("aggregation") != "mean":
            found.append(f"metric {metric.get('metric')!r}: lm-eval averages groups whatever 'aggregation' says")
    return found


def check_leaves(configs: dict[str, dict[str, Any]], upstream: Collection[str]) -> list[str]:
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
        if shared and not nested and frozenset({one, other}) not in SAME_LEAVES_ON_PURPOSE:
            found.append(f"{one} and {other} share {', '.join(sorted(shared))}: lm-eval refuses to run both")
    return found


@pytest.fixture(scope="module")
def upstream() -> set[str]:
    return set(TaskIndex.build([Path(lm_eval.tasks.__file__).parent]))


def test_our_tasks_have_no_problem(upstream):
    cards = {path.stem for path in (REPOSITORY / "data_cards").glob("*.md")}
    assert problems(REPOSITORY / "tasks", cards=cards, upstream=upstream) == []


def test_every_yaml_file_is_in_lm_evals_index():
    index = TaskManager(include_defaults=False, include_path=REPOSITORY / "tasks").task_index
    assert {entry.yaml_path for entry in index.values()} - {None} == set((REPOSITORY / "tasks").rglob("*.yaml"))


@pytest.mark.parametrize("bench", sorted({path.parent.name for path in (REPOSITORY / "tasks").glob("*/*.yaml")}))
def test_every_benchmark_has_a_sample_of_sixteen_records_or_more(bench):
    sample = REPOSITORY / "tasks" / bench / "sample.jsonl"
    assert len(sample.read_text(encoding="utf-8").splitlines()) >= 16


# The checks themselves: one valid benchmark, and each mistake that they are there to find.

LEAF: dict[str, Any] = {
    "task": "toy_leaf",
    "output_type": "generate_until",
    "generation_kwargs": {"until": [], "max_gen_toks": 8, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {
        **{"version": 1.0, "source": "toy", "prompt_pack": "default", "language": "en"},
        **{"chance": 0.5, "direction": "higher"},
    },
}
GROUP: dict[str, Any] = {
    "group": "toy",
    "task": ["toy_leaf"],
    "aggregate_metric_list": [{"metric": "exact_match", "aggregation": "mean"}],
    "metadata": {"version": 1.0},
}


def without(config: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != key}


def problems_of(folder: Path, *configs: dict[str, Any] | str) -> list[str]:
    bench = folder / "toy"
    bench.mkdir()
    for number, config in enumerate(configs):
        text = config if isinstance(config, str) else yaml.safe_dump(config)
        (bench / f"{number}.yaml").write_text(text)
    return problems(folder, cards={"toy"}, upstream={"arc_easy", "ai2_arc"})


def test_a_valid_benchmark_has_no_problem(tmp_path):
    assert problems_of(tmp_path, LEAF, GROUP) == []


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        ({"doc_to_txt": "question"}, "unknown key 'doc_to_txt'"),
        ({"task": "arc_easy"}, "arc_easy is a name of lm-eval's own"),
        ({"task": "Toy-Leaf"}, "name 'Toy-Leaf' is not toy or toy_<lower case words>"),
        ({"tag": "ai2_arc"}, "ai2_arc is a name of lm-eval's own"),
        ({"tag": ["other"]}, "name 'other' is not toy or toy_<lower case words>"),
        ({"metric_list": []}, "metric None has no 'metric'"),
        ({"metric_list": [without(LEAF["metric_list"][0], "aggregation")]}, "'exact_match' has no 'aggregation'"),
        ({"metric_list": [without(LEAF["metric_list"][0], "higher_is_better")]}, "has no 'higher_is_better'"),
        ({"metric_list": [{**LEAF["metric_list"][0], "aggregation": "maen"}]}, "unknown aggregation 'maen'"),
        ({"metric_list": [{**LEAF["metric_list"][0], "metric": "squad"}]}, "'squad' is not registered"),
        *(({"metadata": without(LEAF["metadata"], key)}, f"metadata has no {key!r}") for key in sorted(METADATA_KEYS)),
        ({"metadata": {**LEAF["metadata"], "source": "tyo"}}, "source 'tyo' has no data card"),
        ({"metadata": {**LEAF["metadata"], "direction": "up"}}, "direction is 'up'"),
        ({"metadata": {**LEAF["metadata"], "chance": "half"}}, "chance is 'half'"),
        *(
            ({"generation_kwargs": without(LEAF["generation_kwargs"], key)}, f"generation_kwargs has no {key!r}")
            for key in LEAF["generation_kwargs"]
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_a_leaf_is_found(tmp_path, leaf, problem):
    assert problem in "\n".join(problems_of(tmp_path, {**LEAF, **leaf}))


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ({"agregate_metric_list": []}, "unknown key 'agregate_metric_list'"),
        ({"task": ["toy_leaf", "toy_loaf"]}, "toy names toy_loaf, which does not exist"),
        ({"metadata": {}}, "metadata has no 'version'"),
        (
            {"aggregate_metric_list": [{"metric": "f1", "aggregation": "mean"}]},
            "toy aggregates f1, which toy_leaf does not",
        ),
        ({"aggregate_metric_list": [{"metric": "exact_match", "aggregation": "median"}]}, "averages groups whatever"),
        ({"group": "toy_leaf"}, "toy_leaf is defined 2 times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_a_group_is_found(tmp_path, group, problem):
    assert problem in "\n".join(problems_of(tmp_path, LEAF, {**GROUP, **group}))


def test_a_leaf_shared_by_two_groups_is_found_and_a_group_in_a_group_is_fine(tmp_path):
    second_leaf = {**LEAF, "task": "toy_second"}
    outer = {**GROUP, "group": "toy_outer", "task": ["toy", "toy_second"]}
    other_name = {**GROUP, "group": "toy_long_name", "task": ["toy"]}
    assert problems_of(tmp_path, LEAF, GROUP, second_leaf, outer, other_name) == []
    overlapping = {**GROUP, "group": "toy_other"}
    (tmp_path / "toy" / "overlapping.yaml").write_text(yaml.safe_dump(overlapping))
    found = problems(tmp_path, cards={"toy"}, upstream=())
    assert found == [
        "toy and toy_other share toy_leaf: lm-eval refuses to run both",
        "toy_other and toy_outer share toy_leaf: lm-eval refuses to run both",
    ]


def test_a_group_may_name_a_task_of_lm_evals_own(tmp_path):
    assert problems_of(tmp_path, LEAF, {**GROUP, "task": ["toy_leaf", "arc_easy"]}) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("task: [toy", "while parsing a flow sequence"),
        ("task: toy_leaf\nprocess_results: !function harness_ext.scoring.nowhere.score", "harness_ext.scoring.nowhere"),
        ("task: toy_leaf\nprocess_results: !function harness_ext.errors.score", "has no function 'score'"),
        ("include: _absent\ntask: toy_leaf", "_absent"),
    ],
)
def test_a_file_that_lm_eval_skips_without_a_word_is_found(tmp_path, text, problem):
    (found,) = problems_of(tmp_path, text)
    assert found.startswith("0.yaml: ")
    assert problem in found
