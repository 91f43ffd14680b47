"""The tidy frame as CSV that a spreadsheet shows and never runs."""

from __future__ import annotations

import re

import pandas as pd

from harness_ext.leaderboards.printable import visible

# A cell that begins so is a formula to spreadsheets, also behind blanks.
_FORMULA = re.compile(r"^\s*[=+\-@\t\r]")


def render(frame: pd.DataFrame) -> str:
    """One line a row; numbers as they are, text from models and files escaped.

    >>> print(render(pd.DataFrame({"model": ["=1+1", "a"], "value": [-0.5, 1.0]})), end="")
    model,value
    '=1+1,-0.5
    a,1.0
    """
    texts = [name for name, kind in frame.dtypes.items() if pd.api.types.is_string_dtype(kind)]
    return str(frame.assign(**{str(name): frame[name].map(escape) for name in texts}).to_csv(index=False))


def escape(value: object) -> object:
    """A text with a quote before what would make it a formula, and its control characters seen, not obeyed.

    A carriage return would even end the line: pandas quotes no cell for it. Anything else is left alone.

    >>> escape("-2+3"), escape("a-b"), escape(-2.0), escape("a\\rb")
    ("'-2+3", 'a-b', -2.0, 'a␍b')
    """
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if _FORMULA.match(value) else visible(value)
