r"""The rows of a card's file: lines, JSON, JSON Lines, comma-separated or Parquet, text in UTF-8, all in file order.

Lines end at line feeds only: tweets and posts hold other characters at which ``splitlines`` would break.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_ext.data.fetching import fetch
from harness_ext.errors import DataError
from harness_ext.files import FileError
from harness_ext.files import json_lines as values_of
from harness_ext.files import read_text as text_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


TABLES = (".csv", ".jsonl", ".parquet")
"""Endings of files that :func:`table_of` reads."""


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, each without a carriage return at its end; a last empty piece is no line, others are.

    >>> lines_of("first\r\n\nthird\n")
    ['first', '', 'third']
    """
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


def json_lines(text: str) -> list[Any]:
    r"""The JSON value of every line that is not blank.

    Raises:
        ValueError: a line is not JSON.

    >>> json_lines('{"id": 1}\n\n{"id": 2}\n')
    [{'id': 1}, {'id': 2}]
    """
    return [json.loads(line) for line in lines_of(text) if line.strip()]


def read_text(source: str, file: str) -> str:
    """A file of a card as it is; for what is raised by this and the others see :func:`harness_ext.data.fetch`."""
    return fetch(source, file).read_bytes().decode("utf-8")


def read_lines(source: str, file: str) -> list[str]:
    """The lines of a card's file."""
    return lines_of(read_text(source, file))


def read_json(source: str, file: str) -> Any:
    """The one JSON value in a card's file."""
    return json.loads(read_text(source, file))


def read_json_lines(source: str, file: str) -> list[Any]:
    """The JSON values in a card's file, one a line."""
    return json_lines(read_text(source, file))


def read_csv(source: str, file: str) -> list[dict[str, str]]:
    """The records of a comma-separated file, by the names in its header."""
    return list(csv.DictReader(io.StringIO(read_text(source, file), newline="")))


def read_table(source: str, file: str, cards: Traversable | None = None) -> list[dict[str, Any]]:
    """The rows of a card's file by :func:`table_of`.

    Args:
        source: name of the card.
        file: ``name`` of one of its files.
        cards: folder of the cards; the package's own by default.
    """
    return table_of(fetch(source, file, cards=cards))


def table_of(file: Path) -> list[dict[str, Any]]:
    """The rows of a file ``.csv``, ``.jsonl`` or ``.parquet`` whose columns have names, all different.

    Raises:
        DataError: it has another ending, cannot be read, or a row is no row.
    """
    kinds = dict(zip(TABLES, (_records, _objects, _parquet), strict=True))
    if file.suffix.lower() not in kinds:
        raise DataError(f"{file.name} is none of {', '.join(kinds)}. Save it as one of them.")
    try:
        return kinds[file.suffix.lower()](file)
    except FileError as error:
        encoding = " Save it in UTF-8." if "UTF-8" in str(error) else ""
        raise DataError(f"{file.name}: {error}.{encoding}") from error


def _records(file: Path) -> list[dict[str, Any]]:
    try:
        lines = [row for row in csv.reader(io.StringIO(text_of(file), newline=""), strict=True) if row]
    except csv.Error as error:
        raise FileError(f"not comma-separated: {error}") from error
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    if not all(name.strip() for name in header):
        raise FileError("a column has no name; give each column one in the first line")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise FileError(f"the column {twice!r} stands twice in the first line; rename one")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            quotes = "put cells that hold a comma between double quotes"
            raise FileError(f"row {number} has {len(row)} cells and the first line {len(header)}; {quotes}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _objects(file: Path) -> list[dict[str, Any]]:
    rows = []
    for number, value in values_of(file):
        if not isinstance(value, dict):
            raise FileError(f"line {number} is no JSON object; give one a line")
        rows.append(value)
    return rows


def _parquet(file: Path) -> list[dict[str, Any]]:
    from pyarrow import ArrowException, parquet

    try:
        rows: list[dict[str, Any]] = parquet.read_table(file).to_pylist()
    except (ArrowException, OSError) as error:
        raise FileError(f"not Parquet: {error}") from error
    return rows


def cell(row: Mapping[str, Any], column: str) -> str:
    """The text in a column, without blanks around it; empty where there is none.

    >>> cell({"mood": " joy "}, "mood"), cell({"mood": None}, "mood"), cell({"mood": 0}, "mood")
    ('joy', '', '0')
    """
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()


def cells(row: Mapping[str, Any], column: str) -> list[str]:
    """The texts of a column that holds lists, or the one text of another.

    >>> cells({"turns": ["Hi.", " And now? "]}, "turns"), cells({"turns": "Hi."}, "turns")
    (['Hi.', 'And now?'], ['Hi.'])
    """
    value = row.get(column)
    found = [cell({column: one}, column) for one in value] if isinstance(value, list) else [cell(row, column)]
    return [text for text in found if text]
