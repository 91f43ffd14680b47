"""Tables in the terminal; rich leaves colour out when the output is not one."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness_ext.leaderboards.table import Table


def show(tables: Iterable[Table], console: Console) -> None:
    """Print every table with its notes. Model names are shown as they are, never read as markup."""
    for table in tables:
        drawn = RichTable(title=Text(table.title), title_justify="left", show_lines=False, header_style="bold")
        for column in table.columns:
            drawn.add_column(Text(column.name), justify="right" if column.numeric else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*(Text(cell.text, style="bold green" if cell.best else "") for cell in row))
        console.print(drawn)
        for note in table.notes:
            console.print(Text(f"  {note}", style="dim"), highlight=False)
        console.print()
