"""Tables in the terminal; rich leaves colour out when the output is not one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Cell, Column, Table

WIDTH_OF_FILES = 160
"""Columns of output that goes into a file or a pipe, which has no width of its own."""

NARROWEST = 12
"""Text is folded down to this width before a column is hidden."""

_HEADING = 15
"""Words of a heading over numbers are folded down to this width."""
_NARROW = 6  # below that a terminal is too narrow for the table, and its lines break
_GAP = 3  # between two columns: padding on either side and the box


def show(tables: Iterable[Table], console: Console) -> None:
    """Print every table with its notes. Model names are shown as they are, never read as markup."""
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    for table in map(_printable, tables):
        whole = sum(_natural(table)) + _GAP * len(table.columns) <= console.width
        fitting, hidden = _fitted(table if whole else _broken(table), console.width)
        console.print(Text(table.title, style="bold"))
        if _least(fitting) > console.width:
            # Nothing is left to hide: one value a line can be read, and words folded to a few letters cannot.
            hidden = []
            console.print(_listed(table))
        else:
            console.print(_drawn(fitting, console), soft_wrap=True, highlight=False)
        for note in (*table.notes, *hidden):
            console.print(Text(f"• {note}", style="dim"), highlight=False)
        console.print()


def _printable(table: Table) -> Table:
    """The table without a character that a terminal would obey."""

    def shown(cell: Cell) -> Cell:
        return replace(cell, text=visible(cell.text))

    return replace(
        table,
        title=visible(table.title),
        columns=tuple(replace(column, name=visible(column.name)) for column in table.columns),
        rows=tuple(tuple(map(shown, row)) for row in table.rows),
        notes=tuple(map(visible, table.notes)),
    )


def _broken(table: Table) -> Table:
    """The table with intervals below their numbers: half as wide."""
    rows = (tuple(replace(cell, text="\n".join(map(str.strip, cell.pieces))) for cell in row) for row in table.rows)
    return replace(table, rows=tuple(rows))


def _fitted(table: Table, width: int) -> tuple[Table, list[str]]:
    """The table with as many optional columns as there is room for, and a note that names the others."""
    fitting = table
    while sum(_narrowest(fitting)) + _GAP * len(fitting.columns) > width and (narrower := fitting.narrower()):
        fitting = narrower
    hidden = ", ".join(column.name for column in table.columns if column not in fitting.columns)
    return fitting, [f"Not shown, the terminal is too narrow: {hidden}."] if hidden else []


def _natural(table: Table) -> list[int]:
    """The width at which nothing is folded; headings of numbers may break between words and at joints of names."""
    return [
        max(
            cell_len(text)
            for text in (
                *(_with_joints(column.name, _HEADING).split() if column.numeric else [column.name]),
                *(line for row in table.rows for line in row[at].text.split("\n")),
            )
        )
        for at, column in enumerate(table.columns)
    ]


def _narrowest(table: Table) -> list[int]:
    return [
        natural if column.numeric else min(natural, NARROWEST)
        for column, natural in zip(table.columns, _natural(table), strict=True)
    ]


def _least(table: Table) -> int:
    """The width below which words would be folded to a few letters."""
    widths = (
        natural if column.numeric else min(natural, _NARROW)
        for column, natural in zip(table.columns, _natural(table), strict=True)
    )
    return sum(widths) + _GAP * len(table.columns)


def _listed(table: Table) -> RichTable:
    """Each row as a list of its columns that say something, which any terminal has room for."""
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, show_header=False)
    drawn.add_column(overflow="fold")
    drawn.add_column(overflow="fold")
    for row in table.rows:
        said = [(column, cell) for column, cell in zip(table.columns, row, strict=True) if cell.text not in ("", "–")]
        for column, cell in said:
            value = Text(cell.text, style="bold green" if cell.best else "")
            drawn.add_row(Text(column.name, style="dim"), value)
        drawn.add_section()
    return drawn


def _drawn(table: Table, console: Console) -> Text:
    """What rich draws with ``box.SIMPLE_HEAD``, in a fraction of the time: it measures and wraps every cell again."""
    # rich would squeeze columns of numbers, too: give what is left to the columns of text that need it most.
    widths = _narrowest(table)
    texts = [at for at, column in enumerate(table.columns) if not column.numeric]
    while (spare := console.width - sum(widths) - _GAP * len(widths)) < 0 and any(widths[at] > _NARROW for at in texts):
        widths[max(texts, key=lambda at: widths[at])] -= 1
    natural = _natural(table)
    for _ in range(min(spare, sum(natural) - sum(widths))):
        widths[max(texts, key=lambda at: natural[at] / widths[at])] += 1
    whole_words = [max(map(cell_len, column.name.split()), default=0) for column in table.columns]
    for at, (column, needed) in enumerate(zip(table.columns, whole_words, strict=True)):
        if column.numeric and 0 < needed - widths[at] <= console.width - sum(widths) - _GAP * len(widths):
            widths[at] = needed
    columns = list(zip(table.columns, widths, strict=True))

    def line(cells: Sequence[str], styles: Sequence[str]) -> Iterator[tuple[str, str]]:
        for at, (cell, style) in enumerate(zip(cells, styles, strict=True)):
            yield "   " if at else " ", ""
            yield cell, style
        yield " \n", ""

    names = [
        _with_joints(column.name, _HEADING) if column.numeric and needed > width else column.name
        for (column, width), needed in zip(columns, whole_words, strict=True)
    ]
    heads = [_lines(name, *column, console) for name, column in zip(names, columns, strict=True)]
    height = max(map(len, heads))
    heads = [[" " * width] * (height - len(own)) + own for own, width in zip(heads, widths, strict=True)]
    whole = sum(widths) + _GAP * len(widths) - 1
    pieces = [piece for cells in zip(*heads, strict=True) for piece in line(cells, ["bold"] * len(cells))]
    pieces.append(("─" * whole + "\n", ""))
    source = next((at for at, column in enumerate(table.columns) if column.name == "Source"), None)
    for row, following in zip_longest(table.rows, table.rows[1:]):
        styles = ["bold green" if cell.best else "" for cell in row]
        folded = [_lines(cell.text, *column, console) for cell, column in zip(row, columns, strict=True)]
        for at in range(max(map(len, folded))):
            cells = [own[at] if at < len(own) else " " * width for own, width in zip(folded, widths, strict=True)]
            pieces += line(cells, styles)
        if source is not None and following is not None and following[source] != row[source]:
            pieces.append((" " * whole + "\n", ""))
    drawn = Text.assemble(*pieces)
    drawn.right_crop()
    return drawn


def _lines(text: str, column: Column, width: int, console: Console) -> list[str]:
    """The lines of a cell, each as wide as its column."""
    text = text.rstrip(" ") if column.numeric else text
    spaces = width - cell_len(text)
    if spaces < 0 or "\n" in text or "\t" in text:
        text = text if column.numeric else _with_joints(text, width)
        wrapped = Text(text).wrap(console, width, justify="right" if column.numeric else "left", overflow="fold")
        return [line.plain for line in wrapped]
    return [" " * spaces + text if column.numeric else text + " " * spaces]


def _with_joints(text: str, width: int) -> str:
    """The text with spaces in words that are wider, where a name has a joint.

    >>> _with_joints("smollm2-135m-instruct-q4_1 (chat template)", 14)
    'smollm2-135m- instruct-q4_1 (chat template)'
    """

    def broken(word: re.Match[str]) -> str:
        lines = [""]
        for piece in re.findall(r"[^-_/]*[-_/]?", word[0]):
            if cell_len(lines[-1] + piece) > width and lines[-1]:
                lines.append("")
            lines[-1] += piece
        return " ".join(lines)

    return re.sub(r"\S+", lambda word: broken(word) if cell_len(word[0]) > width else word[0], text)
