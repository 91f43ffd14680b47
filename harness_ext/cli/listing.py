"""How commands list things: a table on a terminal, lines with tabs in a pipe, JSON for another program."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from harness_ext.cli.saying import plain


def print_json(value: object) -> None:
    """Print a value as JSON."""
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """A rich table on a terminal; tab-separated lines for a pipe, so that no cell is ever cut.

    Args:
        header: of each column.
        rows: cells; what a terminal would obey in them is spelled out.
        numbers: columns that are set to the right.
    """
    import sys

    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [header, *cells]:
            typer.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for number, column in enumerate(header):
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=number == 0, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text: a name with brackets is not markup
    Console().print(table)
