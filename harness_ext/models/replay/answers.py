"""Stored answers as files: rows of our own format, or the ``samples_*.jsonl`` files that lm-eval writes.

Read by the ``replay`` backend; the formats are described in ``docs/replay.md``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from lm_eval.utils import handle_non_serializable
from pydantic import BaseModel, NonNegativeInt, StrictInt, StrictStr, ValidationError

from harness_ext.errors import InputError
from harness_ext.files import FileError, parse_json, text_lines

_SAMPLES_NAME = re.compile(r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.-]+\.jsonl(\.gz)?")

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")

Likelihoods: TypeAlias = tuple[tuple[float, bool | None], ...]
"""For each continuation its log-likelihood and whether greedy decoding gives it (None: not recorded)."""


class Key(NamedTuple):
    """What an answer is stored under: the doc's own ``id`` (as text) or lm-eval's ``doc_id`` (as a number)."""

    doc: str | int
    turn: int = 0
    repeat: int = 0


@dataclass(frozen=True)
class Answer:
    """One stored answer and where it stands."""

    value: str | Likelihoods
    where: str
    prompt_hash: str | None = None
    doc_hash: str | None = None
    from_samples: bool = False


class Row(BaseModel):
    """A line of an answers file; other keys are ignored, so that a log can be kept as it is."""

    task: StrictStr
    id: StrictStr | StrictInt | None = None
    doc_id: StrictInt | None = None
    turn: NonNegativeInt = 0
    repeat: NonNegativeInt = 0
    response: StrictStr | list[StrictStr] | None = None
    loglikelihoods: list[float] | None = None
    is_greedy: list[bool] | None = None
    prompt_hash: str | None = None

    def answers(self, where: str) -> Iterator[tuple[Key, Answer]]:
        """The answers of this row; a list of responses is one answer per repeat.

        >>> row = Row(task="t", id=7, response=["yes", "no"])
        >>> [(key, answer.value) for key, answer in row.answers("a.jsonl:1")]
        [(Key(doc='7', turn=0, repeat=0), 'yes'), (Key(doc='7', turn=0, repeat=1), 'no')]
        """
        if (self.response is None) == (self.loglikelihoods is None):
            raise InputError(f"{where}: a row has either 'response' or 'loglikelihoods'")
        if self.id is None and self.doc_id is None:
            raise InputError(f"{where}: the row names no doc: give 'id' (the doc's own) or 'doc_id' (lm-eval's index)")
        doc: str | int | None = self.doc_id if self.id is None else str(self.id)
        assert doc is not None  # noqa: S101 - for the type checker: one of the two is given
        values: list[str | Likelihoods] = []
        if self.loglikelihoods is not None:
            greedy = [None] * len(self.loglikelihoods) if self.is_greedy is None else self.is_greedy
            if len(greedy) != len(self.loglikelihoods) or any(value != value for value in self.loglikelihoods):
                raise InputError(f"{where}: 'loglikelihoods' are numbers, with as many 'is_greedy' if these are given")
            values.append(tuple(zip(self.loglikelihoods, greedy, strict=True)))
        elif isinstance(self.response, list):
            values.extend(self.response)
        elif self.response is not None:
            values.append(self.response)
        for step, value in enumerate(values):
            yield Key(doc, self.turn, self.repeat + step), Answer(value, where, self.prompt_hash)


def files(path: Path) -> list[Path]:
    """The answer files that ``path`` names: itself, or the ``*.jsonl`` and ``*.jsonl.gz`` of a folder, sorted."""
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.name.endswith((".jsonl", ".jsonl.gz")))
        if not found:
            raise InputError(f"{path}: no *.jsonl or *.jsonl.gz in this folder; give the folder that holds the answers")
        return found
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; --model_args path=... names stored answers (docs/replay.md)")
    return [path]


def _lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each JSON object of a file with its ``file:line``."""
    try:
        for number, line in enumerate(text_lines(file), start=1):
            if line.strip():
                where = f"{file.name}:{number}"
                try:
                    row = parse_json(line, mend=True)
                except FileError as error:
                    raise InputError(f"{where}: not JSON ({error}); mend or remove this line") from error
                if not isinstance(row, dict):
                    raise InputError(f"{where}: a row is a JSON object, this is a {type(row).__name__}")
                yield where, row
    except FileError as error:
        raise InputError(f"{file}: cannot be read ({error})") from error


def _sample_values(resps: Any, where: str) -> list[str | Likelihoods]:
    """One value per repeat from the ``resps`` of an lm-eval sample, in which every leaf was turned into a string."""
    try:
        requests = [list(request) for request in resps]
        if requests and all(isinstance(answer, str) for request in requests for answer in request):
            (texts,) = requests
            return list(texts)
        return [
            tuple((float(value), {"True": True, "False": False}[greedy]) for value, greedy in choices)
            for choices in zip(*requests, strict=True)
        ]
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{where}: 'resps' is not what lm-eval writes ({error!r}); give the file as it was") from error


def _samples(task: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, Key, Answer]]:
    """The answers of an lm-eval samples file, under the docs' own ids where these tell the docs apart."""
    indices: defaultdict[str, set[int]] = defaultdict(set)
    for where, row in rows:
        if not isinstance(row.get("doc_id"), int):
            raise InputError(f"{where}: an lm-eval sample has an integer 'doc_id'; give the file as lm-eval wrote it")
        indices[str(row["own_id"])].add(row["doc_id"])
    by_id = "None" not in indices and all(len(seen) == 1 for seen in indices.values())
    for where, row in rows:
        doc = str(row["own_id"]) if by_id else row["doc_id"]
        doc_hash = None if by_id else row["doc_hash"]
        for repeat, value in enumerate(_sample_values(row["resps"], where)):
            yield task, Key(doc, 0, repeat), Answer(value, where, row["prompt_hash"], doc_hash, from_samples=True)


def doc_digest(doc: Any) -> str:
    """A hash of a doc as lm-eval logs it: of its JSON, in which an image or another object is its description.

    lm-eval's own ``doc_hash`` will not do: the description has the object's address, which is another in every run.
    """
    text = json.dumps(doc, sort_keys=True, default=handle_non_serializable)
    return hashlib.sha256(_ADDRESS.sub(">", text).encode()).hexdigest()


def own_id(doc: Any) -> str | int | None:
    """The doc's own ``id``, if it has one that a row can carry.

    >>> own_id({"id": "kaggle-7"}), own_id({"text": "a doc without"})
    ('kaggle-7', None)
    """
    own = doc.get("id") if isinstance(doc, dict) else None
    return own if isinstance(own, (str, int)) else None


def read(file: Path) -> Iterator[tuple[str, Key, Answer]]:
    """Every answer of one file as (task, key, answer).

    Raises:
        InputError: the file cannot be read, or a line is not JSON or not a row; the message names the line.
    """
    recorded: defaultdict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    name = _SAMPLES_NAME.fullmatch(file.name)
    for where, row in _lines(file):
        if "resps" in row and "doc" in row:
            task = row.get("task") or (name and name["task"])
            if not isinstance(task, str):
                raise InputError(
                    f"{where}: which task? Keep lm-eval's file name samples_<task>_<date>.jsonl or add 'task'"
                )
            # Prompts and posts are most of such a file; only what identifies and answers a doc is kept.
            kept = {key: row.get(key) for key in ("doc_id", "resps", "prompt_hash")}
            kept |= {"own_id": own_id(row["doc"]), "doc_hash": doc_digest(row["doc"])}
            recorded[task].append((where, kept))
            continue
        try:
            parsed = Row.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{where}: '{first['loc'][0]}': {first['msg'].lower()} (rows: docs/replay.md)") from error
        for key, answer in parsed.answers(where):
            yield parsed.task, key, answer
    for task, rows in recorded.items():
        yield from _samples(task, rows)


def load(path: Path) -> dict[str, dict[Key, Answer]]:
    """All answers below ``path``, by task.

    Raises:
        InputError: see `read`; or two rows give different answers to the same question.
    """
    answers: defaultdict[str, dict[Key, Answer]] = defaultdict(dict)
    for file in files(path):
        for task, key, answer in read(file):
            known = answers[task].setdefault(key, answer)
            if known.value != answer.value:
                raise InputError(
                    f"{known.where} and {answer.where} answer task {task}, doc {key.doc!r}, turn {key.turn}, repeat "
                    f"{key.repeat} differently; keep one of them (one run per file or folder)"
                )
    return dict(answers)
