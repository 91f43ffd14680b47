"""LaTeX tables: nothing of a model or file is a command, and a TeX, where there is one, takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.leaderboards import latex
from harness_ext.leaderboards.table import Cell, Column, Table, number

SPECIAL = r"""\ { } $ & # % _ ^ ~ < > | " ` [ ] * -- --- – — − ± ↑ ↓ Δ … 'quoted'"""
ESCAPED = re.compile(r"\\[{}$&#%_,]|\\(?:text[a-z]+|dots|symbol\{34)\{?\}|\$(?:-|\\[a-zA-Z]+)\$|\{[][*]?\}|~")


def table(*cells: Cell, title: str = "Title", notes: tuple[str, ...] = ()) -> Table:
    columns = (Column("Model", numeric=False), *(Column(f"c_{at}") for at in range(1, len(cells))))
    return Table(title, columns, (cells,), notes)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_is_a_command(text: str) -> None:
    escaped = latex.escape(text)
    assert not set(ESCAPED.sub("", escaped)) & set('\\{}$&#%_^~<>|"`[]*\n\t')


@given(text=st.text(st.sampled_from("-–—a")))
def test_hyphens_never_become_dashes(text: str) -> None:
    assert "--" not in latex.escape(text)


@given(texts=st.lists(st.text(max_size=20), min_size=2, max_size=5))
def test_every_row_has_as_many_columns_as_the_head(texts: list[str]) -> None:
    rendered = latex.render([table(*(Cell(text) for text in texts), title=texts[0], notes=(texts[1],))])
    rows = [line for line in rendered.splitlines() if line.endswith(" \\\\")]
    assert len(rows) == 2
    assert all(len(re.findall(r"(?<!\\)&", row)) == len(texts) - 1 for row in rows)
    for name in ("table", "tabular", "minipage"):
        assert rendered.count(f"\\begin{{{name}}}") == rendered.count(f"\\end{{{name}}}") == 1


def test_best_cells_are_bold_and_negative_numbers_have_a_minus() -> None:
    rendered = latex.render([table(Cell("m-1"), number(-0.5, best=True), Cell("yes (-0.25)", -0.25))])
    assert r"m-1 & \textbf{$-$0.50} & yes ($-$0.25) \\" in rendered


def test_a_rule_separates_sources() -> None:
    columns = (Column("Model", numeric=False), Column("Source", numeric=False))
    rows = tuple((Cell("m"), Cell(source)) for source in ("measured", "measured", "trivial", "published"))
    rendered = latex.render([Table("T", columns, rows)])
    assert rendered.count(r"\midrule") == 3


def test_the_tables_compile(tmp_path: Path) -> None:
    engine = next(filter(None, map(shutil.which, ("lualatex", "xelatex", "tectonic", "pdflatex"))), None)
    if engine is None:
        pytest.skip("no TeX is installed")
    body = latex.render([table(Cell(SPECIAL), number(-1.5, best=True), title=SPECIAL, notes=(SPECIAL,))])
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "tables.tex").write_text(document)
    options = [] if engine.endswith("tectonic") else ["-halt-on-error", "-interaction=nonstopmode"]
    done = subprocess.run([engine, *options, "tables.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000
