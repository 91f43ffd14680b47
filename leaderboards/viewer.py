"""The samples that a page carries: prompt, answer, parse, score and judge of each document, within stated limits.

Samples of sources that hold personal or harmful text, or that nobody has described, are left out unless unlocked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness_ext.data import load_card
from harness_ext.errors import HarnessExtError
from harness_ext.leaderboards import sampled
from harness_ext.leaderboards.printable import shortened, visible
from harness_ext.leaderboards.table import Entry
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Runs, TaskRun

MOST_SAMPLES = 100
"""Documents of one task and run that a page carries."""
MOST_CHARACTERS = 4_000
"""Characters of one prompt or answer."""
MOST_BYTES = 8_000_000
"""Characters of all samples together, shared equally between the tasks of all runs."""
_SAMPLE_BYTES = 200  # of a sample beside its texts

_WITHHELD = {"harmful", "personal"}
_FAILURES = ("parse_failure", "invalid")


def withheld(metadata: Mapping[str, Any], data: str) -> str:
    """Why samples of a task must not be shown unasked; empty if they may.

    Args:
        metadata: the task's metadata; ``source`` names its data cards.
        data: ``sample`` for the records bundled with the package, which were written for it and are always shown.

    >>> withheld({"source": "mbtibench"}, "real")
    'the source mbtibench holds personal text'
    >>> withheld({"source": "mbtibench"}, "sample"), withheld({"source": "emobench"}, "real")
    ('', '')
    >>> withheld({}, "real")
    'no data card says what the source holds'
    """
    if data == "sample":
        return ""
    named = metadata.get("source")
    sources = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    if not sources:
        return "no data card says what the source holds"
    for source in sources:
        try:
            sensitive = _WITHHELD.intersection(load_card(str(source)).sensitive)
        except HarnessExtError:
            return f"no data card says what the source {source} holds"
        if sensitive:
            return f"the source {source} holds {' and '.join(sorted(sensitive))} text"
    return ""


@dataclass
class Shown:
    """The samples of one task of one run: a line of the viewer's list."""

    task: str
    label: str
    judge: str
    total: int
    why_withheld: str
    samples: list[dict[str, Any]]
    measure: str = ""
    """What samples are sorted by and called right or wrong for; empty where no metric says anything of one document."""


@dataclass
class Viewer:
    """All samples of a page. Texts are kept once, however many runs were asked the same."""

    share: int
    """Characters that each task of each run may add."""
    unlocked: bool = False
    texts: list[str] = field(default_factory=list)
    runs: list[Shown] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def add(self, task: TaskRun, documents: int | None = None) -> None:
        """Take in the first samples of a task, as many as the limits allow.

        Args:
            task: the task's run, which has a samples file.
            documents: how many there are, where that is known.
        """
        row = next(iter(task.rows.values()))
        entry = Entry.of(row)._replace(variant="")
        judges = list(dict.fromkeys(own.judge for own in task.rows.values() if own.judge))
        if judges:  # every sample shows what each of them said
            entry = entry._replace(filter="", judge="", judge_version="")
        label = entry._replace(model=f"{entry.model}, sample data" if row.data == "sample" else entry.model).label
        reason = "" if self.unlocked else withheld(task.switches, row.data)
        samples: list[dict[str, Any]] = []
        total, measure = documents or 0, ""
        if not (reason and documents):  # a file of which nothing is shown is not opened to count
            try:
                samples, total, measure = self._samples(task, documents, keep=not reason)
            except ValueError:
                return  # named among the files that could not be used
        shown = Shown(task.task, visible(label), visible(", ".join(judges)), total, reason, samples, visible(measure))
        self.runs.append(shown)

    def _samples(self, task: TaskRun, known: int | None, *, keep: bool) -> tuple[list[dict[str, Any]], int, str]:
        """The samples to show, the number of documents that there are, and what marks them right or wrong."""
        found: dict[str, dict[str, Any]] = {}
        documents = set()
        once = known is not None and len(task.filters) == 1  # nothing more is said about a document further down
        free = self.share
        scores: list[tuple[dict[str, Any], Mapping[str, object]]] = []
        for sample in task.lines():
            number = str(sample["doc_id"])
            documents.add(number)
            if number not in found:
                if not keep or len(found) >= MOST_SAMPLES or (free <= 0 and found):
                    if once:
                        break
                    continue
                before = len(self.texts)
                found[number] = self._document(number, sample)
                free -= _SAMPLE_BYTES + sum(map(len, self.texts[before:]))
            shown = self._filter(sample, found[number], task)
            scores.append((shown, sample))
            found[number]["filters"].append(shown)
        return list(found.values()), known or len(documents), _mark(scores, task)

    def _document(self, number: str, sample: Mapping[str, Any]) -> dict[str, Any]:
        doc = sample.get("doc")
        own_id = doc.get("id") if isinstance(doc, dict) else None
        prompt, choices = sampled.request(sample.get("arguments"))
        options = sampled.options_of(sample.get("resps"), choices)
        return {
            "doc": visible(shortened(number, 80)),
            "id": visible(shortened(str(number if own_id is None else own_id), 80)),
            "prompt": self._text(prompt),
            "answer": self._text(options[0].label if options else sampled.answer(sample.get("resps"))),
            "gold": self._text(sampled.gold(sample.get("target"), choices)),
            "options": [(self._text(option.label), option.likelihood) for option in options],
            "filters": [],
        }

    def _filter(self, sample: Mapping[str, Any], document: Mapping[str, Any], task: TaskRun) -> dict[str, Any]:
        """What one filter made of the answer: a parse (-1 where it is the answer as it stands) and the scores."""
        names = sample.get("metrics")
        listed = names if isinstance(names, list) else [metric for metric, _ in task.rows if metric in sample]
        scores = {str(name): sample.get(name) for name in listed}
        filtered = sample.get("filtered_resps")
        options = sampled.options_of(filtered, sampled.request(sample.get("arguments"))[1])
        parse = self._text(options[0].label if options else sampled.plain(filtered))
        return {
            "name": visible(str(sample.get("filter", "none"))),
            "parse": -1 if parse == document["answer"] else parse,
            "scores": _by_value(scores),
            "failed": any(scores.get(name) in (1, 1.0, True) for name in _FAILURES),
            "right": None,
            "score": None,
        }

    def _text(self, text: str) -> int:
        kept = visible(shortened(text, MOST_CHARACTERS))
        if kept not in self._numbers:
            self._numbers[kept] = len(self.texts)
            self.texts.append(kept)
        return self._numbers[kept]

    def as_json(self) -> str:
        """Strict JSON that may stand inside a script element: no NaN, no ``<``, nothing that ends a line of script."""
        content = {"texts": self.texts, "runs": [vars(run) for run in self.runs]}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for sign in "<>&\u2028\u2029":  # megabytes: translate() would look at every character by itself
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text

    @property
    def counts(self) -> tuple[int, int]:
        """Samples that the page carries, and all that there are."""
        return sum(len(run.samples) for run in self.runs), sum(run.total for run in self.runs)


def collect(rows: Iterable[Row], runs: Runs, *, unlocked: bool = False) -> Viewer:
    """The samples of every measured task in the rows, one file at a time; runs without samples have none.

    Args:
        rows: numbers of a frame.
        runs: where the tasks' runs are found.
        unlocked: take samples of personal, harmful or unknown sources, too.
    """
    leaves: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.origin == "measured" and row.level == "task":
            leaves.setdefault((row.run, row.task), {})[row.metric, row.filter] = row
    viewer = Viewer(share=MOST_BYTES // max(1, len(leaves)), unlocked=unlocked)
    for own in leaves.values():
        first = next(iter(own.values()))
        if task := runs.task(first):
            viewer.add(replace(task, rows=own), runs.documents(first))
    return viewer


def _mark(scored: Sequence[tuple[dict[str, Any], Mapping[str, Any]]], task: TaskRun) -> str:
    """Say of every sample what it scored, and whether that is right; returns the measure in words.

    The first metric that scores single documents decides: all or nothing is right or wrong by the metric's direction,
    anything between is a score to sort by. Soft labels are sorted by how far the prediction is from the gold label.
    """
    measure = ""
    better: bool | None
    for (metric, name), row in task.rows.items():
        own = [
            (shown, sample[metric])
            for shown, sample in scored
            if shown["score"] is None and sample["filter"] == name and metric in sample
        ]
        values = [value for _, value in own]
        if not own or metric in _FAILURES:
            continue
        if all(map(_is_pair, values)):
            told, numbers = "distance of the prediction from the gold label", [abs(own[0] - own[1]) for own in values]
            better, best = False, math.nan
        elif all(isinstance(value, int | float) for value in values):
            told, better, numbers = metric, row.higher_is_better, [float(value) for value in values]
            finite = {number for number in numbers if math.isfinite(number)}
            best = next((top for top in (1.0, 100.0) if finite and finite <= {0.0, top}), math.nan)
        else:
            continue
        for (shown, _), number in zip(own, numbers, strict=True):
            if math.isfinite(number):
                shown["score"] = round(number, 6)
                if better is not None and best == best:
                    shown["right"] = (number == best) == better
                measure = measure or told + {True: " (higher is better)", False: " (lower is better)", None: ""}[better]
    return measure


def _by_value(scores: Mapping[str, object]) -> list[tuple[str, str]]:
    """Scores as (names, value); metrics that were given the same item share a line.

    >>> _by_value({"s_rmse": [0.25, 0.5], "s_mae": [0.25, 0.5], "acc": float("nan"), "f1": [[1], [], 7]})
    [('s_rmse, s_mae', 'gold 0.25, predicted 0.5'), ('acc', 'undefined'), ('f1', 'only over all documents')]
    """
    names: dict[str, list[str]] = {}
    for name, value in scores.items():
        names.setdefault(_score(value), []).append(visible(name))
    return [(", ".join(same), value) for value, same in names.items()]


def _is_pair(value: object) -> bool:
    """Whether an item is a gold label and a prediction, perhaps with whether the answer could be read."""
    pair = value[:2] if isinstance(value, list) and 2 <= len(value) <= 3 else []
    rest = value[2:] if isinstance(value, list) else []
    return len(pair) == 2 and all(isinstance(part, float) for part in pair) and all(type(part) is bool for part in rest)


def _score(value: object) -> str:
    if isinstance(value, float):
        return "undefined" if value != value else f"{value:.4g}"
    if _is_pair(value):
        return f"gold {_score(value[0])}, predicted {_score(value[1])}"  # type: ignore[index]
    if isinstance(value, list | dict):
        return "only over all documents"  # what a corpus metric counts, such as numbers of classes
    return visible(shortened(sampled.plain(value), 200))
