"""The notebook in ``examples/`` runs and shows what it gives; run as a script, this file executes it anew."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "from_python.ipynb"


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with fresh outputs: of each code cell what it prints and what its last line gives."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    for count, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            lines = ast.parse("".join(cell["source"]))
            last = lines.body.pop() if isinstance(lines.body[-1], ast.Expr) else None
            printed, outputs = io.StringIO(), []
            with contextlib.redirect_stdout(printed):
                exec(compile(lines, NOTEBOOK.name, "exec"), names)
                value = eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names) if last else None
            if printed.getvalue():
                outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
            if value is not None:
                shown = {"text/plain": repr(value)}
                if hasattr(value, "_repr_html_"):
                    shown["text/html"] = value._repr_html_()
                outputs.append(
                    {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": shown}
                )
            cell = {**cell, "execution_count": count, "outputs": outputs}
        cells.append(cell)
    return {**notebook, "cells": cells}


def told(notebook: dict[str, Any]) -> list[str]:
    """What each cell shows as text; seconds and blanks aside, which differ between machines and versions of pandas."""
    texts = [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
    ]
    return [" ".join(re.sub(r"in \d+ s,", "in some time,", text).split()) for text in texts]


def test_the_notebook_shows_what_it_gives(monkeypatch: Any) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert told(executed(stored)) == told(stored)
    assert len(told(stored)) == 4


def test_it_holds_no_path_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(?:tmp|home|root|work|Users)/", text)


if __name__ == "__main__":
    os.chdir(NOTEBOOK.parent)
    fresh = executed(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    NOTEBOOK.write_text(json.dumps(fresh, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
