"""Each mistake in task YAML that lm-eval takes without a word, with the words in which it is found.

What is found in our own tasks, and mistakes in docs and scores, are in ``tests/unit/checks``.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness_ext.checks.look import choose, look
from harness_ext.checks.metadata import METADATA_KEYS

CARDS = Path(__file__).parents[1] / "checks" / "toy" / "data_cards"

# The checks themselves: one valid benchmark, and each mistake that they are there to find.

LEAF: dict[str, Any] = {
    "task": "toy_leaf",
    "output_type": "generate_until",
    "generation_kwargs": {"until": [], "max_gen_toks": 8, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {
        **{"version": 1.0, "bench": "toy", "source": "toy", "prompt_pack": "default", "language": "en"},
        **{"chance": 0.5, "direction": "higher"},
    },
}
GROUP: dict[str, Any] = {
    "group": "toy",
    "task": ["toy_leaf"],
    "aggregate_metric_list": [{"metric": "exact_match", "aggregation": "mean"}],
    "metadata": {"version": 1.0, "bench": "toy"},
}


def without(config: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != key}


def problems_of(folder: Path, *configs: dict[str, Any] | str) -> list[str]:
    bench = folder / "tasks" / "toy"
    bench.mkdir(parents=True)
    shutil.copytree(CARDS, folder / "data_cards")
    for number, config in enumerate(configs):
        text = config if isinstance(config, str) else yaml.safe_dump(config)
        (bench / f"{number}.yaml").write_text(text)
    return problems(folder)


def problems(folder: Path) -> list[str]:
    findings = look(choose(include_path=[folder / "tasks"])).findings
    return [f"{finding.file.name}: {finding.what}" for finding in findings]


def test_a_valid_benchmark_has_no_problem(tmp_path):
    assert problems_of(tmp_path, LEAF, GROUP) == []


def test_a_benchmark_may_have_another_name_than_its_folder(tmp_path):
    metadata = {**LEAF["metadata"], "bench": "wide_toy"}
    assert problems_of(tmp_path, {**LEAF, "task": "wide_toy_leaf", "tag": ["toy_all"], "metadata": metadata}) == []


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
        ({"metadata": {"bench": "toy"}}, "metadata has no 'version'"),
        ({"metadata": {"version": 1.0}}, "metadata has no 'bench'"),
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
    (tmp_path / "tasks" / "toy" / "overlapping.yaml").write_text(yaml.safe_dump(overlapping))
    assert problems(tmp_path) == [
        "3.yaml: toy_other and toy_outer share toy_leaf: lm-eval refuses to run both",
        "overlapping.yaml: toy and toy_other share toy_leaf: lm-eval refuses to run both",
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
