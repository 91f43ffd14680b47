"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from harness_ext.leaderboards.table import Cell, Table

_ESCAPES = str.maketrans(
    {"|": r"\|", "\n": " ", "\r": " ", "<": "&lt;", "*": r"\*", "`": r"\`", "[": r"\[", "]": r"\]"}
)


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
        f"## {_escape(table.title)}",
        "",
        _line(_escape(column.name) for column in table.columns),
        _line("---:" if column.numeric else ":---" for column in table.columns),
        *(_line(map(_cell, row)) for row in table.rows),
    ]
    if table.notes:
        lines += ["", *(f"- {_escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    return f"**{_escape(cell.text)}**" if cell.best else _escape(cell.text)


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
