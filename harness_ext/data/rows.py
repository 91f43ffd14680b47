r"""The rows of a card's file: lines, JSON, JSON Lines or comma-separated, all UTF-8 and all in file order.

Lines end at line feeds only: tweets and posts hold other characters at which ``splitlines`` would break.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from harness_ext.data.fetching import fetch


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
