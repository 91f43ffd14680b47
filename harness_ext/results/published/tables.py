"""Numbers from papers and of trivial predictors: ``leaderboards/published/*.csv`` and ``leaderboards/baselines/*.csv``.

A file has the columns of :class:`harness_ext.results.reading.frame.Row` that it needs; the others take their defaults.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import pandas as pd
from pydantic import ValidationError

from harness_ext.errors import DataError
from harness_ext.results.reading.frame import Row, to_frame

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # moved here in Python 3.11

Kind = Literal["published", "baselines"]


def load(kind: Kind, bench: str | None = None) -> pd.DataFrame:
    """The published numbers or the trivial baselines of one benchmark, or of all.

    Raises:
        DataError: a file does not follow the schema.

    >>> table = load("published", "mbtibench")
    >>> best = table[(table.model == "gpt-4o-mini") & (table.metric == "rank")]
    >>> float(best["value"].min())
    1.0
    """
    rows = (row for file in tables(kind) for row in parse(file, kind))
    return to_frame(row for row in rows if bench is None or row.bench == bench)


def tables(kind: Kind) -> list[Traversable]:
    """The files of one kind, by name."""
    folder = files("harness_ext.leaderboards") / kind
    return sorted((file for file in folder.iterdir() if file.name.endswith(".csv")), key=lambda file: file.name)


def parse(file: Traversable, kind: Kind) -> Iterator[Row]:
    """The rows of one file.

    Raises:
        DataError: a row does not follow the schema; the message names the file, the line and the column.
    """
    origin = "published" if kind == "published" else "baseline"
    with file.open("r", encoding="utf-8") as text:
        reader = csv.DictReader(text)
        for record in reader:
            known = {column: value for column, value in record.items() if value or column == "value"}
            known["value"] = known.get("value") or "nan"
            try:
                yield Row.model_validate({"origin": origin, **known})
            except (ValidationError, TypeError) as error:
                raise DataError(f"{kind}/{file.name}, line {reader.line_num}: {_first(error)}") from error


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors()[0]
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    return str(error)
