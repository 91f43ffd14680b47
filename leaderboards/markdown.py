"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Cell, Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\\", "|": r"\|", "\n": " ", "\t": " ", "<": "&lt;", "&": "&amp;", "*": r"\*", "`": r"\`", "[": r"\[",
        "]": r"\]", "~": r"\~",
    }
)  # fmt: skip
# What GitHub reads as markup without any sign around it: emphasis at the edge of a word, and addresses.
_BARE = re.compile(r"(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|@", re.IGNORECASE)


def render(tables: Iterable[Table]) -> str:
    """One section a table; text from models and files is escaped.

    >>> from harness_ext.leaderboards.table import Column, number
    >>> table = Table("T", (Column("Model", numeric=False), Column("acc")), ((Cell("a|b"), number(0.5, best=True)),))
    >>> print(render([table]))
    ## T
    <BLANKLINE>
    | Model | acc |
    | :--- | ---: |
    | a\\|b | **0.50** |
    <BLANKLINE>
    """
    return "\n".join(_section(table) for table in tables)


def _section(table: Table) -> str:
    lines = [
        f"## {escape(table.title)}",
        "",
        _line(escape(column.name) for column in table.columns),
        _line("---:" if column.numeric else ":---" for column in table.columns),
        *(_line(map(_cell, row)) for row in table.rows),
    ]
    if table.notes:
        lines += ["", *(f"- {escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    return f"**{escape(cell.text)}**" if cell.best else escape(cell.text)


def escape(text: str) -> str:
    r"""Text as Markdown prints it, sign by sign: no markup, no link, no HTML, no control character.

    >>> escape("[a](https://b.c) _d_ e_f <g>")
    '\\[a\\](https\\://b.c) \\_d\\_ e_f &lt;g>'
    """
    return _BARE.sub(r"\\\g<0>", visible(text).translate(_ESCAPES))
