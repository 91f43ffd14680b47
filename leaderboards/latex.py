r"""Tables as LaTeX that fit a page: as small, or on its side, as it takes, and over several pages where rows need it.

Intervals stand below their numbers. A document needs ``\usepackage{array,booktabs,longtable,pdflscape}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Cell, Column, Table

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


class _Fit(NamedTuple):
    """A size of type: its command, the width of a digit in pt, and the room there is on one page of an article."""

    command: str
    digit: float
    room: float
    landscape: bool


_PORTRAIT, _LANDSCAPE = 340.0, 540.0  # pt, of the 345 and 550 of an article of 10pt on A4 or letter paper
_FITS = (
    _Fit(r"\small", 4.65, _PORTRAIT, False),
    _Fit(r"\footnotesize", 4.25, _PORTRAIT, False),
    _Fit(r"\small", 4.65, _LANDSCAPE, True),
    _Fit(r"\footnotesize", 4.25, _LANDSCAPE, True),
    _Fit(r"\scriptsize", 3.95, _LANDSCAPE, True),
    _Fit(r"\tiny", 3.4, _LANDSCAPE, True),
)
_GAP = 6.0  # pt between columns
_WORDS = 24
"""Characters after which text is broken into lines, and the fewest when there is no room."""
_FEWEST = 10
_LETTER = 1.15
"""Width of a letter in digits, on average and with room to spare."""
_BREAKS = re.compile(r"(?<=[-/_.])(?=\w)")
_WORD = re.compile(r"[^\s\-/_.]+[-/_.]?")


def render(tables: Iterable[Table]) -> str:
    r"""One ``longtable`` a table, notes below it; text from models and files is escaped.

    A table that is too wide even so says so in a comment: choose its columns by name (``--columns``). Letters beyond
    Latin need LuaLaTeX or XeLaTeX and a font that has them.

    >>> from harness_ext.leaderboards.table import number
    >>> table = Table("T", (Column("Model", numeric=False), Column("acc")), ((Cell("a_b"), number(0.5, best=True)),))
    >>> print(render([table]))
    % needs \usepackage{array,booktabs,longtable,pdflscape}
    <BLANKLINE>
    {\small\setlength{\tabcolsep}{3pt}
    \begin{longtable}{>{\raggedright\arraybackslash}p{27pt}r}
    \caption{T}\\
    \toprule
    Model & acc \\
    \midrule
    \endfirsthead
    \toprule
    Model & acc \\
    \midrule
    \endhead
    \bottomrule
    \endlastfoot
    a\_\allowbreak{}b & \textbf{0.50} \\
    \end{longtable}
    }
    <BLANKLINE>
    """
    return "\n".join(["% needs \\usepackage{array,booktabs,longtable,pdflscape}\n", *map(_environment, tables)])


def _environment(whole: Table) -> str:
    table, found = whole, _fitted(whole)
    while found is None and (narrower := table.narrower()):
        table, found = narrower, _fitted(narrower)
    fit, texts = found or (_FITS[-1], {at: 60.0 for at, column in enumerate(table.columns) if not column.numeric})
    hidden = ", ".join(dict.fromkeys(column.name for column in whole.columns if column not in table.columns))
    notes = (*table.notes, *([f"Not shown, the page is too narrow: {hidden}."] if hidden else []))
    kinds = [
        rf">{{\raggedright\arraybackslash}}p{{{texts[at]:.0f}pt}}" if at in texts else "r"
        for at in range(len(table.columns))
    ]
    head = [r"\toprule", _line(map(_heading, table.columns)), r"\midrule"]
    lines = [
        *([r"\begin{landscape}"] if fit.landscape else []),
        rf"{{{fit.command}\setlength{{\tabcolsep}}{{{_GAP / 2:.0f}pt}}",
        rf"\begin{{longtable}}{{{''.join(kinds)}}}",
        rf"\caption{{{escape(table.title)}}}\\",
        *head,
        r"\endfirsthead",
        *head,
        r"\endhead",
        r"\bottomrule",
        r"\endlastfoot",
        *_body(table),
        r"\end{longtable}",
        *(rf"\par\noindent\footnotesize\raggedright {_breakable(note)}\par" for note in notes),
        "}",
        *([r"\end{landscape}"] if fit.landscape else []),
    ]
    return "\n".join(lines) + "\n"


def _fitted(table: Table) -> tuple[_Fit, dict[int, float]] | None:
    """The largest type in which the table fits a page, upright if it can be, and the width of its columns of text."""
    numbers, least, most = 0, {}, {}
    for at, column in enumerate(table.columns):
        texts = [column.name, *(row[at].text for row in table.rows)]
        if column.numeric:
            pieces = (piece.strip() for row in table.rows for piece in row[at].pieces)
            numbers += max(map(len, (*column.name.split(), *pieces)))
        else:
            longest = max(map(len, texts))
            words = (word for text in texts for word in _WORD.findall(text))
            most[at] = min(longest, _WORDS)
            least[at] = max(min(longest, _FEWEST), max(map(len, words), default=0))
    for fit in _FITS:
        letter = fit.digit * _LETTER
        room = fit.room - numbers * fit.digit - _GAP * len(table.columns)
        if letter * sum(max(least[at], most[at]) for at in most) <= room:
            return fit, {at: letter * max(least[at], most[at]) for at in most}
        if letter * sum(least.values()) <= room and fit.landscape:
            spare = (room - letter * sum(least.values())) / len(least)
            return fit, {at: letter * least[at] + spare for at in least}
    return None


def _body(table: Table) -> Iterable[str]:
    """The rows, with a rule where the source of the numbers changes."""
    source = next((at for at, column in enumerate(table.columns) if column.name == "Source"), None)
    before = None
    for row in table.rows:
        if source is not None and before is not None and row[source].text != before:
            yield r"\midrule"
        before = None if source is None else row[source].text
        yield _line(_cell(cell, column.numeric) for cell, column in zip(row, table.columns, strict=True))


def _heading(column: Column) -> str:
    return _stacked(list(map(escape, column.name.split()))) if column.numeric else escape(column.name)


def _line(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cell(cell: Cell, numeric: bool) -> str:
    if not numeric:
        pieces = [_breakable(cell.text)]
    else:
        pieces = [escape(_NEGATIVE.sub("−", piece.strip())) for piece in cell.pieces]
    if cell.best:
        pieces[0] = rf"\textbf{{{pieces[0]}}}"
    return _stacked(pieces)


def _breakable(text: str) -> str:
    """Text that may also be broken within names and paths."""
    return r"\allowbreak{}".join(map(escape, _BREAKS.split(visible(text))))


def _stacked(lines: Sequence[str]) -> str:
    """Lines one below the other, the first at the height of its neighbours."""
    if len(lines) < 2:
        return "".join(lines)
    stack = r"\\".join(lines)
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{stack}\end{{tabular}}"


def escape(text: str) -> str:
    r"""Text as TeX sets it, sign by sign; control characters are shown, not obeyed.

    >>> escape("50 % of $x_1 & more")
    '50 \\% of \\$x\\_1 \\& more'
    """
    return _BETWEEN_HYPHENS.sub("{}", visible(text).translate(_ESCAPES))
