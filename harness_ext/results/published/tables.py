"""Numbers from papers and of trivial predictors.

They are in ``leaderboards/published/<bench>.csv`` and ``leaderboards/baselines/<bench>.csv``; a benchmark of another
package brings ``published.csv`` and ``baselines.csv`` in its own folder.

A file has the columns of :class:`harness_ext.results.reading.frame.Row` that it needs; the others take their defaults.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd
from pydantic import ValidationError

from harness_ext.errors import DataError
from harness_ext.results import benches
from harness_ext.results.reading.frame import Row, to_frame

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # moved here in Python 3.11

Kind = Literal["published", "baselines"]


class Source(NamedTuple):
    """One file of numbers."""

    bench: str
    file: Traversable
    place: str
    """What a message calls the file."""


def load(kind: Kind, bench: str | None = None) -> pd.DataFrame:
    """The published numbers or the trivial baselines of one benchmark, or of all.

    Raises:
        DataError: a file does not follow the schema.

    >>> table = load("published", "mbtibench")
    >>> best = table[(table.model == "gpt-4o-mini") & (table.metric == "rank")]
    >>> float(best["value"].min())
    1.0
    """
    sources = (source for source in tables(kind) if bench in (None, source.bench))
    rows = (row for source in sources for row in parse(source, kind))
    return to_frame(row for row in rows if bench is None or row.bench == bench)


def tables(kind: Kind) -> list[Source]:
    """The files of one kind: ours by name, then those that benchmarks bring."""
    ours = sorted((files("harness_ext.leaderboards") / kind).iterdir(), key=lambda file: file.name)
    ours = [file for file in ours if file.name.endswith(".csv")]
    found = [Source(file.name.removesuffix(".csv"), file, f"{kind}/{file.name}") for file in ours]
    brought = ((bench, home.folder / f"{kind}.csv") for bench, home in benches.homes().items())
    return [*found, *(Source(bench, file, str(file)) for bench, file in brought if file.is_file())]


def parse(source: Source, kind: Kind) -> Iterator[Row]:
    """The rows of one file.

    Raises:
        DataError: a row does not follow the schema; the message names the file, the line and the column.
    """
    origin = "published" if kind == "published" else "baseline"
    with source.file.open("r", encoding="utf-8") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            for record in reader:
                known = {column: value for column, value in record.items() if value or column == "value"}
                known["value"] = known.get("value") or "nan"
                yield Row.model_validate({"origin": origin, **known})
        except (ValidationError, TypeError, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{source.place}, line {reader.line_num}: {_first(error)}") from error


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors()[0]
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    return str(error)
