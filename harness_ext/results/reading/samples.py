"""Samples files of lm-eval: opened, checked and read in this one place."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness_ext.errors import DataError
from harness_ext.files import FileError, parse_json, text_lines
from harness_ext.scoring.answers import MARKERS

DATE = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?"
SAMPLES_NAME = re.compile(rf"samples_(?P<task>.+)_(?P<date>{DATE})\.jsonl(?:\.gz)?")

# What a line holds beside the metrics, for versions of lm-eval that do not list the metrics.
_NO_METRIC = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
     "target_hash"}
)  # fmt: skip
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

Facts = Callable[[Mapping[str, Any]], object]
"""What a benchmark needs to know of a doc beside its scores, see :mod:`harness_ext.results.benches`."""


@dataclass
class Scores:
    """The scored documents of one task under one filter, in the file's order."""

    numbers: list[str] = field(default_factory=list)
    """lm-eval's numbers of the documents."""
    doc_hashes: list[str] = field(default_factory=list)
    """Hashes of the logged documents, where they were asked for."""
    told_hashes: list[str] = field(default_factory=list)
    """lm-eval's hashes of them, which differ between two runs of one doc with an image."""
    prompt_hashes: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """The documents' own ids, which several tasks may share; their hashes where they have none."""
    units: list[str] = field(default_factory=list)
    """What counts as one observation: ``cluster`` of the doc or of its ``meta`` (a dialogue), else the doc's own id,
    which rows about one author share, else the doc itself."""
    facts: list[Any] = field(default_factory=list)
    """What the task's benchmark wants to know of each document."""
    items: dict[str, list[Any]] = field(default_factory=dict)
    """What ``process_results`` returned for each metric."""


def read_scores(
    path: Path,
    filters: Sequence[str] = (),
    *,
    embedded: Iterable[object] | None = None,
    facts: Facts | None = None,
    hashes: bool = True,
) -> dict[str, Scores]:
    """The scored documents of a samples file, by filter.

    Args:
        path: the file.
        filters: the task's filters in their order, for files of old versions that do not name them.
        embedded: the task's samples where they stand in the results file ``path`` itself.
        facts: what to keep of each document beside its scores.
        hashes: whether documents and prompts are to be compared with those of another run.

    Raises:
        DataError: a line is broken or no sample, the file is empty, or a document occurs twice under one filter.
    """
    found: dict[str, Scores] = {}
    lines = sample_lines(path, filters) if embedded is None else named(embedded, filters)
    try:
        for sample in lines:
            _add(found.setdefault(str(sample["filter"]), Scores()), sample, facts, hashes=hashes)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    for name, scores in found.items():
        if len(set(scores.numbers)) < len(scores.numbers):
            raise DataError(f"{path}: documents occur twice (filter {name}); was the file written by two runs?")
        if any(len(items) != len(scores.ids) for items in scores.items.values()):
            raise DataError(f"{path}: some documents lack a metric that others have (filter {name}).")
    return found


def _add(scores: Scores, sample: Mapping[str, Any], facts: Facts | None, *, hashes: bool) -> None:
    doc = sample.get("doc")
    doc = doc if isinstance(doc, dict) else {}
    number = str(sample["doc_id"])
    meta = doc.get("meta")
    cluster = (meta if isinstance(meta, dict) else doc).get("cluster")
    own_id = doc.get("id")
    scores.numbers.append(number)
    if hashes:
        # lm-eval's own doc_hash of a doc with an image hashes the address at which the image happened to lie.
        scores.doc_hashes.append(_hash(sample.get("doc")))
        scores.told_hashes.append(str(sample.get("doc_hash") or ""))
        scores.prompt_hashes.append(str(sample.get("prompt_hash") or _hash(sample.get("arguments"))))
    scores.ids.append(str(own_id if own_id is not None else sample.get("doc_hash") or _hash(sample.get("doc"))))
    own = f"doc {number}" if own_id is None else f"id {own_id}"
    scores.units.append(own if cluster is None else f"cluster {cluster}")
    if facts:
        scores.facts.append(facts(doc))
    names = sample.get("metrics")
    for name in names if isinstance(names, list) else sample.keys() - _NO_METRIC:
        scores.items.setdefault(str(name), []).append(sample.get(name))


def sample_lines(path: Path, filters: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The samples of a file, plain or gzip, one at a time; each has a ``filter``.

    Args:
        path: the file.
        filters: the names of the task's filters in their order, for files that do not name them.

    Raises:
        ValueError: a line is cut off, broken or no sample, or there is none.
    """
    return named(_parsed(path), filters)


def _parsed(path: Path) -> Iterator[object]:
    for number, line in enumerate(text_lines(path), 1):
        if number == 1 and line.lstrip().startswith("["):
            raise FileError("samples written as one JSON list; write one sample a line (jq -c '.[]')")
        if line.strip():
            try:
                yield parse_json(line, mend=True)
            except FileError as error:
                raise FileError(f"cut off or broken after line {number - 1}: {error}") from error


def named(samples: Iterable[object], filters: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Parsed samples, checked; each has a ``filter``.

    Versions of lm-eval before 0.4.8 write a doc once for each filter without saying which: the k-th line of a doc
    belongs to the task's k-th filter. With several ranks docs are not in order, which does not matter here.

    Raises:
        ValueError: one is no sample, or there is none.
    """
    number = 0
    seen: Counter[str] = Counter()
    for number, sample in enumerate(samples, 1):
        if not (isinstance(sample, dict) and "doc_id" in sample):
            raise ValueError(f"line {number} is not a sample of lm-eval (no doc_id)")
        if not isinstance(sample["doc_id"], int | str):
            raise ValueError(f"line {number} is not a sample of lm-eval (doc_id is no number)")
        names = sample.get("metrics")
        if isinstance(names, list) and not all(isinstance(name, str) for name in names):
            raise ValueError(f"line {number} is not a sample of lm-eval (metrics are no names)")
        doc = sample.get("doc")
        markers = doc.get(MARKERS) if isinstance(doc, dict) else None
        if markers and not (isinstance(markers, list) and [type(marker) for marker in markers] == [str, str]):
            raise ValueError(f"line {number}: {MARKERS} of its doc are no two texts")
        if "filter" not in sample:
            turn = seen[str(sample["doc_id"])]
            seen[str(sample["doc_id"])] += 1
            sample["filter"] = filters[turn] if turn < len(filters) else "none"
        yield sample
    if not number:
        raise ValueError("empty")


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(_ADDRESS.sub("", text).encode()).hexdigest()
