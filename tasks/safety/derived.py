"""Numbers of the safety tasks that lm-eval's groups cannot express.

``safety_harm`` for every judge: the mean over its leaves, the micro average over their docs, and the same with every
distinct request counted once, because the sets overlap; the language macro of CatQA. Requests are compared by hash.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.statistics.aggregations import resampled
from harness_ext.results.statistics.bootstrap import Drawn, Units, weighted
from harness_ext.results.statistics.intervals import draw
from harness_ext.scoring.resampled import NotResampledError, Resampled
from harness_ext.scoring.resampled.numbers import nanmean

BENCH = "safety"
MICRO = "_micro"
"""Ending of the rate over all docs of all sets."""
DISTINCT = "_distinct"
"""Ending of the rate over distinct requests."""
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
    values: Sequence[float]
    """Of each doc, NaN where the judge gave no verdict."""
    requests: Sequence[str]
    """Hash of each doc's normalised request."""
    numbers: Sequence[str]
    """Which question of its set each doc is, whatever the language."""

    @classmethod
    def of(cls, row: Row, runs: Runs) -> Answered | None:
        """The docs behind a number; None without samples that give it."""
        scores, task = runs.scores(row), runs.task(row)
        if task is None or scores is None or row.metric not in scores.items:
            return None
        values = scores.items[row.metric]
        try:
            recorded = task.aggregations.get(row.metric)
            statistic = resampled(row.metric, values, aggregation=recorded, reported=row.value, bench=row.bench)
        except NotResampledError:
            return None
        return cls(statistic, [float(value) for value in values], scores.facts, [_question(own) for own in scores.ids])


def facts(doc: Mapping[str, Any]) -> str:
    """What suites need of a doc beside its scores: the request, by hash."""
    return request_hash(str(doc.get("prompt", doc.get("id"))))


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


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """The suites of one model, and notes on those that lack sets."""
    notes: list[str] = []
    ways: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        ways.setdefault(tuple(str(getattr(row, name)) for name in _SAME), []).append(row)
    found = [one for own in ways.values() for one in _suites(own, runs, notes)]
    # Numbers of several files have no run of their own, by which their draws could be found again.
    drawn: dict[tuple[str, ...], Drawn] = {
        (row.run, row.task, row.metric, row.filter, row.part): one for row, one in found if one is not None and row.run
    }
    return Derived([row for row, _ in found], notes, drawn)


def _suites(rows: Sequence[Row], runs: Runs, notes: list[str]) -> Iterator[tuple[Row, Drawn | None]]:
    """The suites' numbers of one model asked in one way."""
    for suite in SUITES:
        metrics = dict.fromkeys(row.metric for row in rows if row.metric.removesuffix("_full") == suite.metric)
        for metric in metrics:
            leaves = [row for row in rows if row.metric == metric and row.task in suite.leaves and row.level == "task"]
            for own in _by_judge(leaves, suite):
                missing = [leaf for leaf in suite.leaves if leaf not in {row.task for row in own}]
                if not missing:
                    yield from _numbers(suite, own, runs)
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


def _numbers(suite: Suite, leaves: Sequence[Row], runs: Runs) -> Iterator[tuple[Row, Drawn | None]]:
    answered = [Answered.of(row, runs) for row in leaves]
    known = [own for own in answered if own is not None]
    complete = len(known) == len(leaves)
    mean = statistics.fmean(row.value for row in leaves)
    drawn = _of_leaves(suite, known) if complete else None
    yield _row(suite, leaves, leaves[0].metric, mean, drawn), drawn
    if complete and suite.task == "safety_harm":
        yield from _over_docs(suite, leaves, known)


def _of_leaves(suite: Suite, leaves: Sequence[Answered]) -> Drawn:
    """Of the mean over leaves, which are drawn independently; one question in several languages is drawn once."""
    # Distinct names keep sets of different sources apart whose docs happen to have the same numbers.
    parts = [
        draw(leaf.statistic, Units.of(leaf.numbers if suite.languages else [f"{at} {own}" for own in leaf.numbers]))
        for at, leaf in enumerate(leaves)
    ]
    return weighted(parts, [1 / len(parts)] * len(parts))


def _over_docs(suite: Suite, leaves: Sequence[Row], answered: Sequence[Answered]) -> Iterator[tuple[Row, Drawn | None]]:
    """The rate over all docs, and over distinct requests; all docs with one request are drawn together."""
    values = [value for leaf in answered for value in leaf.values]
    requests = [request for leaf in answered for request in leaf.requests]
    micro = draw(nanmean(values), Units.of(requests))
    yield _row(suite, leaves, f"{leaves[0].metric}{MICRO}", micro.value, micro), micro
    rates = _rates(values, requests)
    distinct = draw(nanmean(rates), Units.of(list(dict.fromkeys(requests))))
    yield _row(suite, leaves, f"{leaves[0].metric}{DISTINCT}", distinct.value, distinct, n=len(rates)), distinct


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
    suite: Suite, leaves: Sequence[Row], metric: str, value: float, drawn: Drawn | None, n: float = math.nan
) -> Row:
    """A suite's number; its judges are all named where its leaves have different ones."""
    found = drawn.interval if drawn else None
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
