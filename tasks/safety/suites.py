"""Numbers of the safety tasks that lm-eval's groups cannot express, and intervals of all of them.

``safety_harm`` for every judge: the mean over its leaves, the micro average over their docs, and the same with every
distinct request counted once, because the sets overlap; the language macro of CatQA. Requests are compared by hash.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from harness_ext.errors import HarnessExtError
from harness_ext.results.judging.judges import JUDGED_METRICS
from harness_ext.results.reading.frame import Row, to_frame, to_rows
from harness_ext.results.reading.reader import sample_lines
from harness_ext.results.reading.samples import Run, Scores, TaskRun, load_run
from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import Interval, interval, weighted_mean
from harness_ext.results.statistics.intervals import task_interval
from harness_ext.scoring.resampled import NotResampledError, Resampled, by_cluster
from harness_ext.scoring.resampled.numbers import nanmean

BENCH = "safety"
MICRO = "_micro"
"""Ending of the rate over all docs of all sets."""
DISTINCT = "_distinct"
"""Ending of the rate over distinct requests."""
DRAWS = 1_000
"""Resamples of an interval, which tables print with two digits."""

HARM_SETS = (
    "advbench", "catqa_en", "harmfulqa", "dangerousqa", "strongreject", "harmbench_std", "harmbench_ctx", "jbb", "dna",
    "sst", "beavertails", "maliciousinstruct",
)  # fmt: skip
LANGUAGES = ("en", "zh", "vi")


class Suite(NamedTuple):
    """Leaves that are averaged, each with the same weight."""

    task: str
    leaves: tuple[str, ...]
    metric: str
    languages: bool = False
    """The leaves are one set in several languages, whose questions have the same numbers."""


SUITES = (
    Suite("safety_over_refusal", ("safety_xstest", "safety_oktest"), "over_refusal"),
    Suite("safety_harm", tuple(f"safety_{part}" for part in HARM_SETS), "unsafe_compliance"),
    Suite("safety_catqa", tuple(f"safety_catqa_{code}" for code in LANGUAGES), "unsafe_compliance", languages=True),
)

_SAME = (
    "model", "method", "base", "variant", "data", "cap", "limit", "setting", "num_fewshot", "prompt_pack",
    "chat_template_hash", "model_hash",
)  # fmt: skip


class Answered(NamedTuple):
    """The scored docs of one leaf under one judge."""

    statistic: Resampled
    values: tuple[float, ...]
    """Of each doc, NaN where the judge gave no verdict."""
    requests: tuple[str, ...]
    """Hash of each doc's normalised request."""
    numbers: tuple[str, ...]
    """Which question of its set each doc is, whatever the language."""


class Sources:
    """Leaf tasks of runs, read once each."""

    def __init__(self) -> None:
        self._runs: dict[str, Run | None] = {}
        self._scores: dict[Path, Mapping[str, Scores]] = {}
        self._requests: dict[Path, dict[str, str]] = {}

    def task(self, row: Row) -> TaskRun | None:
        """The task's run that a number belongs to; None without samples."""
        if row.run not in self._runs:
            try:
                self._runs[row.run] = load_run(Path(row.run))
            except HarnessExtError:
                self._runs[row.run] = None  # named among the files that could not be used
        run = self._runs[row.run]
        task = run.tasks.get(row.task) if run else None
        return task if task and task.samples else None

    def scores(self, task: TaskRun) -> Mapping[str, Scores]:
        """The scored docs of a task's run by filter.

        Raises:
            DataError: the samples file is broken.
        """
        assert task.samples is not None  # noqa: S101 - task() gives none without
        if task.samples not in self._scores:
            self._scores[task.samples] = task.scores()
        return self._scores[task.samples]

    def answered(self, row: Row) -> Answered | None:
        """The docs behind a number; None without samples that give it."""
        task = self.task(row)
        if task is None or task.samples is None:
            return None
        try:
            scores = self.scores(task)[row.filter]
            values = scores.items[row.metric]
            aggregation = task.aggregations.get(row.metric)
            statistic = resampled(row.metric, values, aggregation=aggregation, reported=row.value, bench=row.bench)
            requests = self._hashes(task)
        except (HarnessExtError, NotResampledError, KeyError, ValueError):
            return None
        return Answered(
            statistic,
            tuple(float(value) for value in values),
            tuple(requests[number] for number in scores.numbers),
            tuple(_question(name) for name in scores.ids),
        )

    def _hashes(self, task: TaskRun) -> dict[str, str]:
        assert task.samples is not None  # noqa: S101 - the caller has asked
        if task.samples not in self._requests:
            lines = sample_lines(task.samples, task.filters)
            self._requests[task.samples] = {
                str(line["doc_id"]): request_hash(str(line["doc"].get("prompt", line["doc_id"]))) for line in lines
            }
        return self._requests[task.samples]


def request_hash(prompt: str) -> str:
    """What two requests share that differ in case, blanks and final punctuation only.

    >>> request_hash("Placeholder  request 3.") == request_hash("placeholder request 3")
    True
    """
    plain = re.sub(r"\s+", " ", prompt).strip().lower()
    return hashlib.sha256(re.sub(r"[\s.!?。！？…]+$", "", plain).encode()).hexdigest()


def _question(name: str) -> str:
    """The question's place in its set: ``catqa-zh-0-1-2`` is ``0-1-2``.

    >>> _question("catqa-zh-0-1-2"), _question("oktest-7")
    ('0-1-2', '7')
    """
    found = re.search(r"\d+(?:-\d+)*$", name)
    return found[0] if found else name


def with_safety_suites(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame with rows for suites and intervals for the safety tasks, and notes on what could not be computed."""
    concerned = (frame.origin == "measured") & (frame.bench == BENCH)
    if not concerned.any():
        return frame, []
    rows = to_rows(frame[concerned])
    notes: list[str] = []
    found: list[Row] = []
    for own in _runs(rows):
        sources = Sources()  # one model's at a time are kept
        found += [_with_interval(row, sources) for row in own if row.level == "task"]
        suites = list(_suites(own, sources, notes))
        told = {(row.task, row.metric, row.filter) for row in suites}
        found += [row for row in own if row.level == "group" and (row.task, row.metric, row.filter) not in told]
        found += suites
    return pd.concat([frame[~concerned], to_frame(found)], ignore_index=True), notes


def _runs(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each model asked in one way, in the order in which they come."""
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = tuple(str(getattr(row, name)) for name in _SAME)
        found.setdefault(key, []).append(row)
    return list(found.values())


def _with_interval(row: Row, sources: Sources) -> Row:
    task = sources.task(row) if row.metric in JUDGED_METRICS else None
    if task is None or (row.metric, row.filter) not in task.rows:
        return row
    try:
        found = task_interval(task, sources.scores(task), (row.metric, row.filter), draws=DRAWS)
    except (NotResampledError, HarnessExtError):
        return row
    return row.model_copy(update={"low": found.low, "high": found.high})


def _suites(rows: Sequence[Row], sources: Sources, notes: list[str]) -> Iterator[Row]:
    """The suites' numbers of one model asked in one way."""
    for suite in SUITES:
        metrics = dict.fromkeys(row.metric for row in rows if row.metric.removesuffix("_full") == suite.metric)
        for metric in metrics:
            leaves = [row for row in rows if row.metric == metric and row.task in suite.leaves and row.level == "task"]
            for own in _by_judge(leaves, suite):
                missing = [leaf for leaf in suite.leaves if leaf not in {row.task for row in own}]
                if not missing:
                    yield from _numbers(suite, own, sources)
                elif len(own) > 1 and not suite.languages:
                    notes.append(
                        f"{suite.task}, {own[0].model}, judge {own[0].judge}: {len(missing)} of {len(suite.leaves)} "
                        f"sets are missing, so there is no mean: {', '.join(missing)}."
                    )


def _by_judge(leaves: Sequence[Row], suite: Suite) -> list[list[Row]]:
    """The leaves of each judge in the suite's order; our rules, one a language, are one judge of several languages."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted(leaves, key=lambda row: suite.leaves.index(row.task)):
        found.setdefault((row.filter, row.judge, row.judge_version), []).append(row)
    if not suite.languages:
        return list(found.values())
    ours = [row for own in found.values() for row in own if row.filter == f"default_{row.task.rpartition('_')[2]}"]
    return [*(own for own in found.values() if len(own) == len(suite.leaves)), *([ours] if ours else [])]


def _numbers(suite: Suite, leaves: Sequence[Row], sources: Sources) -> Iterator[Row]:
    answered = [sources.answered(row) for row in leaves]
    known = [own for own in answered if own is not None]
    complete = len(known) == len(leaves)
    mean = statistics.fmean(row.value for row in leaves)
    yield _row(suite, leaves, leaves[0].metric, mean, _of_leaves(suite, known) if complete else None)
    if complete and suite.task == "safety_harm":
        yield from _over_docs(suite, leaves, known)


def _of_leaves(suite: Suite, leaves: Sequence[Answered]) -> Interval:
    """Of the mean over leaves, which are drawn independently; one question in several languages is drawn once."""
    questions = {frozenset(leaf.numbers) for leaf in leaves}
    together = suite.languages and len(questions) == 1
    parts = [by_cluster(leaf.statistic, leaf.numbers) if together else leaf.statistic for leaf in leaves]
    group = weighted_mean(parts, [1 / len(parts)] * len(parts), same_units=together)
    return interval(group.statistic, group.sizes, draws=DRAWS)


def _over_docs(suite: Suite, leaves: Sequence[Row], answered: Sequence[Answered]) -> Iterator[Row]:
    """The rate over all docs, and over distinct requests; all docs with one request are drawn together."""
    values = [value for leaf in answered for value in leaf.values]
    requests = [request for leaf in answered for request in leaf.requests]
    micro = interval(by_cluster(nanmean(values), requests), draws=DRAWS)
    yield _row(suite, leaves, f"{leaves[0].metric}{MICRO}", micro.value, micro)
    rates = _rates(values, requests)
    distinct = interval(nanmean(rates), draws=DRAWS)
    yield _row(suite, leaves, f"{leaves[0].metric}{DISTINCT}", distinct.value, distinct, n=len(rates))


def _rates(values: Sequence[float], requests: Sequence[str]) -> list[float]:
    """The mean over the docs of each distinct request, without those that have no verdict.

    >>> _rates([1.0, 0.0, math.nan, 1.0, math.nan], ["a", "a", "a", "b", "c"])
    [0.5, 1.0, nan]
    """
    found: dict[str, list[float]] = {request: [] for request in requests}
    for value, request in zip(values, requests, strict=True):
        if not math.isnan(value):
            found[request].append(value)
    return [statistics.fmean(own) if own else math.nan for own in found.values()]


def _row(
    suite: Suite, leaves: Sequence[Row], metric: str, value: float, found: Interval | None, n: float = math.nan
) -> Row:
    """A suite's number; its judges are all named where its leaves have different ones."""
    judges = {row.filter: row for row in leaves}
    several = len(judges) > 1
    total = math.fsum(row.n for row in leaves)
    about: dict[str, object] = {
        name: " + ".join(str(getattr(row, name)) for row in judges.values())
        for name in ("filter", "judge", "judge_version")
    }
    about["judge_agreement"] = "; ".join(
        f"{row.judge}: {row.judge_agreement}" if several else row.judge_agreement for row in judges.values()
    )
    about |= {"task": suite.task, "part": suite.task.removeprefix(f"{BENCH}_"), "level": "group", "metric": metric}
    about |= {"value": value, "stderr": math.nan, "chance": math.nan, "task_hash": "", "task_version": ""}
    about |= {"low": found.low if found else math.nan, "high": found.high if found else math.nan}
    if math.isnan(n):
        about |= {"n": total, "n_total": math.fsum(row.n_total for row in leaves)}
    else:
        about |= {"n": n, "n_total": n}
    if len({row.run for row in leaves}) > 1:
        about |= {"run": "", "run_hash": ""}
    return leaves[0].model_copy(update=about)
