"""Tables in the terminal; rich leaves colour out when the output is not one."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from harness_ext.leaderboards.table import Table

WIDTH_OF_FILES = 160
"""Columns of output that goes into a file or a pipe, which has no width of its own."""


def show(tables: Iterable[Table], console: Console) -> None:
    """Print every table with its notes. Model names are shown as they are, never read as markup."""
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    for table in tables:
        fitting, hidden = _fitted(table, console)
        console.print(Text(table.title, style="bold"))
        console.print(_drawn(fitting))
        for note in (*table.notes, *hidden):
            console.print(Text(f"• {note}", style="dim"), highlight=False)
        console.print()


def _fitted(table: Table, console: Console) -> tuple[Table, list[str]]:
    """The table with as many optional columns as the console has room for, and a note that names the others."""
    hidden: list[str] = []
    unlimited = console.options.update(max_width=10_000)
    while Measurement.get(console, unlimited, _drawn(table)).minimum > console.width:
        optional = [at for at, column in enumerate(table.columns) if column.optional]
        if not optional:
            break
        hidden.insert(0, table.columns[optional[-1]].name)
        table = table.without(optional[-1])
    return table, [f"Not shown, the terminal is too narrow: {', '.join(hidden)}."] if hidden else []


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in table.columns:
        drawn.add_column(
            Text(column.name.replace(" ", "\n") if column.numeric else column.name),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            min_width=None if column.numeric else 12,
            overflow="fold",
        )
    source = next((at for at, column in enumerate(table.columns) if column.name == "Source"), None)
    for row, following in zip(table.rows, [*table.rows[1:], None], strict=True):
        ends = source is not None and following is not None and following[source] != row[source]
        drawn.add_row(*(Text(cell.text, style="bold green" if cell.best else "") for cell in row), end_section=ends)
    return drawn
