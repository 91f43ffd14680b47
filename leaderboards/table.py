"""What every renderer draws: a titled table of cells with notes below it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import compress
from typing import Literal, NamedTuple

import pandas as pd

from harness_ext.errors import InputError
from harness_ext.leaderboards.printable import visible
from harness_ext.results.derived import definition, delta_to_base
from harness_ext.results.reading.frame import Row

Kind = Literal["benchmark", "sample"]

_BEFORE_INTERVAL = re.compile(r"(?= \[[−+\-\d])|(?<=\]/)(?=\[)")


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the number behind it (to sort by; NaN for none) and whether it is the best of its column."""

    text: str
    value: float = math.nan
    best: bool = False
    low: float = math.nan
    """Lower end of the number's interval; NaN where it has none."""
    high: float = math.nan

    @property
    def pieces(self) -> list[str]:
        """The number and its intervals, each on a line of its own where there is little room.

        >>> Cell("2.66/2.29 [2.55, 2.78]/[2.20, 2.40]").pieces
        ['2.66/2.29', ' [2.55, 2.78]/', '[2.20, 2.40]']
        """
        return _BEFORE_INTERVAL.split(self.text)


@dataclass(frozen=True)
class Column:
    """A column's heading, whether it holds numbers (aligned to the right) and whether a narrow terminal may hide it."""

    name: str
    numeric: bool = True
    optional: int = False
    """Of several the largest number is hidden first, of equal ones the last column."""


@dataclass(frozen=True)
class Table:
    """A comparison table. ``kind`` is ``benchmark`` for scores and ``sample`` for runs on the bundled sample data."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    kind: Kind = "benchmark"
    bench: str = ""
    """Whose table it is."""

    def compact(self) -> Table:
        """The table without columns that say nothing in any row."""
        if not self.rows:
            return self
        filled = [any(row[at].text not in ("", NOTHING.text) for row in self.rows) for at in range(len(self.columns))]
        return self.of(filled)

    def narrower(self) -> Table | None:
        """The table without the column that is hidden first where there is no room; None if none may be hidden."""
        optional = [(column.optional, at) for at, column in enumerate(self.columns) if column.optional]
        if not optional:
            return None
        _, first = max(optional)
        return self.of([at != first for at in range(len(self.columns))])

    def of(self, chosen: Sequence[bool]) -> Table:
        """The table of some of its columns, one flag each."""
        rows = tuple(tuple(compress(row, chosen)) for row in self.rows)
        return replace(self, columns=tuple(compress(self.columns, chosen)), rows=rows)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame: the numbers of numeric columns (NaN for none), the texts of the others.

        >>> table = Table("T", (Column("Model", numeric=False), Column("acc")), ((Cell("a"), number(0.5)),))
        >>> table.to_pandas().to_dict("records")
        [{'Model': 'a', 'acc': 0.5}]
        """
        rows = [
            [cell.value if column.numeric else cell.text for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]
        return pd.DataFrame(rows, columns=[column.name for column in self.columns])

    def _repr_html_(self) -> str:
        """The table as a notebook shows it; nothing from a model or a file is markup or mathematics there."""
        head = "".join(f"<th>{_escaped(column.name)}</th>" for column in self.columns)
        rows = ["".join(f"<{'th' if cell.best else 'td'}>{_escaped(cell.text)}" for cell in row) for row in self.rows]
        notes = "".join(f"<li>{_escaped(note)}</li>" for note in self.notes)
        return (
            f'<div class="tex2jax_ignore mathjax_ignore"><h4>{_escaped(self.title)}</h4><table><thead><tr>{head}</tr>'
            f"</thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table><ul>{notes}</ul></div>"
        )


def _escaped(text: str) -> str:
    return html.escape(visible(text))


NOTHING = Cell("–")


def selected(tables: Iterable[Table], rows: Sequence[str], columns: Sequence[str]) -> list[Table]:
    """The tables of the rows and columns that were asked for by name; tables without any such row are left out.

    Args:
        tables: any tables.
        rows: patterns (``*`` and ``?`` as of a shell, in any case), one of which a text of the row must be; none for
            all rows.
        columns: patterns of headings without their arrow; the first column is always shown. None for all columns.

    Raises:
        InputError: nothing is like a pattern.
    """
    found = list(tables)
    texts = {cell.text for table in found for row in table.rows for cell in _texts(table, row)}
    heads = {_plain_heading(column) for table in found for column in table.columns}
    for kind, patterns, known in (("row", rows, texts), ("column", columns, heads)):
        for pattern in patterns:
            if not any(_like(name, [pattern]) for name in known):
                some = ", ".join(sorted(filter(None, known))[:30])
                raise InputError(f"no {kind} is called {pattern!r}; there are {some}. * stands for any characters.")
    if rows:
        kept = (
            (table, tuple(row for row in table.rows if any(_like(cell.text, rows) for cell in _texts(table, row))))
            for table in found
        )
        found = [replace(table, rows=own) for table, own in kept if own]
    if columns:
        found = [
            table.of([at == 0 or _like(_plain_heading(column), columns) for at, column in enumerate(table.columns)])
            for table in found
        ]
    return found


def _texts(table: Table, row: Sequence[Cell]) -> list[Cell]:
    return [cell for cell, column in zip(row, table.columns, strict=True) if not column.numeric]


def _plain_heading(column: Column) -> str:
    return column.name.rstrip("↑↓ \u00a0")


def _like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)


class Entry(NamedTuple):
    """What stays the same along one line of a table: who was measured, and with which settings."""

    origin: str
    model: str
    method: str
    base: str
    variant: str
    filter: str
    cap: str
    prompt_pack: str
    setting: str
    judge: str
    judge_version: str
    shots: str

    @classmethod
    def of(cls, row: Row) -> Entry:
        """The line that a number belongs to."""
        shots = f"{row.num_fewshot:.0f}-shot" if row.num_fewshot > 0 else ""
        return cls._make([*(getattr(row, name) for name in cls._fields[:-1]), shots])

    @property
    def measured(self) -> bool:
        """Whether the numbers come from a result file."""
        return self.origin == "measured"

    @property
    def name(self) -> str:
        """Model and what was done to it."""
        if self.method and self.base:
            return f"{self.model} ({self.method} of {self.base})"
        return " + ".join(part for part in (self.model, self.method) if part)

    @property
    def label(self) -> str:
        """Model, method and settings in one phrase.

        >>> Entry.of(Row(origin="measured", model="m", bench="b", task="t", cap="50", metric="a", value=1)).label
        'm (cap 50)'
        """
        return f"{self.name} ({self.words()})" if self.words() else self.name

    def called(self, name: str) -> bool:
        """Whether a table names the line so, with its settings or without."""
        return name in (self.model, self.name, self.label)

    def words(self, rows: Sequence[Row] = ()) -> str:
        """The settings in words, with a warning where ``rows`` do not cover all docs.

        >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="acc", value=1, n=40, n_total=50)
        >>> Entry.of(row).words([row])
        'first 40 of 50 docs'
        """
        named = (
            ("", self.variant),
            ("filter", self.filter.removeprefix("none") if self.filter != self.judge else ""),
            ("cap", self.cap),
            ("pack", self.prompt_pack),
            ("judge", f"{self.judge} ({self.judge_version})" if self.judge_version else self.judge),
            ("", self.shots),
            ("", self.setting),
        )
        words = [f"{name} {value}".strip() for name, value in named if value]
        cut = [row for row in rows if row.n < row.n_total]
        sizes = {(row.n, row.n_total) for row in cut}
        if len(sizes) == 1:
            words.append(f"first {cut[0].n:.0f} of {cut[0].n_total:.0f} docs")
        elif sizes:
            words.append("only the first docs of " + ("all parts" if len(cut) == len(rows) else "some parts"))
        return ", ".join(words)


def lines(rows: Iterable[Row]) -> dict[Entry, list[Row]]:
    """The rows of each line of a table, in the order in which the lines first appear."""
    found: dict[Entry, list[Row]] = {}
    for row in rows:
        found.setdefault(Entry.of(row), []).append(row)
    return found


class Groups(NamedTuple):
    """What the figure of groups compares: a benchmark's ``table.groups(rows)``, or lm-eval's groups."""

    title: str
    values: dict[tuple[str, Entry], float]
    """By group and line; groups are drawn in the order in which they first appear."""


SOURCES = {"measured": "measured", "baseline": "trivial", "published": "published"}
"""How tables call the origin of a row, in the order in which they list them."""


def kinds(rows: Sequence[Row]) -> list[tuple[Kind, list[Row]]]:
    """Benchmark scores and sample-data runs, apart; published rows belong to the benchmark."""
    parts: list[tuple[Kind, list[Row]]] = [
        ("benchmark", [row for row in rows if row.data == "real"]),
        ("sample", [row for row in rows if row.data == "sample"]),
    ]
    return [(kind, part) for kind, part in parts if part]


def title(words: str, kind: Kind) -> str:
    """The title of a table, which says so when the numbers are no benchmark scores."""
    return words if kind == "benchmark" else f"{words}, on the bundled sample data: no benchmark scores"


def number(value: float, digits: int = 2, *, best: bool = False) -> Cell:
    """A number as a cell; NaN is an en dash.

    >>> number(2.6628).text, number(float("nan")).text
    ('2.66', '–')
    """
    return Cell(f"{value:.{digits}f}", value, best) if math.isfinite(value) else NOTHING


INTERVALS = (
    "[low, high]: 95 % bootstrap interval over docs; none where all docs are alike, because drawing them again then "
    "shows nothing."
)

_REAL = " *"
"""Behind a difference that is real."""


def score(row: Row | None, digits: int = 2, *, best: bool = False) -> Cell:
    """A measured number with its interval.

    >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="acc", value=0.5, low=0.412, high=0.588)
    >>> score(row).text, score(None).text
    ('0.50 [0.41, 0.59]', '–')
    """
    if row is None or not math.isfinite(row.value):
        return NOTHING
    return Cell(f"{row.value:.{digits}f}{bounds(row)}", row.value, best, row.low, row.high)


def share(row: Row | None) -> Cell:
    """A measured share in [0, 1] with its interval, in percent.

    >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="acc", value=0.5, low=0.412, high=0.588)
    >>> share(row).text
    '50.0 % [41.2, 58.8]'
    """
    if row is None or not math.isfinite(row.value):
        return NOTHING
    hundred = row.model_copy(update={"low": 100 * row.low, "high": 100 * row.high})
    return Cell(f"{percent(row.value).text}{bounds(hundred)}", row.value, low=row.low, high=row.high)


def docs(rows: Iterable[Row]) -> Cell:
    """How many docs were scored, and of how many where that is not all; the range where parts differ.

    >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="acc", value=0.5, n=40, n_total=286)
    >>> docs([row]).text, docs([row, row.model_copy(update={"n": 9, "n_total": 9})]).text
    ('40 of 286', '9–40 of 9–286')
    """
    counted = [row for row in rows if math.isfinite(row.n)]
    if not counted:
        return NOTHING

    def ends(values: Sequence[float]) -> str:
        return f"{min(values):.0f}" + (f"–{max(values):.0f}" if min(values) < max(values) else "")

    scored = [row.n for row in counted]
    cut = any(row.n < row.n_total for row in counted)
    of = f" of {ends([row.n_total for row in counted])}" if cut else ""
    return Cell(f"{ends(scored)}{of}", min(scored))


def base_of(mine: Row, rows: Iterable[Row]) -> Row | None:
    """The same number of the model that a number's own started from, under the same settings."""
    settings = ("task", "part", "metric", "filter", "variant", "cap", "prompt_pack", "judge", "n", "data")
    for row in rows if mine.base else ():
        if row.origin == "measured" and all(getattr(row, name) == getattr(mine, name) for name in settings):
            entry = Entry.of(row)  # a base that is named with its settings need not share them
            if mine.base == entry.label or (row.setting == mine.setting and entry.called(mine.base)):
                return row
    return None


def to_base(mine: Row | None, rows: Iterable[Row], digits: int = 2) -> Cell:
    """How far a number is from the same number of its base model, with the interval of the paired difference.

    A difference whose interval leaves out 0 is marked as real (:data:`TO_BASE`). Runs on some docs are compared too,
    because :func:`base_of` asks for as many; what the bundled sample gives is a difference on the sample.
    """
    base = base_of(mine, rows) if mine is not None else None
    if mine is None or base is None or not math.isfinite(mine.value - base.value):
        return NOTHING
    delta = delta_to_base(mine.value, base.value)
    ends = mine.model_copy(update={"low": mine.delta_low, "high": mine.delta_high})
    mark = _REAL if mine.delta_low > 0 or mine.delta_high < 0 else ""
    text = f"{delta:+.{digits}f}{bounds(ends, sign='+')}{mark}"
    return Cell(text, delta, low=mine.delta_low, high=mine.delta_high)


TO_BASE = (
    f"{definition(delta_to_base)} [low, high]: of the paired difference; *: real, 0 lies outside it. Where nothing "
    "differs, one number in 20 gets a * by chance; harness-ext compare corrects for that."
)


def bounds(row: Row, *, sign: str = "") -> str:
    """The interval of a number as it stands behind it in a cell; empty where there is none.

    >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="acc", value=0.5, low=0.412, high=0.588)
    >>> f"{row.value:.4f}{bounds(row)}", bounds(row.model_copy(update={"low": 41.2, "high": 58.84}))
    ('0.5000 [0.41, 0.59]', ' [41.2, 58.8]')
    """
    if not row.low < row.high:
        return ""
    digits = 2 if max(abs(row.low), abs(row.high)) < 10 else 1
    return f" [{row.low:{sign}.{digits}f}, {row.high:{sign}.{digits}f}]"


def percent(share: float) -> Cell:
    """A share in [0, 1] as a cell in percent.

    >>> percent(1.0).text
    '100.0 %'
    """
    return Cell(f"{100 * share:.1f} %", share) if math.isfinite(share) else NOTHING


def unique(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes without repetitions, in order."""
    return tuple(dict.fromkeys(note for note in notes if note))
