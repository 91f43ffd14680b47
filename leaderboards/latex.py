r"""Tables as LaTeX with booktabs: ``\usepackage{booktabs}`` is all that a document needs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Cell, Table

_SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # never an option of the line end before it
    "]": "{]}",
    "*": "{*}",
    "\n": " ",
    "\t": " ",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "κ": r"$\kappa$",
    "…": r"\dots{}",
    "\u00a0": "~",
    "\u202f": r"\,",
}
_ESCAPES = str.maketrans(_SIGNS)
_BETWEEN_HYPHENS = re.compile(r"(?<=-)(?=-)")
_NEGATIVE = re.compile(r"(?<![\w.])-(?=\d)")


def render(tables: Iterable[Table]) -> str:
    r"""One ``table`` environment a table, notes below it; text from models and files is escaped.

    Letters beyond Latin need LuaLaTeX or XeLaTeX and a font that has them.

    >>> from harness_ext.leaderboards.table import Column, number
    >>> table = Table("T", (Column("Model", numeric=False), Column("acc")), ((Cell("a_b"), number(0.5, best=True)),))
    >>> print(render([table]))
    % needs \usepackage{booktabs}
    <BLANKLINE>
    \begin{table}
    \centering
    \caption{T}
    \begin{tabular}{lr}
    \toprule
    Model & acc \\
    \midrule
    a\_b & \textbf{0.50} \\
    \bottomrule
    \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    return "\n".join(["% needs \\usepackage{booktabs}\n", *map(_environment, tables)])


def _environment(table: Table) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in table.columns)}}}",
        r"\toprule",
        _line(escape(column.name) for column in table.columns),
        r"\midrule",
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _body(table: Table) -> Iterable[str]:
    """The rows, with a rule where the source of the numbers changes."""
    source = next((at for at, column in enumerate(table.columns) if column.name == "Source"), None)
    before = None
    for row in table.rows:
        if source is not None and before is not None and row[source].text != before:
            yield r"\midrule"
        before = None if source is None else row[source].text
        yield _line(_cell(cell, column.numeric) for cell, column in zip(row, table.columns, strict=True))


def _notes(notes: Iterable[str]) -> Iterable[str]:
    lines = [f"{escape(note)}\\par" for note in notes]
    if lines:
        yield from (r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", *lines, r"\end{minipage}")


def _line(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cell(cell: Cell, numeric: bool) -> str:
    text = escape(_NEGATIVE.sub("−", cell.text) if numeric else cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text


def escape(text: str) -> str:
    r"""Text as TeX sets it, sign by sign; control characters are shown, not obeyed.

    >>> escape("50 % of $x_1 & more")
    '50 \\% of \\$x\\_1 \\& more'
    """
    return _BETWEEN_HYPHENS.sub("{}", visible(text).translate(_ESCAPES))
