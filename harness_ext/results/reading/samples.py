"""Per-document scores of a run, read from lm-eval's samples files one task at a time."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness_ext.errors import DataError, InputError
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.placement import bare_name
from harness_ext.results.reading.pseudo_likelihood import SUFFIX
from harness_ext.results.reading.reader import open_text, rows_of, sample_lines

_DATE = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?"
_RESULTS = re.compile(rf".+_(?P<date>{_DATE})\.json(?:\.gz)?")  # not only "results": --output_path may name a file
SAMPLES_NAME = re.compile(rf"samples_(?P<task>.+)_(?P<date>{_DATE})\.jsonl(?:\.gz)?")

# What a line holds beside the metrics, for versions of lm-eval that do not list the metrics.
_NO_METRIC = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
     "target_hash"}
)  # fmt: skip


@dataclass
class Scores:
    """The scored documents of one task under one filter, in the file's order."""

    numbers: list[str] = field(default_factory=list)
    """lm-eval's numbers of the documents."""
    doc_hashes: list[str] = field(default_factory=list)
    prompt_hashes: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """The documents' own ids, which several tasks may share; their hashes where they have none."""
    units: list[str] = field(default_factory=list)
    """What counts as one observation: ``cluster`` of the doc or of its ``meta`` (a dialogue), else the doc's own id,
    which rows about one author share, else the doc itself."""
    items: dict[str, list[Any]] = field(default_factory=dict)
    """What ``process_results`` returned for each metric."""


@dataclass(frozen=True)
class TaskRun:
    """One leaf task of one run."""

    task: str
    results: Path
    samples: Path | None
    """None where the run was made without ``--log_samples``."""
    config: Mapping[str, Any]
    rows: Mapping[tuple[str, str], Row]
    """The reported number of each (metric, filter), in the file's order."""

    @property
    def filters(self) -> tuple[str, ...]:
        """The names of the task's filters, in their order."""
        return tuple(str(entry["name"]) for entry in self.config.get("filter_list") or () if "name" in entry)

    @cached_property
    def aggregations(self) -> dict[str, str]:
        """How each metric is aggregated, as lm-eval recorded it, in the order in which the task lists its metrics."""
        listed = self.config.get("metric_list") or []
        return {
            self._reported(str(entry["metric"])): str(entry.get("aggregation", "mean"))
            for entry in listed
            if "metric" in entry
        }

    def scores(self) -> dict[str, Scores]:
        """Read the samples file: the scored documents by filter.

        Raises:
            DataError: the file is missing, broken or holds a document twice.
        """
        if self.samples is None:
            raise DataError(f"{self.results}: {self.task} has no samples file; run lm-eval with --log_samples.")
        found = read_scores(self.samples, self.filters)
        for scores in found.values():
            scores.items = {self._reported(metric): items for metric, items in scores.items.items()}
        return found

    def _reported(self, metric: str) -> str:
        """The name of a metric in ``rows``."""
        return self._renamed.get(metric, metric)

    @cached_property
    def _renamed(self) -> dict[str, str]:
        return {name.removesuffix(SUFFIX): name for name, _ in self.rows if name.endswith(SUFFIX)}


@dataclass(frozen=True)
class GroupRun:
    """The reported means of one group of tasks."""

    leaves: tuple[str, ...]
    rows: Mapping[tuple[str, str], Row]
    """By (metric, filter), in the file's order."""

    def weightings(self, measure: tuple[str, str], tasks: Mapping[str, TaskRun]) -> list[tuple[float, ...]]:
        """Weights of the leaves, equal or by size, with which their values give the reported one; often just one."""
        rows = [tasks[leaf].rows[measure] for leaf in self.leaves]
        told = self.rows[measure].value
        values, sizes = np.array([row.value for row in rows]), np.array([row.n for row in rows])
        found = (np.full(len(rows), 1 / len(rows)), sizes / sizes.sum())
        return [
            tuple(weights.tolist())
            for weights in found
            if math.isclose(float(weights @ values), told, rel_tol=1e-9, abs_tol=1e-9)
        ]


@dataclass(frozen=True)
class Run:
    """One model's results: its newest result for each task."""

    path: Path
    model: str
    tasks: Mapping[str, TaskRun]
    groups: Mapping[str, GroupRun]


def load_run(path: Path) -> Run:
    """The run in a folder of lm-eval output, or of one of its files.

    Args:
        path: a folder (searched recursively; of several results for a task the newest counts), a results file, or a
            samples file whose results file lies beside it.

    Raises:
        InputError: there is no result, or there are results of several models.
        DataError: a file is broken.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give the folder of lm-eval's --output_path.")
    only = SAMPLES_NAME.fullmatch(path.name)
    tasks: dict[str, TaskRun] = {}
    groups: dict[str, GroupRun] = {}
    models: dict[str, Path] = {}
    for file in _results_files(path):
        content = _load(file)
        try:
            rows, _ = rows_of(content, file)
        except ValueError as error:
            raise DataError(f"{file}: {error}.") from error
        assert isinstance(content, dict)  # noqa: S101 - rows_of has checked
        for row in rows:
            models.setdefault(row.model, file)
        tasks |= _tasks(content, rows, file)
        groups |= _groups(content, rows)
    if only:
        tasks = {name: task for name, task in tasks.items() if name == only["task"]}
        groups = {}
    if not tasks:
        raise InputError(f"{path}: no results file of lm-eval (results_<date>.json) was found.")
    if len(models) > 1:
        named = ", ".join(f"{model} ({file})" for model, file in list(models.items())[:3])
        raise InputError(f"{path} holds runs of several models: {named}. Give the folder of one.")
    return Run(path, next(iter(models)), tasks, groups)


def _results_files(path: Path) -> list[Path]:
    """Results files from the oldest to the newest."""
    if path.is_dir():
        found = [file for file in path.rglob("*.json*") if _RESULTS.fullmatch(file.name)]
    elif match := SAMPLES_NAME.fullmatch(path.name):
        names = (f"results_{match['date']}.json", f"results_{match['date']}.json.gz")
        found = [path.parent / name for name in names if (path.parent / name).exists()]
        if not found:
            raise InputError(f"{path}: {names[0]} is not beside it, so nobody knows how its metrics are computed.")
    else:
        found = [path]
    return sorted(found, key=lambda file: (file.name.removesuffix(".gz"), file))


def _tasks(content: Mapping[str, Any], rows: list[Row], file: Path) -> dict[str, TaskRun]:
    match = _RESULTS.fullmatch(file.name)
    beside = {
        samples["task"]: other
        for other in file.parent.glob("samples_*")
        if (samples := SAMPLES_NAME.fullmatch(other.name)) and match and samples["date"] == match["date"]
    }
    configs = content["configs"]
    leaves: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.level == "task":
            leaves.setdefault(row.task, {})[row.metric, row.filter] = row
    run_wide = {
        key: content.get(key) for key in ("system_instruction_sha", "fewshot_as_multiturn", "chat_template_sha")
    }
    return {
        task: TaskRun(task, file, beside.get(task), {**configs.get(task, {}), **run_wide}, own)
        for task, own in leaves.items()
    }


def _groups(content: Mapping[str, Any], rows: list[Row]) -> dict[str, GroupRun]:
    children: Mapping[str, list[str]] = {
        bare_name(name): [bare_name(child) for child in below]
        for name, below in (content.get("group_subtasks") or {}).items()
    }

    def leaves(name: str) -> Iterator[str]:
        below = children.get(name) or []
        if not below:
            yield name
        for child in below:
            yield from leaves(child)

    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.level == "group":
            found.setdefault(row.task, {})[row.metric, row.filter] = row
    return {name: GroupRun(tuple(leaves(name)), own) for name, own in found.items()}


def read_scores(path: Path, filters: Sequence[str] = ()) -> dict[str, Scores]:
    """The scored documents of a samples file, by filter.

    Args:
        path: the file.
        filters: the task's filters in their order, for files of old versions that do not name them.

    Raises:
        DataError: a line is broken or no sample, the file is empty, or a document occurs twice under one filter.
    """
    found: dict[str, Scores] = {}
    try:
        for sample in sample_lines(path, filters):
            _add(found.setdefault(str(sample["filter"]), Scores()), sample)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    for name, scores in found.items():
        if len(set(scores.numbers)) < len(scores.numbers):
            raise DataError(f"{path}: documents occur twice (filter {name}); was the file written by two runs?")
        if any(len(items) != len(scores.ids) for items in scores.items.values()):
            raise DataError(f"{path}: some documents lack a metric that others have (filter {name}).")
    return found


def _add(scores: Scores, sample: Mapping[str, Any]) -> None:
    doc = sample.get("doc")
    doc = doc if isinstance(doc, dict) else {}
    number = str(sample["doc_id"])
    meta = doc.get("meta")
    cluster = (meta if isinstance(meta, dict) else doc).get("cluster")
    scores.numbers.append(number)
    scores.doc_hashes.append(str(sample.get("doc_hash") or _hash(sample.get("doc"))))
    scores.prompt_hashes.append(str(sample.get("prompt_hash") or _hash(sample.get("arguments"))))
    scores.ids.append(str(doc.get("id", scores.doc_hashes[-1])))
    own = f"id {doc['id']}" if "id" in doc else f"doc {number}"
    scores.units.append(own if cluster is None else f"cluster {cluster}")
    names = sample.get("metrics")
    for name in names if isinstance(names, list) else sample.keys() - _NO_METRIC:
        scores.items.setdefault(name, []).append(sample.get(name))


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _load(path: Path) -> object:
    try:
        with open_text(path) as file:
            return json.load(file)
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: cut off or broken: {error}.") from error
