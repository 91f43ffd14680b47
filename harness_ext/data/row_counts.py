"""How many records a file has: one documented rule a file type, so that ``rows`` in a card can be checked."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import Field

_RULES = (
    "lines", "lines after a header", "csv records", "json lines", "json lists", "json( [^ ]+)?", "numbered blocks",
    "dashed blocks", "sqlite rows", "parquet rows",
)  # fmt: skip
RowRule = Annotated[str, Field(pattern=f"^({'|'.join(_RULES)})$")]
"""One of the rules of :func:`count_rows`."""

_BY_SUFFIX = {
    ".txt": "lines",
    ".tsv": "lines",
    ".yaml": "lines",
    ".csv": "csv records",
    ".jsonl": "json lines",
    ".json": "json",
    ".db": "sqlite rows",
    ".parquet": "parquet rows",
}


def default_row_rule(name: str) -> RowRule | None:
    """The usual rule for a file's suffix; ``None`` for documents (``.docx``, ``.xlsx``, …), which have no records.

    >>> default_row_rule("test_text.txt")
    'lines'
    """
    return _BY_SUFFIX.get(PurePosixPath(name).suffix.lower())


def count_rows(file: Path, rule: RowRule) -> int:
    """Records of ``file`` by ``rule``.

    ``lines``
        pieces between line feeds; a last empty piece is no line, other empty lines are.
    ``lines after a header``
        the same, less one.
    ``csv records``
        records of a comma-separated file (RFC 4180 quoting) less the header.
    ``json lines``
        lines that are not blank.
    ``json``
        entries of the outermost list or object; ``json a.*.b`` follows keys (``*``: every entry) and adds up the
        entries found there.
    ``json lists``
        entries of all JSON lists that stand one after another.
    ``numbered blocks``
        lines that consist of two integers, each of which opens a block.
    ``dashed blocks``
        lines of at least twenty hyphens, each of which closes a block.
    ``sqlite rows``
        rows of all tables together.
    ``parquet rows``
        rows as the file's footer says.

    Raises:
        ValueError: there is no such rule.
        csv.Error, json.JSONDecodeError, LookupError, sqlite3.Error, pyarrow.ArrowException: the file is not what the
            rule says.
    """
    if rule == "parquet rows":
        from pyarrow import parquet

        return int(parquet.read_metadata(file).num_rows)
    if rule == "sqlite rows":
        return _count_sqlite_rows(file)
    text = file.read_bytes().decode("utf-8-sig")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if rule == "lines":
        return len(lines)
    if rule == "lines after a header":
        return len(lines) - 1
    if rule == "csv records":
        return sum(1 for record in csv.reader(line + "\n" for line in lines) if record) - 1
    if rule == "json lines":
        return sum(1 for line in lines if line.strip())
    if rule == "numbered blocks":
        return sum(1 for line in lines if re.fullmatch(r"\d+ \d+\s*", line))
    if rule == "dashed blocks":
        return sum(1 for line in lines if re.fullmatch(r"-{20,}\s*", line))
    if rule == "json lists":
        return sum(map(len, json_lists(text)))
    name, _, keys = rule.partition(" ")
    if name != "json":
        raise ValueError(f"no such rule for counting rows: {rule!r}")
    return _count_entries([json.loads(text)], keys.split(".") if keys else [])


def json_lists(text: str) -> Iterator[list[Any]]:
    """The lists of a text that holds one after another.

    >>> list(json_lists("[1, 2] [3]"))
    [[1, 2], [3]]
    """
    decoder, place = json.JSONDecoder(), 0
    while rest := text[place:].lstrip():
        found, place = decoder.raw_decode(text, len(text) - len(rest))
        yield found


def _count_entries(nodes: list[Any], keys: Iterable[str]) -> int:
    for key in keys:
        if key == "*":
            nodes = [entry for node in nodes for entry in (node.values() if isinstance(node, dict) else node)]
        else:
            nodes = [node[key] for node in nodes]
    return sum(len(node) for node in nodes)


def _count_sqlite_rows(file: Path) -> int:
    # immutable: a read-only folder has no room for SQLite's journal
    uri = f"{file.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        quoted = (name.replace('"', '""') for name in tables)
        return sum(database.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in quoted)  # noqa: S608
