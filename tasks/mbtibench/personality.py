"""Personality of the Dreaddit authors: reading estimates of it, and the four lines a stress prompt shows.

A value is a soft label p in [0, 1] (0 = first pole, 1 = second), or ``None`` where the answer could not be parsed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, json_lines, sha256_of
from harness_ext.scoring.answers import MARKERS, answer_of
from harness_ext.scoring.soft_labels import parse_choice, parse_score
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS, Dimension

Mode = Literal["hard", "soft", "soft_inverted"]
Orientation = Literal["correct", "inverted", "ambiguous"]
Values = tuple[float | None, ...]
"""One value for each dimension, in the order of :data:`DIMENSIONS`."""

_LINE = re.compile(r"\s*(\d+(?:\.\d+)?)% (\w+), (\d+(?:\.\d+)?)% (\w+)\s*")


class Estimates(NamedTuple):
    """Personality estimates of many authors."""

    by_id: dict[int, Values]
    letters: bool
    """Whether they are mere letters, that is values of 0 and 1."""
    name: str
    sha256: str


def personality_lines(
    values: Sequence[float | str | None], poles: Sequence[Dimension] = tuple(DIMENSIONS.values()), mode: Mode = "soft"
) -> str:
    """The personality as a stress prompt shows it: one line a dimension, percentages of the first and second pole.

    Args:
        values: for each dimension p in [0, 1], a letter, or ``None`` (shown as 50/50).
        poles: the dimensions, in the order of ``values``.
        mode: ``soft``: p as it is; ``hard``: the nearer pole, 50/50 in the middle; ``soft_inverted``: the percentages
            at the wrong poles, as in the released "soft" runs, where p was taken for the share of the first pole.

    Raises:
        ValueError: different lengths, or a letter of another dimension.

    Source: upstream ``downstream/Dreaddit/prompt.py``.

    >>> print(personality_lines([0.75, "S", None, 0.5]), end="")
    25.0% Extraversion, 75.0% Introversion
    100.0% Sensing, 0.0% Intuition
    50.0% Thinking, 50.0% Feeling
    50.0% Judging, 50.0% Perceiving
    """
    lines = []
    for value, dimension in zip(values, poles, strict=True):
        p = _soft(value, dimension)
        if mode == "hard":
            p = 0.5 if p == 0.5 else float(p > 0.5)
        first = 100 * (p if mode == "soft_inverted" else 1 - p)
        lines.append(f"{first:.1f}% {dimension.first_name}, {100 - first:.1f}% {dimension.second_name}\n")
    return "".join(lines)


def orientation(line: str, value: float | str | None) -> Orientation:
    """Whether a rendered line gives the larger share to the pole that ``value`` leans to.

    Args:
        line: as of :func:`personality_lines`.
        value: the estimate behind it: p, a letter or ``None``.

    Returns:
        ``ambiguous`` where the line or the value is exactly in the middle, so that both orientations look alike.

    Raises:
        ValueError: this is no such line.

    >>> orientation("75.0% Extraversion, 25.0% Introversion", 0.75)
    'inverted'
    """
    match = _LINE.fullmatch(line)
    names = (match[2], match[4]) if match else None
    dimension = next((d for d in DIMENSIONS.values() if (d.first_name, d.second_name) == names), None)
    if match is None or dimension is None:
        raise ValueError(f"not a personality line: {line!r}")
    lean = (0.5 - _soft(value, dimension)) * (float(match[1]) - 50)
    if lean == 0:
        return "ambiguous"
    return "correct" if lean > 0 else "inverted"


def _soft(value: float | str | None, dimension: Dimension) -> float:
    if value is None:
        return 0.5
    if isinstance(value, str):
        return float(dimension.poles.index(value))
    return value


def read_estimates(path: Path) -> Estimates:
    """Read personality estimates.

    Args:
        path: a JSON Lines file of rows ``{"id": 1, "E/I": 7, "S/N": "N", …}`` (scores 1 to 9, letters or ``null``); an
            upstream SQLite file (``*.db``); or a folder with the ``samples_*.jsonl`` that lm-eval wrote for
            ``mbtibench_dreaddit_personality_*``.

    Raises:
        InputError: there is nothing at ``path``.
        DataError: the content is not of that form.
    """
    if path.is_dir():
        return _from_samples(path)
    if not path.is_file():
        raise InputError(f"personality: {path} is not there; give a .jsonl file, a .db file or a folder of samples.")
    return _from_database(path) if path.suffix == ".db" else _from_rows(path)


def estimates_from_rows(rows: Sequence[Mapping[str, Any]], name: str) -> Estimates:
    """Estimates from rows ``{"id": 1, "E/I": score or letter or None, …}``.

    Raises:
        DataError: a row lacks its id or a dimension, or has a value that is neither; ids are repeated; scores and
            letters are mixed.

    >>> estimates_from_rows([{"id": 1, "E/I": 7, "S/N": 1, "T/F": None, "J/P": 9}], "example").by_id
    {1: (0.75, 0.0, None, 1.0)}
    """
    by_id: dict[int, Values] = {}
    kinds = set()
    for number, row in enumerate(rows, start=1):
        try:
            record_id, cells = int(row["id"]), {name: row[name] for name in DIMENSIONS}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{name} row {number}: no id or no {'/'.join(DIMENSIONS)} value ({error}).") from None
        if record_id in by_id:
            raise DataError(f"{name} row {number}: id {record_id} is there twice.")
        by_id[record_id] = tuple(_cell(cells[d.name], d, f"{name} row {number}") for d in DIMENSIONS.values())
        kinds |= {type(cell) is str for cell in cells.values() if cell is not None}
    if len(kinds) > 1:
        raise DataError(f"{name} mixes scores and letters; give two files.")
    digest = hashlib.sha256(json.dumps(sorted(by_id.items())).encode()).hexdigest()
    return Estimates(by_id, kinds == {True}, name, digest)


def _cell(cell: Any, dimension: Dimension, place: str) -> float | None:
    if cell is None:
        return None
    if cell in dimension.poles:
        return float(dimension.poles.index(cell))
    if isinstance(cell, (int, float)) and not isinstance(cell, bool) and 1 <= cell <= 9:
        return (cell - 1) / 8
    raise DataError(f"{place}: {dimension.name} is {cell!r}, not a score from 1 to 9, {' or '.join(dimension.poles)}.")


def _from_rows(path: Path) -> Estimates:
    try:
        rows = [row for _, row in json_lines(path)]
    except FileError as error:
        raise DataError(f"personality: {path} is not JSON Lines ({error}).") from None
    return estimates_from_rows(rows, path.name)._replace(sha256=sha256_of(path))


def _from_database(path: Path) -> Estimates:
    rows: dict[int, dict[str, Any]] = {}
    try:
        # immutable: the file is a pinned download, so neither locks nor a journal may be written beside it
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            for dimension in DIMENSIONS.values():
                query = f"SELECT id, response, labeltype FROM {dimension.table}"  # noqa: S608 - our own four names
                for record_id, response, kind in connection.execute(query):
                    rows.setdefault(record_id, {"id": record_id})[dimension.name] = _answer(response, kind, dimension)
    except sqlite3.Error as error:
        raise DataError(f"personality: {path} is not a released results file: {error}.") from None
    return estimates_from_rows(list(rows.values()), path.name)._replace(sha256=sha256_of(path))


def _answer(response: str, kind: str, dimension: Dimension) -> float | str | None:
    if kind == "hard":
        return parse_choice(response, dimension.name, "strict")
    p = parse_score(response, "strict")
    return None if p is None else 1 + 8 * p


def _from_samples(folder: Path) -> Estimates:
    rows: dict[int, dict[str, Any]] = {}
    for dimension in DIMENSIONS.values():
        name = f"samples_mbtibench_dreaddit_personality_{dimension.table.lower()}"
        for record_id, text in _last_samples(folder, name):
            rows.setdefault(record_id, {"id": record_id})[dimension.name] = _answer(text, "soft", dimension)
    return estimates_from_rows(list(rows.values()), str(folder))


def _last_samples(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    files = sorted(folder.rglob(f"{name}_*.jsonl"), key=lambda file: file.name)  # the names end in the time of the run
    if not files:
        raise InputError(f"personality: {folder} has no {name}_*.jsonl; run that task with --log_samples.")
    try:
        for _, row in json_lines(files[-1]):
            yield row["doc"]["id"], answer_of(row["filtered_resps"][0], row["doc"].get(MARKERS)).text
    except (FileError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"personality: {files[-1]} holds no samples of lm-eval ({error}).") from error
