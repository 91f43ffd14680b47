"""Runs of lm-eval, read once: results files, the samples beside them, and everything that could not be used."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from harness_ext.errors import DataError, InputError
from harness_ext.results.benches import module
from harness_ext.results.reading import identity, repeats
from harness_ext.results.reading.frame import Row, to_frame, to_rows
from harness_ext.results.reading.pseudo_likelihood import reported_name
from harness_ext.results.reading.reader import METHOD_FILE, groups_of, leaves_of, load, rows_of
from harness_ext.results.reading.samples import DATE, SAMPLES_NAME, Scores, named, read_scores, sample_lines

_RESULTS = re.compile(rf".+_(?P<date>{DATE})\.json(?:\.gz)?")  # not only "results": --output_path may name a file

_ROWS_AT_ONCE = 4096

Seeds = Literal["each", "mean"]
"""Whether results that differ in nothing but seeds stand by themselves, or as their mean."""

Place = tuple[str, str]
"""A results file and a task in it."""


class Problem(NamedTuple):
    """A file that was not used, or not in full, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} could not be used: {self.reason}"


@dataclass(frozen=True)
class TaskRun:
    """One leaf task of one run."""

    task: str
    results: Path
    samples: Path | None
    """None where the run was made without ``--log_samples``; ``results`` itself where that file holds them."""
    config: Mapping[str, Any]
    rows: Mapping[tuple[str, str], Row] = field(default_factory=dict)
    """The reported number of each (metric, filter), in the file's order."""
    backend: object = None
    """What the run gave as ``--model``."""
    switches: Mapping[str, Any] = field(default_factory=dict)
    """The task's metadata and what its loader recorded."""

    @property
    def filters(self) -> tuple[str, ...]:
        """The names of the task's filters, in their order."""
        return tuple(str(entry["name"]) for entry in self.config.get("filter_list") or () if "name" in entry)

    @cached_property
    def aggregations(self) -> dict[str, str]:
        """How each metric is aggregated, as lm-eval recorded it, in the order in which the task lists its metrics."""
        return {
            reported_name(str(entry["metric"]), self.backend): str(entry.get("aggregation", "mean"))
            for entry in self.config.get("metric_list") or ()
            if "metric" in entry
        }

    def lines(self) -> Iterator[dict[str, Any]]:
        """The logged samples, one at a time.

        Raises:
            ValueError: there is none, or the file is broken.
        """
        if self.samples is None:
            raise ValueError("no samples; run lm-eval with --log_samples")
        held = self._embedded()
        return sample_lines(self.samples, self.filters) if held is None else named(held, self.filters)

    def scores(self, *, hashes: bool = True) -> dict[str, Scores]:
        """Read the samples file: the scored documents by filter.

        Raises:
            DataError: the file is missing, broken or holds a document twice.
        """
        if self.samples is None:
            raise DataError(f"{self.results}: {self.task} has no samples file; run lm-eval with --log_samples.")
        bench = next(iter(self.rows.values())).bench if self.rows else ""
        facts = getattr(module(bench, "derived"), "facts", None)
        found = read_scores(self.samples, self.filters, embedded=self._embedded(), facts=facts, hashes=hashes)
        for scores in found.values():
            scores.items = {reported_name(metric, self.backend): items for metric, items in scores.items.items()}
        return found

    def _embedded(self) -> Sequence[object] | None:
        """The samples that stand in the results file; None where they have a file of their own."""
        if self.samples != self.results:
            return None
        content, _ = load(self.results)
        return list(_embedded(content).get(self.task, ()))


@dataclass(frozen=True)
class GroupRun:
    """The reported means of one group of tasks."""

    leaves: tuple[str, ...]
    """Each once, however many subgroups it is in."""
    rows: Mapping[tuple[str, str], Row]
    """By (metric, filter), in the file's order."""
    times: Mapping[str, int] = field(default_factory=dict)
    """How often the reported means count each leaf: once for each subgroup that it is in."""

    def reporting(self, measure: tuple[str, str], tasks: Mapping[str, TaskRun]) -> list[str]:
        """The leaves that have a measure at all: lm-eval's mean is over these."""
        return [leaf for leaf in self.leaves if leaf not in tasks or measure in tasks[leaf].rows]

    def weightings(self, measure: tuple[str, str], tasks: Mapping[str, TaskRun]) -> list[tuple[float, ...]]:
        """Weights, equal or by size, with which the values of these leaves give the reported one; often just one."""
        leaves = self.reporting(measure, tasks)
        rows = [tasks[leaf].rows[measure] for leaf in leaves]
        return weightings(self.rows[measure], rows, [self.times.get(leaf, 1) for leaf in leaves])


def weightings(group: Row, leaves: Sequence[Row], times: Sequence[int] = ()) -> list[tuple[float, ...]]:
    """Weights of the leaves, equal or by size, with which their values give the group's; often just one.

    A leaf that the group's value counts several ``times`` has the weight of one.
    """
    values, sizes = np.array([row.value for row in leaves]), np.array([row.n for row in leaves])
    counted = np.array(times or [1] * len(leaves))
    return [
        tuple((weights / weights.sum()).tolist())
        for weights in (np.ones(len(leaves)), sizes)
        if math.isclose(float(np.average(values, weights=weights * counted)), group.value, rel_tol=1e-9, abs_tol=1e-9)
    ]


@dataclass(frozen=True)
class Run:
    """One model's results: its newest result for each task."""

    path: Path
    model: str
    tasks: Mapping[str, TaskRun]
    groups: Mapping[str, GroupRun]


class Runs:
    """All results under some paths, each results file parsed once.

    Made by :func:`read`, which hands it to a visitor while the samples of one model asked in one way are in memory;
    afterwards it keeps no score of a single document.
    """

    def __init__(self) -> None:
        self.frame = to_frame([])
        """All numbers, as columns of :class:`~harness_ext.results.reading.frame.Row`."""
        self.bases: frozenset[str] = frozenset()
        """Models that others were made from."""
        self.samples: list[Path] = []
        """The samples files that could be read."""
        self.problems: list[Problem] = []
        """Files that were not used, or not in full."""
        self.notes: list[str] = []
        """What was left out on purpose."""
        self.usage: dict[str, object] = {}
        """What results files say that their runs took, by file."""
        self._tasks: dict[Place, TaskRun] = {}
        self._groups: dict[Place, tuple[str, ...]] = {}
        self._scores: dict[Place, Mapping[str, Scores]] = {}
        self.drawn: dict[tuple[str, str, str, str], Any] = {}
        """What became of numbers when documents were drawn again, by run, task, metric and filter, while their model is
        visited (:class:`~harness_ext.results.statistics.bootstrap.Drawn`)."""
        self._documents: dict[Place, int] = {}
        self._opened: set[Path] = set()

    def task(self, row: Row) -> TaskRun | None:
        """The task's run that a number belongs to; None where it has no samples."""
        return self._tasks.get((row.run, row.task))

    def documents(self, row: Row) -> int | None:
        """How many documents of a number's task were logged; None where nobody has looked yet."""
        return self._documents.get((row.run, row.task))

    def leaves(self, row: Row) -> tuple[str, ...]:
        """The tasks below the group that a number belongs to; none where nothing has samples."""
        return self._groups.get((row.run, row.task), ())

    def scores(self, row: Row) -> Scores | None:
        """The scored documents behind a number, while its model is visited; None without samples that can be read."""
        task = self.task(row)
        return self.scored(replace(task, rows={(row.metric, row.filter): row})).get(row.filter) if task else None

    def scored(self, task: TaskRun) -> Mapping[str, Scores]:
        """The scored documents of a task by filter; empty without samples that can be read."""
        place = (str(task.results), task.task)
        if place not in self._scores:
            self._scores[place] = self._read(task)
        return self._scores[place]

    def _read(self, task: TaskRun) -> Mapping[str, Scores]:
        assert task.samples is not None  # noqa: S101 - only tasks with samples are kept
        self._opened.add(task.samples)
        try:
            found = task.scores(hashes=False)
        except (DataError, ValueError) as error:
            reason = str(error).removeprefix(f"{task.samples}: ").removesuffix(".")
            self.problems.append(Problem(task.samples, reason))
            return {}
        self.samples.append(task.samples)
        self._documents[str(task.results), task.task] = max(map(len, (scores.numbers for scores in found.values())))
        return found


class Derived(NamedTuple):
    """What ``derive`` and ``details`` in ``tasks/<bench>/derived.py`` make of the numbers of one model."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()
    drawn: Mapping[tuple[str, ...], Any] = {}
    """What becomes of each when docs are drawn again (:class:`~harness_ext.results.statistics.bootstrap.Drawn`),
    by run, task, metric, filter and part: for its difference to the base model."""

    @classmethod
    def joined(cls, several: Iterable[Derived]) -> Derived:
        """What was derived of several lines of a table."""
        parts = list(several)
        return cls(
            [row for part in parts for row in part.rows],
            [note for part in parts for note in part.notes],
            {place: drawn for part in parts for place, drawn in part.drawn.items()},
        )


Visit = Callable[[Sequence[Row], Runs], tuple[Sequence[Row | None], Sequence[Row]]]
"""What is done with the numbers of one model asked in one way while its samples are at hand: each comes back with its
interval (or None: it is left out), and others are added."""


def read(paths: Iterable[Path], visit: Visit | None = None, *, seeds: Seeds = "each") -> Runs:
    """Read result files and folders of them.

    Two results are the same run only if everything that was recorded is the same but time, machine and order: then the
    newest file wins, and the notes name the others. What differs between runs of one name is said in their setting.
    Scores of ``--predict_only`` (``bypass``) are dropped and counted.

    Args:
        paths: files and folders.
        visit: called for each model asked in one way, with all its numbers.
        seeds: ``mean`` makes one of results that differ in nothing but seeds.

    Raises:
        InputError: a path does not exist.
    """
    runs = Runs()
    frames = [to_frame([])]
    rows: list[Row] = []
    records = repeats.Records()
    logged: list[Path] = []
    bypassed = 0
    beside = _Beside()
    for path in _files(paths):
        if _stem(path).endswith(".jsonl"):
            logged.append(path)
        elif not _stem(path).endswith(".json"):
            runs.problems.append(Problem(path, "not a result file of lm-eval"))
        elif path.name != METHOD_FILE:  # that is read with the results that belong to it
            try:
                content, digest = load(path)
                found, left_out = rows_of(content, path, digest)
            except (OSError, ValueError) as error:
                runs.problems.append(Problem(path, str(error)))
                continue
            assert isinstance(content, dict)  # noqa: S101 - rows_of has checked
            found = _with_stable_hashes(content, found, path, beside)
            runs.problems += [Problem(path, reason) for reason in left_out.odd]
            bypassed += left_out.bypassed
            rows += found
            records.add(path, content, found)
            if "usage" in content:
                runs.usage[str(path)] = content["usage"]
            _keep(runs, content, found, path, beside)
            if len(rows) >= _ROWS_AT_ONCE:  # columns need a fraction of the memory of rows
                frames.append(to_frame(rows))
                rows = []
    frame, repeated = repeats.newest(records.without_copies(_concatenated([*frames, to_frame(rows)])))
    runs.frame = records.named(records.over_seeds(frame) if seeds == "mean" else frame)
    runs.bases = frozenset(runs.frame.base)
    if bypassed:
        runs.notes.append(f"{bypassed} scores of --predict_only runs (bypass) are no scores and were left out.")
    runs.notes += repeated
    if visit:
        _visit(runs, records, visit)
    for path in logged:
        if path not in runs._opened:
            _check(runs, path)
    return runs


def _with_stable_hashes(content: dict[str, Any], rows: list[Row], file: Path, beside: _Beside) -> list[Row]:
    """The rows with hashes of the logged docs for tasks about images or sounds, here and in the content.

    lm-eval's own hash covers the address at which an image happened to lie, so it is never the same twice.
    """
    hashes = content.get("task_hashes") or {}
    own: dict[str, str] = {}
    for name, task in _tasks(content, rows, file, beside).items():
        if name in hashes and any(task.config.get(key) for key in ("doc_to_image", "doc_to_audio")):
            try:
                read = task.scores().values() if task.samples else ()
            except (DataError, ValueError):  # named when the samples are read for themselves
                read = ()
            told = [sorted(zip(one.doc_hashes, one.prompt_hashes, strict=True)) for one in read]
            own[name] = identity.digest(told) if told else ""
    if not own:
        return rows
    content["task_hashes"] |= own
    return [row.model_copy(update={"task_hash": own[row.task]}) if row.task in own else row for row in rows]


def _keep(runs: Runs, content: Mapping[str, Any], rows: Sequence[Row], file: Path, beside: _Beside) -> None:
    """Note the tasks of a results file that have samples, with no more of their configuration than is needed."""
    tasks = {name: task for name, task in _tasks(content, rows, file, beside).items() if task.samples}
    for name, task in tasks.items():
        kept = {
            "filter_list": [{"name": name} for name in task.filters],
            "metric_list": [
                {key: sys.intern(str(value)) for key, value in entry.items() if key in ("metric", "aggregation")}
                for entry in task.config.get("metric_list") or ()
            ],
        }
        bench = next(iter(task.rows.values())).bench if task.rows else ""
        needed = ("source", *getattr(module(bench, "derived"), "SWITCHES", ()))
        switches = {key: value for key, value in task.switches.items() if key in needed}
        runs._tasks[str(file), name] = replace(task, config=kept, rows={}, switches=switches)
    if tasks:
        groups = groups_of(content)
        for name in groups:
            runs._groups[str(file), name] = tuple(leaves_of(name, groups))


def _visit(runs: Runs, records: repeats.Records, visit: Visit) -> None:
    """Show every model asked in one way to the visitor; keep the intervals that it gives and the rows that it adds."""
    frame = runs.frame
    ends = {name: frame[name].to_numpy(copy=True) for name in ("low", "high")}
    kept = np.ones(len(frame), dtype=bool)
    more: list[Row] = []
    added = [to_frame([])]
    deriving = [bench for bench in frame.bench.unique() if module(bench, "derived")]
    worth = (frame.run.isin({run for run, _ in runs._tasks}) | frame.bench.isin(deriving)).to_numpy()
    wanted = (at for at in records.by_model(frame) if worth[at].any())
    for several in _together(wanted, _ROWS_AT_ONCE):
        rows = iter(to_rows(frame.take([row for at in several for row in at])))
        for at in several:
            instead, extra = visit([next(rows) for _ in at], runs)
            runs._scores.clear()
            runs.drawn.clear()
            for place, row in zip(at, instead, strict=True):
                if row is None:
                    kept[place] = False
                else:
                    ends["low"][place], ends["high"][place] = row.low, row.high
            more += extra
        added.append(to_frame(more))
        more = []
    runs.frame = frame = frame.assign(**ends)
    if not kept.all() or any(map(len, added)):
        runs.frame = _concatenated([frame[kept], *added])


def _together(parts: Iterable[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Parts in turn, as many at once as have not more than so many places; one at least."""
    waiting: list[list[int]] = []
    for part in parts:
        if waiting and sum(map(len, waiting)) + len(part) > most:
            yield waiting
            waiting = []
        waiting.append(part)
    if waiting:
        yield waiting


def _check(runs: Runs, path: Path) -> None:
    """Read a samples file that nothing asked for line by line; the first line that is no sample is the problem."""
    try:
        for _ in sample_lines(path):
            pass
    except ValueError as error:
        runs.problems.append(Problem(path, str(error)))
    else:
        runs.samples.append(path)


def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def load_run(path: Path) -> Run:
    """The run in a folder of lm-eval output, or of one of its files.

    Args:
        path: a folder (searched recursively; of several results for a task the newest counts), a results file, or a
            samples file whose results file lies beside it.

    Raises:
        InputError: there is no result, or there are results of several models or of one asked in different ways.
        DataError: a file is broken.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give the folder of lm-eval's --output_path.")
    only = SAMPLES_NAME.fullmatch(path.name)
    tasks: dict[str, TaskRun] = {}
    groups: dict[str, GroupRun] = {}
    models: dict[str, Path] = {}
    asked: dict[Path, identity.Record] = {}
    beside = _Beside()
    for file in _results_files(path):
        try:
            content, _ = load(file)
            rows, _ = rows_of(content, file)
        except (OSError, ValueError) as error:
            if path.is_dir() and not _RESULTS.fullmatch(file.name):
                continue  # any other JSON that lies in the folder
            raise DataError(f"{file}: {error}.") from error
        assert isinstance(content, dict)  # noqa: S101 - rows_of has checked
        for row in rows:
            models.setdefault(row.model, file)
        asked[file] = identity.of_run(content)
        tasks |= _tasks(content, rows, file, beside)
        groups |= _groups(content, rows)
    if only:
        tasks = {name: task for name, task in tasks.items() if name == only["task"]}
        groups = {}
    if not tasks:
        raise InputError(f"{path}: no results file of lm-eval (results_<date>.json) was found.")
    if len(models) > 1:
        names = ", ".join(f"{model} ({file})" for model, file in list(models.items())[:3])
        raise InputError(f"{path} holds runs of several models: {names}. Give the folder of one.")
    _refuse_mixed(path, {task.results: asked[task.results] for task in tasks.values()})
    return Run(path, next(iter(models)), tasks, groups)


def _refuse_mixed(path: Path, asked: Mapping[Path, identity.Record]) -> None:
    """One run was asked in one way: another limit or revision makes another run."""
    differing = [name for name in identity.differing(asked.values()) if name not in identity.INCIDENTAL]
    if differing:
        told = ", ".join(
            f"{file} ({', '.join(identity.words(record, differing, 'its own')) or 'none of these'})"
            for file, record in list(asked.items())[:3]
        )
        raise InputError(f"{path} mixes runs that differ in {', '.join(differing)}: {told}. Give one of the files.")


def _results_files(path: Path) -> list[Path]:
    """Results files from the oldest to the newest."""
    if path.is_dir():
        found = [file for file in path.rglob("*.json*") if _stem(file).endswith(".json") and file.name != METHOD_FILE]
    elif match := SAMPLES_NAME.fullmatch(path.name):
        names = (f"results_{match['date']}.json", f"results_{match['date']}.json.gz")
        found = [path.parent / name for name in names if (path.parent / name).exists()]
        if not found:
            raise InputError(f"{path}: {names[0]} is not beside it, so nobody knows how its metrics are computed.")
    else:
        found = [path]
    return sorted(found, key=lambda file: (_stem(file), file))


class _Beside:
    """Samples files by folder, task and date; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[tuple[str, str], Path]] = {}

    def of(self, file: Path) -> dict[str, Path]:
        """The samples files of a results file by task."""
        match = _RESULTS.fullmatch(file.name)
        if file.parent not in self._folders:
            found = ((SAMPLES_NAME.fullmatch(path.name), path) for path in sorted(file.parent.iterdir()))
            self._folders[file.parent] = {
                (samples["date"], samples["task"]): path for samples, path in found if samples
            }
        own = self._folders[file.parent].items()
        return {task: samples for (date, task), samples in own if match and date == match["date"]}


def _tasks(content: Mapping[str, Any], rows: Sequence[Row], file: Path, beside: _Beside) -> dict[str, TaskRun]:
    logged = beside.of(file)
    held = _embedded(content)
    configs = content["configs"] if isinstance(content["configs"], dict) else {}
    leaves: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.level == "task":
            leaves.setdefault(row.task, {})[row.metric, row.filter] = row
    run_wide = {
        key: content.get(key) for key in ("system_instruction_sha", "fewshot_as_multiturn", "chat_template_sha")
    }
    asked = content.get("config")
    backend = asked.get("model") if isinstance(asked, dict) else None
    found = {}
    for task, own in leaves.items():
        config = configs.get(task)
        config = {**(config if isinstance(config, dict) else {}), **run_wide}
        samples = logged.get(task) or (file if task in held else None)
        found[task] = TaskRun(task, file, samples, config, own, backend, identity.switches(content, config))
    return found


def _embedded(content: object) -> Mapping[str, Any]:
    """Samples that stand in the results file, as ``json.dump(simple_evaluate(…))`` writes them."""
    held = content.get("samples") if isinstance(content, dict) else None
    return {task: own for task, own in held.items() if isinstance(own, list)} if isinstance(held, dict) else {}


def _groups(content: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, GroupRun]:
    children = groups_of(content)
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.level == "group":
            found.setdefault(row.task, {})[row.metric, row.filter] = row
    return {
        name: GroupRun(tuple(leaves_of(name, children)), own, _times(name, children)) for name, own in found.items()
    }


def _times(group: str, children: Mapping[str, Sequence[str]], above: frozenset[str] = frozenset()) -> Counter[str]:
    """How often lm-eval meets each task below a group."""
    found: Counter[str] = Counter()
    for name in children.get(group, ()):
        if name in children and name not in above:
            found += _times(name, children, above | {group})
        elif name not in children:
            found[name] += 1
    return found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file once, folders walked in a fixed order; of a folder only what may be results or samples.

    Raises:
        InputError: a path does not exist.
    """
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; give result files of lm-eval or the folder of its --output_path.")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            ours = not path.is_dir() or (
                _stem(file).endswith((".json", ".jsonl"))
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if ours and not file.is_dir() and file not in seen:
                seen.add(file)
                yield file


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz")
