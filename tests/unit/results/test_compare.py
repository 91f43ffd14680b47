"""Comparisons of runs in lm-eval's file layout, written here with the values that the real aggregations give."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, InputError
from harness_ext.results.reading.runs import load_run
from harness_ext.results.reading.samples import read_scores
from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import interval
from harness_ext.results.statistics.comparability import NotComparableError
from harness_ext.results.statistics.compare import compare, plan
from harness_ext.results.statistics.intervals import run_intervals
from harness_ext.scoring.classification import agg_macro_f1
from harness_ext.scoring.generation import agg_dist_1
from harness_ext.scoring.resampled import by_cluster
from harness_ext.scoring.soft_labels import agg_ccc, agg_mae, agg_s_rmse
from harness_ext.tasks.eibench.aspects import EI_ASPECTS, ei_scores
from harness_ext.tasks.mbtibench.scores import authors_mae

DATE = "2026-05-01T10-00-00.000001"
Aggregation = Callable[[Sequence[Any]], float]


def mean(items: Sequence[Any]) -> float:
    return float(np.mean(items))


@dataclass
class Task:
    """One task of a written run: items by metric, and everything that can be wrong about it."""

    items: dict[str, list[Any]]
    aggregations: dict[str, Aggregation] = field(default_factory=dict)
    docs: list[dict[str, Any]] | None = None
    prompt: str = "Question {}:"
    metadata: dict[str, Any] = field(default_factory=dict)
    filters: tuple[str, ...] = ("none",)
    version: float = 1.0
    higher_is_better: bool = True
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(next(iter(self.items.values())))

    def documents(self) -> list[dict[str, Any]]:
        return self.docs or [{"id": f"d{i}", "text": f"text {i}"} for i in range(self.n)]


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def write_run(
    folder: Path,
    model: str,
    tasks: dict[str, Task],
    *,
    groups: dict[str, tuple[list[str], dict[str, float]]] | None = None,
    template: str | None = None,
    date: str = DATE,
    order: Sequence[int] | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    configs: dict[str, Any] = {}
    for name, task in tasks.items():
        aggregations = {metric: task.aggregations.get(metric, mean) for metric in task.items}
        results[name] = {"alias": name} | {
            f"{metric},{filtered}": aggregations[metric](values)
            for metric, values in task.items.items()
            for filtered in task.filters
        }
        configs[name] = {
            "task": name,
            "doc_to_text": "{{text}}",
            "metric_list": [
                {"metric": metric, "aggregation": "mean" if agg is mean else str(agg)}
                for metric, agg in aggregations.items()
            ],
            "filter_list": [{"name": filtered} for filtered in task.filters],
            "metadata": {"version": task.version, **task.metadata},
            **task.config,
        }
        lines = [
            {
                "doc_id": i,
                "doc": doc,
                "filter": filtered,
                "metrics": list(task.items),
                "doc_hash": digest(doc),
                "prompt_hash": digest(task.prompt.format(doc.get("id"))),
                **{metric: values[i] for metric, values in task.items.items()},
            }
            for filtered in task.filters
            for i, doc in ((i, task.documents()[i]) for i in (order or range(task.n)))
        ]
        (folder / f"samples_{name}_{date}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for group, (_, values) in (groups or {}).items():
        results[group] = {"alias": group} | {f"{metric},none": value for metric, value in values.items()}
    content = {
        "results": results,
        "group_subtasks": {group: leaves for group, (leaves, _) in (groups or {}).items()},
        "configs": configs,
        "versions": {name: task.version for name, task in tasks.items()},
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {name: dict.fromkeys(task.items, task.higher_is_better) for name, task in tasks.items()},
        "n-samples": {name: {"original": task.n, "effective": task.n} for name, task in tasks.items()},
        "config": {"model": "hf", "model_args": f"pretrained={model}", "limit": None},
        "chat_template_sha": template,
        "date": 1.0,
        "lm_eval_version": "0.4.13",
    }
    (folder / f"results_{date}.json").write_text(json.dumps(content))
    return folder


def accuracy(n: int, share: float, seed: int, **rest: Any) -> Task:
    return Task({"acc": (np.random.default_rng(seed).random(n) < share).astype(float).tolist()}, **rest)


def soft(n: int, noise: float, seed: int, **rest: Any) -> Task:
    y = np.random.default_rng(0).random(n)
    p = np.clip(y + np.random.default_rng(seed).normal(0, noise, n), 0, 1)
    items = [[float(gold), float(guess)] for gold, guess in zip(y, p, strict=True)]
    return Task({"s_rmse": items}, {"s_rmse": agg_s_rmse}, higher_is_better=False, **rest)


@pytest.fixture
def two(tmp_path: Path) -> Callable[[Task, Task], list[Path]]:
    """Write one task of two runs."""

    def write(a: Task, b: Task) -> list[Path]:
        return [write_run(tmp_path / "a", "first", {"task": a}), write_run(tmp_path / "b", "second", {"task": b})]

    return write


def refusal(paths: list[Path]) -> dict[str, str]:
    with pytest.raises(NotComparableError) as caught:
        plan(paths)
    return {mismatch.kind: mismatch.explanation for mismatch in caught.value.mismatches}


def test_two_runs_are_compared_document_by_document(two: Any) -> None:
    a, b = accuracy(80, 0.8, 1), accuracy(80, 0.5, 2)
    (found,) = compare(two(a, b), draws=2000)
    x, y = np.array(a.items["acc"]), np.array(b.items["acc"])
    reference = stats.permutation_test(
        (x, y),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20000,
        rng=1,
    )
    assert (found.value_a, found.value_b) == (x.mean(), y.mean())
    assert found.difference == pytest.approx(x.mean() - y.mean())
    assert found.p == pytest.approx(reference.pvalue, abs=0.01)
    assert found.stderr == pytest.approx(stats.sem(x - y), rel=0.1)
    assert found.low < found.difference < found.high
    assert found.better == "first"


def test_identical_runs_do_not_differ(two: Any) -> None:
    task = soft(30, 0.2, 1)
    (found,) = compare(two(task, task), draws=200)
    assert (found.difference, found.low, found.high, found.p, found.effect_size) == (0, 0, 0, 1, 0)
    assert found.better is None


def test_a_lower_error_is_better(two: Any) -> None:
    (found,) = compare(two(soft(60, 0.6, 1), soft(60, 0.05, 2)), draws=500)
    assert found.difference > 0
    assert found.better == "second"


def test_the_order_of_the_samples_does_not_matter(tmp_path: Path) -> None:
    a, b = soft(25, 0.2, 1), soft(25, 0.4, 2)
    first = write_run(tmp_path / "a", "first", {"task": a})
    straight = write_run(tmp_path / "b", "second", {"task": b})
    shuffled = write_run(tmp_path / "c", "second", {"task": b}, order=np.random.default_rng(0).permutation(25).tolist())
    assert compare([first, straight], draws=200) == compare([first, shuffled], draws=200)


def test_three_runs_are_compared_in_pairs_and_corrected_together(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / str(i), f"m{i}", {"x": accuracy(40, 0.4 + 0.2 * i, i), "y": accuracy(30, 0.5, i)})
        for i in range(3)
    ]
    found = compare(paths, draws=300)
    assert [(one.run_a, one.run_b, one.task) for one in found] == [
        (a, b, task) for a, b in (("m0", "m1"), ("m0", "m2"), ("m1", "m2")) for task in ("x", "y")
    ]
    smallest = min(found, key=lambda one: one.p)
    assert smallest.p_holm == pytest.approx(min(1, 6 * smallest.p))


def test_other_docs_are_refused(two: Any) -> None:
    other = [{"id": f"d{i}", "text": f"text {i}" if i else "changed"} for i in range(20)]
    found = refusal(two(accuracy(20, 0.5, 1), accuracy(20, 0.5, 2, docs=other)))
    assert found == {"docs": "docs differ: 1 of 20 only in first, 1 of 20 only in second"}


def test_a_limited_run_is_refused(two: Any) -> None:
    assert refusal(two(accuracy(20, 0.5, 1), accuracy(10, 0.5, 2)))["docs"].startswith("docs differ: 10 of 20")


def test_other_prompts_are_refused(two: Any) -> None:
    found = refusal(two(accuracy(20, 0.5, 1), accuracy(20, 0.5, 2, prompt="Frage {}:")))
    assert found == {"prompts": "prompts differ for 20 of 20 docs"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("data", {"metadata": {"data": "sample"}}),
        ("cap", {"metadata": {"cap": 500}}),
        ("judge", {"metadata": {"judge": "default_en"}}),
        ("prompt_pack", {"metadata": {"prompt_pack": "authors.json", "prompt_pack_sha256": "ab" * 32}}),
        ("setting", {"metadata": {"truncation": "words:67"}}),
        ("task_version", {"version": 2.0}),
        ("filters", {"filters": ("none", "strict")}),
        ("filters", {"config": {"filter_list": [{"name": "none", "filter": [{"function": "regex"}]}]}}),
    ],
)
def test_runs_made_in_different_ways_are_refused(two: Any, kind: str, change: dict[str, Any]) -> None:
    assert kind in refusal(two(accuracy(20, 0.5, 1), accuracy(20, 0.5, 2, **change)))


def test_the_refusal_names_every_difference_and_the_way_out(two: Any) -> None:
    paths = two(accuracy(20, 0.5, 1), accuracy(20, 0.5, 2, prompt="Frage {}:", version=2.0))
    result = CliRunner().invoke(app, ["compare", *map(str, paths)])
    error = result.exception
    assert isinstance(error, NotComparableError) and error.exit_code == 1
    assert str(error).splitlines() == [
        "the runs cannot be compared:",
        "  task: task version is 1.0 in first and 2.0 in second",
        "  task: prompts differ for 20 of 20 docs",
        "Run both in the same way, or leave these tasks out with --task.",
    ]


def test_each_models_own_chat_template_is_no_reason_to_refuse_but_is_said(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", "first", {"task": accuracy(20, 0.5, 1)}, template="aaa")
    b = write_run(tmp_path / "b", "second", {"task": accuracy(20, 0.5, 2, prompt="<user>{}")}, template="bbb")
    assert "different chat templates" in " ".join(plan([a, b]).notes)
    bare = write_run(tmp_path / "c", "third", {"task": accuracy(20, 0.5, 2, prompt="<user>{}")}, template=None)
    assert "prompts" in refusal([a, bare])


def test_a_chat_template_does_not_excuse_another_question(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", "first", {"task": accuracy(20, 0.5, 1)}, template="aaa")
    changed = accuracy(20, 0.5, 2, prompt="<user>{}", config={"doc_to_text": "Now: {{text}}"})
    assert "prompts" in refusal([a, write_run(tmp_path / "b", "second", {"task": changed}, template="bbb")])


def test_other_generation_settings_are_said(two: Any) -> None:
    warm = accuracy(20, 0.5, 2, config={"generation_kwargs": {"temperature": 1.0}})
    assert any("different settings" in note for note in plan(two(accuracy(20, 0.5, 1), warm)).notes)


def test_sample_data_is_marked(two: Any) -> None:
    sample = {"metadata": {"data": "sample"}}
    notes = plan(two(accuracy(20, 0.5, 1, **sample), accuracy(20, 0.6, 2, **sample))).notes
    assert any("no benchmark scores" in note for note in notes)


def test_dialogues_are_the_units_of_clustered_docs(two: Any) -> None:
    docs = [{"id": f"u{i}", "meta": {"cluster": f"dialogue {i // 4}"}} for i in range(24)]
    (found,) = compare(two(accuracy(24, 0.9, 1, docs=docs), accuracy(24, 0.4, 2, docs=docs)), draws=500)
    assert (found.n, found.units) == (24, 6)


def group_of(runs: dict[str, Task], metric: str, aggregation: Aggregation, weighted: bool = False) -> dict[str, Any]:
    values = [aggregation(task.items[metric]) for task in runs.values()]
    weights = [task.n if weighted else 1 for task in runs.values()]
    return {"group": (list(runs), {metric: float(np.average(values, weights=weights))})}


@pytest.mark.parametrize("weighted", [False, True])
def test_a_group_is_compared_in_the_mean_that_was_reported(tmp_path: Path, weighted: bool) -> None:
    paths = []
    for seed in (1, 2):
        tasks = {"x": accuracy(40, 0.3 + 0.2 * seed, seed), "y": accuracy(20, 0.5, seed)}
        groups = group_of(tasks, "acc", mean, weighted)
        paths.append(write_run(tmp_path / str(seed), f"m{seed}", tasks, groups=groups))
    *_, found = compare(paths, draws=500)
    assert (found.task, found.n, found.units) == ("group", 60, 60)
    reported = [
        json.loads((path / f"results_{DATE}.json").read_text())["results"]["group"]["acc,none"] for path in paths
    ]
    assert (found.value_a, found.value_b) == pytest.approx(tuple(reported))


def test_tasks_about_the_same_authors_are_resampled_together(tmp_path: Path) -> None:
    paths = []
    for name, noise in (("m1", 0.1), ("m2", 0.5)):
        tasks = {part: soft(30, noise, seed) for seed, part in enumerate(("ei", "sn"))}
        paths.append(write_run(tmp_path / name, name, tasks, groups=group_of(tasks, "s_rmse", agg_s_rmse)))
    found = compare(paths, draws=500)
    assert [(one.task, one.n, one.units) for one in found] == [("ei", 30, 30), ("sn", 30, 30), ("group", 60, 30)]


@pytest.mark.parametrize("chosen", [[], ["eibench"]])
def test_the_aspect_macro_of_eibench_is_compared_beside_the_mean_over_its_leaves(
    tmp_path: Path, chosen: list[str]
) -> None:
    parts = [part for own in EI_ASPECTS.values() for part in own]
    paths = []
    for seed, name in enumerate(("m1", "m2")):
        rng = np.random.default_rng(seed)
        tasks = {f"eibench_{part}": Task({"ei_score": (100.0 * rng.integers(0, 2, 6)).tolist()}) for part in parts}
        paths.append(
            write_run(tmp_path / name, name, tasks, groups={"eibench": group_of(tasks, "ei_score", mean)["group"]})
        )
    found = {one.task: one for one in compare(paths, tasks=chosen, draws=200)}
    for side, path in zip(("value_a", "value_b"), paths, strict=True):
        results = json.loads((path / f"results_{DATE}.json").read_text())["results"]
        expected = ei_scores({part: results[f"eibench_{part}"]["ei_score,none"] for part in parts})
        assert getattr(found["ei_aspect_macro"], side) == pytest.approx(expected.aspect_macro)
        assert getattr(found["eibench"], side) == pytest.approx(expected.task_macro)
    without_one = compare(paths, tasks=["eibench_ecf"], draws=200)
    assert [one.task for one in without_one] == ["eibench_ecf"]


def test_a_group_number_that_is_no_mean_of_its_tasks_is_left_out_and_named(tmp_path: Path) -> None:
    tasks = {"x": accuracy(10, 0.5, 1), "y": accuracy(10, 0.5, 2)}
    groups = {"group": (["x", "y"], {"acc": 0.123})}
    paths = [write_run(tmp_path / name, name, tasks, groups=groups) for name in ("m1", "m2")]
    found = plan(paths)
    assert [job.task for job in found.jobs] == ["x", "y"]
    assert any("not the mean of its tasks" in note for note in found.notes)


def test_a_task_or_metric_can_be_chosen(tmp_path: Path) -> None:
    items = [[[0], [0], 2], [[1], [0], 2], [[1], [1], 2]]
    task = Task({"acc": [1.0, 0.0, 1.0], "macro_f1": items}, {"macro_f1": agg_macro_f1})
    paths = [write_run(tmp_path / name, name, {"x": task, "y": task}) for name in ("m1", "m2")]
    assert [(job.task, job.metric) for job in plan(paths).jobs] == [("x", "acc"), ("y", "acc")]
    chosen = plan(paths, tasks=["y"], metrics=["macro_f1,none", "acc"]).jobs
    assert [(job.task, job.metric) for job in chosen] == [("y", "acc"), ("y", "macro_f1")]


def test_a_benchmarks_headline_is_compared_and_the_rest_on_request(tmp_path: Path) -> None:
    scores = {"acc": [1.0, 0.0, 1.0], "s_rmse": [[0.1, 0.2], [0.5, 0.9], [0.7, 0.7]], "mae": [[0.1, 0.2]] * 3}
    own = {"s_rmse": agg_s_rmse, "mae": agg_mae}
    soft_task = Task(scores, own, metadata={"bench": "mbtibench"})
    other = Task(scores, own, metadata={"bench": "no_such_bench"})
    tasks = {"mbtibench_zero_shot_ei": soft_task, "other": other}
    paths = [write_run(tmp_path / name, name, tasks) for name in ("m1", "m2")]

    def compared(**choice: Any) -> list[str]:
        return [f"{job.task} {job.metric}" for job in plan(paths, **choice).jobs]

    assert compared() == ["mbtibench_zero_shot_ei s_rmse", "other acc"]
    assert compared(metrics=["mae"]) == ["mbtibench_zero_shot_ei mae", "other mae"]
    assert compared(every_metric=True) == [f"{task} {metric}" for task in tasks for metric in scores]
    with pytest.raises(InputError, match="either single metrics or all"):
        plan(paths, metrics=["mae"], every_metric=True)


def test_holm_corrects_for_what_was_asked(tmp_path: Path) -> None:
    paths = []
    for seed, name in enumerate(("m1", "m2")):
        values = {metric: accuracy(40, 0.4 + 0.2 * seed, seed).items["acc"] for metric in ("acc", "f", "g")}
        paths.append(write_run(tmp_path / name, name, {"x": Task(values)}))
    (one,) = compare(paths, draws=300)
    three = compare(paths, every_metric=True, draws=300)
    assert one.p_holm == one.p
    assert len(three) == 3
    assert min(line.p_holm for line in three) == pytest.approx(min(1, 3 * min(line.p for line in three)))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_leaf_in_two_subgroups_counts_once(tmp_path: Path, weighted: bool) -> None:
    """lm-eval counts it twice in the group above: by size (4 + 4 + 16) / 40 = 0.6, where 20 of 30 docs are right."""
    paths = []
    for name, right in (("m1", 4), ("m2", 3)):
        tasks = {
            "shared": Task({"acc": [1.0] * right + [0.0] * (10 - right)}),
            "other": Task({"acc": [1.0] * 16 + [0.0] * 4}),
        }
        twice, both, once = ((2 * right + 16) / 40, (right + 16) / 30, right / 10)
        if not weighted:
            twice, both = (2 * once + 0.8) / 3, (once + 0.8) / 2
        groups = {
            "root": (["sub_a", "sub_b"], {"acc": twice}),
            "sub_a": (["shared"], {"acc": once}),
            "sub_b": (["shared", "other"], {"acc": both}),
        }
        paths.append(write_run(tmp_path / name, name, tasks, groups=groups))
    planned = plan(paths, tasks=["root"])
    (found,) = compare(paths, tasks=["root"], draws=200)
    assert (found.task, found.n) == ("root", 30)
    assert (found.value_a, found.value_b) == pytest.approx((20 / 30, 19 / 30) if weighted else (0.6, 0.55))
    told = "0.6" if weighted else "0.5333"
    assert any(f"counts every task once: lm-eval's number, {told} for m1" in note for note in planned.notes)


def test_runs_that_never_differ_have_no_detectable_difference(two: Any) -> None:
    paths = two(accuracy(20, 1.1, 1), accuracy(20, 1.1, 2))
    (found,) = compare(paths, draws=200)
    assert found.stderr == 0
    assert math.isnan(found.minimum_detectable_effect)
    result = CliRunner().invoke(app, ["compare", *map(str, paths), "--draws", "200"])
    assert "undefined" in result.output


def test_a_limit_is_told_as_a_number_and_its_absence_as_the_default(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, name, {"x": accuracy(5, 0.5, 1)}) for name in ("m1", "m2")]
    file = paths[1] / f"results_{DATE}.json"
    content = json.loads(file.read_text())
    content["config"]["limit"] = 5.0
    file.write_text(json.dumps(content))
    assert refusal(paths)["limit"] == "limit is the default in m1 and 5 in m2"


def test_docs_are_the_same_if_either_hash_says_so(tmp_path: Path) -> None:
    """lm-eval's hash of a doc with an image is never the same twice; a log may hold a doc in another form."""
    a, b = (write_run(tmp_path / name, name, {"x": accuracy(3, 0.5, 1)}) for name in ("m1", "m2"))
    file = b / f"samples_x_{DATE}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line | {"doc_hash": f"at 0x{i}"}) + "\n" for i, line in enumerate(lines)))
    assert plan([a, b]).jobs
    file.write_text("".join(json.dumps(line | {"doc": {"q": i}}) + "\n" for i, line in enumerate(lines)))
    assert plan([a, b]).jobs
    file.write_text("".join(json.dumps(line | {"doc": i, "doc_hash": f"{i}"}) + "\n" for i, line in enumerate(lines)))
    assert "docs" in refusal([a, b])


def test_a_questionnaire_is_compared_author_by_author(tmp_path: Path) -> None:
    """Several rows are about one author, and are averaged before the metric is computed."""
    docs = [{"id": author, "item": item} for author in range(20) for item in range(3)]
    paths = []
    for seed, noise in ((1, 0.1), (2, 0.6)):
        rng = np.random.default_rng(seed)
        gold = np.random.default_rng(0).random(20)
        answers = [[doc["id"], float(gold[doc["id"]]), float(rng.normal(gold[doc["id"]], noise))] for doc in docs]
        about = {"docs": docs, "metadata": {"bench": "mbtibench"}, "higher_is_better": False}
        task = Task({"mae": answers}, {"mae": authors_mae}, **about)
        paths.append(write_run(tmp_path / str(seed), f"m{seed}", {"x": task}))
    (found,) = compare(paths, draws=500)
    assert (found.n, found.units) == (60, 20)
    for side, path in zip(("value_a", "value_b"), paths, strict=True):
        reported = json.loads((path / f"results_{DATE}.json").read_text())["results"]["x"]["mae,none"]
        assert getattr(found, side) == pytest.approx(reported)
    assert found.better == "m1"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"tasks": ["nothing"]}, "has no task nothing; it has task"),
        ({"metrics": ["f7"]}, "has no metric f7; it has acc"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(two: Any, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(two(accuracy(5, 0.5, 1), accuracy(5, 0.5, 2)), **choice)


def test_samples_of_another_run_are_not_believed(two: Any) -> None:
    paths = two(accuracy(20, 0.5, 1), accuracy(20, 0.9, 2))
    file = paths[0] / f"results_{DATE}.json"
    content = json.loads(file.read_text())
    content["results"]["task"]["acc,none"] = 0.99
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"the result file 0\.99; they do not belong together"):
        plan(paths)


def test_a_run_without_samples_is_named(two: Any) -> None:
    paths = two(accuracy(5, 0.5, 1), accuracy(5, 0.5, 2))
    (paths[1] / f"samples_task_{DATE}.jsonl").unlink()
    with pytest.raises(InputError, match="second has no samples"):
        plan(paths)


def test_a_task_that_only_one_run_has_is_left_out_and_named(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", "first", {"x": accuracy(5, 0.5, 1), "y": accuracy(5, 0.5, 1)})
    b = write_run(tmp_path / "b", "second", {"x": accuracy(5, 0.5, 2)})
    assert plan([a, b]).notes == ["y was left out: second has no result for it."]


def test_one_run_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two runs"):
        plan([write_run(tmp_path, "m", {"x": accuracy(5, 0.5, 1)})])


def test_of_repeated_runs_the_newest_counts(tmp_path: Path) -> None:
    write_run(tmp_path, "m", {"x": accuracy(5, 1.1, 1), "y": accuracy(5, 0.5, 1)})
    write_run(tmp_path, "m", {"x": accuracy(5, -0.1, 1)}, date="2026-06-01T10-00-00.000001")
    run = load_run(tmp_path)
    assert run.tasks["x"].rows["acc", "none"].value == 0.0
    assert run.tasks["y"].samples is not None


def test_a_folder_of_two_models_is_not_one_run(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "first", {"x": accuracy(5, 0.5, 1)})
    write_run(tmp_path / "b", "second", {"x": accuracy(5, 0.5, 1)})
    with pytest.raises(InputError, match=r"runs of several models: first .*, second"):
        load_run(tmp_path)


def test_a_run_can_be_named_by_its_results_or_one_samples_file(tmp_path: Path) -> None:
    write_run(tmp_path, "m", {"x": accuracy(5, 0.5, 1), "y": accuracy(5, 0.5, 1)})
    assert set(load_run(tmp_path / f"results_{DATE}.json").tasks) == {"x", "y"}
    assert set(load_run(tmp_path / f"samples_y_{DATE}.jsonl").tasks) == {"y"}
    (tmp_path / f"results_{DATE}.json").unlink()
    with pytest.raises(InputError, match="is not beside it"):
        load_run(tmp_path / f"samples_y_{DATE}.jsonl")


def test_missing_and_empty_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no results file"):
        load_run(tmp_path)


def test_compressed_samples_are_read(tmp_path: Path) -> None:
    write_run(tmp_path, "m", {"x": accuracy(5, 0.5, 1)})
    plain = tmp_path / f"samples_x_{DATE}.jsonl"
    packed = tmp_path / f"{plain.name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_scores(packed) == read_scores(plain)


def test_samples_without_a_list_of_metrics_are_read(tmp_path: Path) -> None:
    write_run(tmp_path, "m", {"x": accuracy(5, 0.5, 1)})
    file = tmp_path / f"samples_x_{DATE}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    older = tmp_path / "older.jsonl"
    older.write_text("\n".join(json.dumps({k: v for k, v in line.items() if k != "metrics"}) for line in lines))
    assert read_scores(older)["none"].items == read_scores(file)["none"].items


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ('{"doc_id": 0, "acc": 1.0}\n{"doc_id": 1, "ac', "cut off or broken after line 1"),
        ('{"acc": 1.0}\n', "line 1 is not a sample"),
        ('{"doc_id": 0, "acc": 1.0}\n{"doc_id": 0, "acc": 1.0}\n', "documents occur twice"),
        ('{"doc_id": 0, "acc": 1.0}\n{"doc_id": 1, "f1": 1.0}\n', "lack a metric that others have"),
    ],
)
def test_a_broken_samples_file_is_named_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_scores(file)


def test_the_terminal_shows_the_difference_and_who_is_better(two: Any) -> None:
    paths = two(accuracy(80, 0.9, 1), accuracy(80, 0.4, 2))
    result = CliRunner().invoke(app, ["compare", *map(str, paths), "--draws", "500"])
    assert result.exit_code == 0, result.output
    assert "A = first   B = second" in result.output
    assert "acc ↑" in result.output
    assert "500 resamples" in result.output


def test_json_is_for_machines_and_holds_no_nan(tmp_path: Path) -> None:
    constant = Task({"ccc": [[0.5, 0.5]] * 4}, {"ccc": agg_ccc}, higher_is_better=True)
    paths = [write_run(tmp_path / name, name, {"x": constant}) for name in ("m1", "m2")]
    result = CliRunner().invoke(app, ["compare", *map(str, paths), "--json", "--draws", "100"])
    assert result.exit_code == 0, result.output
    (line,) = json.loads(result.stdout, parse_constant=pytest.fail)["comparisons"]
    assert line["value_a"] is line["p"] is line["better"] is None


def test_a_refusal_is_json_too(two: Any) -> None:
    paths = two(accuracy(20, 0.5, 1), accuracy(20, 0.5, 2, version=2.0))
    result = CliRunner().invoke(app, ["compare", *map(str, paths), "--json"])
    assert result.exit_code == 1
    (line,) = json.loads(result.stdout)["refused"]
    assert line["kind"] == "task_version" and line["task"] == "task"


def test_a_metric_without_a_direction_names_no_better_run(two: Any) -> None:
    from dataclasses import replace

    (found,) = compare(two(accuracy(80, 0.9, 1), accuracy(80, 0.2, 2)), draws=200)
    assert found.better == "first"
    assert replace(found, higher_is_better=None).better is None
    assert replace(found, p_holm=math.nan).better is None


def test_every_number_of_a_run_gets_its_interval(tmp_path: Path) -> None:
    clustered = [{"id": f"u{i}", "meta": {"cluster": f"dialogue {i // 5}"}} for i in range(30)]
    tasks = {"x": accuracy(40, 0.7, 1), "y": accuracy(30, 0.5, 2, docs=clustered)}
    run = load_run(write_run(tmp_path, "m", tasks, groups=group_of(tasks, "acc", mean)))
    found, notes = run_intervals(run, draws=1000)
    x, y, group = (found[name, "acc", "none"] for name in ("x", "y", "group"))
    expected = interval(resampled("acc", tasks["x"].items["acc"]))
    assert (x.value, x.low, x.high) == pytest.approx((expected.value, expected.low, expected.high), abs=0.03)
    dialogues = [f"dialogue {i // 5}" for i in range(30)]
    expected = interval(by_cluster(resampled("acc", tasks["y"].items["acc"]), dialogues))
    assert (y.value, y.low, y.high) == pytest.approx((expected.value, expected.low, expected.high), abs=0.05)
    assert group.value == pytest.approx((x.value + y.value) / 2)
    assert group.stderr == pytest.approx(math.hypot(x.stderr, y.stderr) / 2, rel=0.15)
    assert notes == []


def test_a_group_over_the_same_authors_keeps_their_correlation(tmp_path: Path) -> None:
    tasks = {part: accuracy(60, 0.5, 1) for part in ("ei", "sn")}
    run = load_run(write_run(tmp_path, "m", tasks, groups=group_of(tasks, "acc", mean)))
    found = run_intervals(run, draws=500).intervals
    # were the parts independent, the error of their mean would be smaller by the square root of 2
    assert found["group", "acc", "none"].stderr == pytest.approx(found["ei", "acc", "none"].stderr, rel=0.15)


def test_numbers_without_an_interval_are_named_with_the_reason(tmp_path: Path) -> None:
    words = Task({"dist_1": ["I see", "you see"]}, {"dist_1": agg_dist_1})
    folder = write_run(tmp_path, "m", {"x": words, "y": accuracy(5, 0.5, 1)})
    (folder / f"samples_y_{DATE}.jsonl").unlink()
    found, notes = run_intervals(load_run(folder), draws=200)
    assert found == {}
    assert notes[0].startswith("x, dist_1: no interval. dist-n has no bootstrap interval")
    assert notes[1] == "y: no intervals without a samples file (lm-eval --log_samples)."
