"""The answers of a finished run as lm-eval saved them: each doc once, with a label and a text that can be judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_ext.errors import DataError, InputError
from harness_ext.results.judging.judged_metrics import LABELS
from harness_ext.results.reading.reader import load, rows_of
from harness_ext.results.reading.runs import TaskRun
from harness_ext.results.reading.samples import SAMPLES_NAME, sample_lines

Sample = Mapping[str, Any]
"""One line of a samples file."""

_NOT_TEXT = frozenset({"visual", "audio"})


@dataclass(frozen=True)
class Answers:
    """The saved samples of one task of one run."""

    path: Path
    sha256: str
    task: str
    results: Path | None
    """The results file beside the samples, if there is one."""
    content: Mapping[str, Any]
    """What stands in it; empty if there is none."""
    lines: Sequence[Sample]
    """All of them: each doc once for each filter."""
    docs: Sequence[Sample]
    """One line for each doc, in the file's order."""

    @property
    def labels(self) -> frozenset[str]:
        """Labels that occur: ``safe``, ``unsafe``."""
        return frozenset(line["doc"]["label"] for line in self.docs)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The task's own, as the results file records it."""
        found = _config(self.content, self.task).get("metadata")
        return found if isinstance(found, dict) else {}


def read_answers(path: Path) -> Answers:
    """The answers in one samples file.

    Raises:
        InputError: the file is missing, or holds something other than answers to labelled requests.
        DataError: the file, or the results file beside it, is cut off or broken, or it holds a doc twice.
    """
    if not path.is_file() or path.name.startswith("results_"):
        what = "a results file" if path.is_file() else "no file"
        raise InputError(
            f"{path} is {what}; give samples files (samples_<task>_<date>.jsonl), as lm-eval's --log_samples writes."
        )
    name = SAMPLES_NAME.fullmatch(path.name)
    task = name["task"] if name else path.name.split(".")[0].removeprefix("samples_")
    beside = [path.parent / f"results_{name['date']}.json{packed}" for packed in ("", ".gz")] if name else []
    results = next((file for file in beside if file.is_file()), None)
    content = _content(results) if results else {}
    filters = TaskRun(task, path, path, _config(content, task), {}).filters
    try:
        lines = list(sample_lines(path, filters))
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Answers(path, digest, task, results, content, lines, _docs(path, lines))


def _docs(path: Path, lines: Iterable[Sample]) -> list[Sample]:
    docs: dict[str, Sample] = {}
    seen: set[tuple[str, str]] = set()
    for line in lines:
        number, name = str(line["doc_id"]), str(line["filter"])
        first = docs.setdefault(number, line)
        if first is line:
            _check(path, line)
        if (number, name) in seen or first["resps"] != line.get("resps"):
            raise DataError(f"{path}: doc {number} occurs twice (filter {name}); was the file written by two runs?")
        seen.add((number, name))
    return list(docs.values())


def _check(path: Path, line: Sample) -> None:
    """Refuse a doc that cannot be judged; what is wrong is said without its text."""
    doc, resps = line.get("doc"), line.get("resps")
    where = f"{path}: doc {line['doc_id']}"
    label = doc.get("label") if isinstance(doc, dict) else None
    if not (isinstance(label, str) and label in LABELS):
        raise InputError(f"{where} has no label 'safe' or 'unsafe': only answers to safety requests are judged again.")
    if not (isinstance(resps, list) and resps and isinstance(resps[0], list) and resps[0]):
        raise InputError(f"{where} has no saved response (resps); give a file of a run with --log_samples.")
    if not isinstance(resps[0][0], str):
        raise InputError(f"{where} has no text as response: only answers of tasks that generate are judged again.")
    if any(isinstance(part, dict) and _NOT_TEXT & part.keys() for part in _parts(line)):
        raise InputError(f"{where} showed the model more than text, which a judge would not see.")


def _parts(line: Sample) -> list[Any]:
    """What one request consisted of: prompt, generation settings, and in multimodal tasks pictures and sounds."""
    arguments = line.get("arguments")
    requests = list(arguments.values()) if isinstance(arguments, dict) else arguments
    first = requests[0] if isinstance(requests, list) and requests else []
    return list(first.values()) if isinstance(first, dict) else first if isinstance(first, list) else []


def prompt(line: Sample) -> str:
    """The request; where the doc has none, what the model was shown."""
    shown = (part for part in (line["doc"].get("prompt"), *_parts(line)) if isinstance(part, str))
    return next(shown, "")


def response(line: Sample) -> str:
    """The first response, whole."""
    return str(line["resps"][0][0])


def _config(content: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    configs = content.get("configs")
    found = configs.get(task) if isinstance(configs, dict) else None
    return found if isinstance(found, dict) else {}


def _content(path: Path) -> dict[str, Any]:
    try:
        content, _ = load(path)
        rows_of(content, path)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    assert isinstance(content, dict)  # noqa: S101 - rows_of has checked
    return content


def by_run(answers: Iterable[Answers]) -> list[list[Answers]]:
    """Answers that belong together: the tasks that one results file tells of, or one folder if there is none.

    Raises:
        InputError: one file was given twice.
    """
    found: dict[Path, list[Answers]] = {}
    for own in answers:
        together = found.setdefault((own.results or own.path.parent).resolve(), [])
        if any(own.task == other.task for other in together):
            raise InputError(f"{own.path}: samples of {own.task} of the same run were given before.")
        together.append(own)
    return list(found.values())
