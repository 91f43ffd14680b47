"""LaTeX tables: nothing of a model or file is a command, and a TeX, where there is one, takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.leaderboards import build, latex
from harness_ext.leaderboards.table import Cell, Column, Table, number
from harness_ext.results.published.tables import load

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
    assert len(rows) == 3  # the head once for the first page and once for all others
    assert all(len(re.findall(r"(?<!\\)&", row)) == len(texts) - 1 for row in rows)
    assert rendered.count(r"\begin{longtable}") == rendered.count(r"\end{longtable}") == 1
    assert rendered.count(r"\begin{tabular}") == rendered.count(r"\end{tabular}")


def test_best_cells_are_bold_and_negative_numbers_have_a_minus() -> None:
    rendered = latex.render([table(Cell("m-1"), number(-0.5, best=True), Cell("yes (-0.25)", -0.25))])
    assert r"m-\allowbreak{}1 & \textbf{$-$0.50} & yes ($-$0.25) \\" in rendered


def test_a_rule_separates_sources() -> None:
    columns = (Column("Model", numeric=False), Column("Source", numeric=False))
    rows = tuple((Cell("m"), Cell(source)) for source in ("measured", "measured", "trivial", "published"))
    rendered = latex.render([Table("T", columns, rows)])
    assert rendered.count(r"\midrule") == 2 + 2


def test_intervals_stand_below_their_numbers() -> None:
    rendered = latex.render([table(Cell("m"), Cell("0.50 [0.41, 0.59]", 0.5, low=0.41, high=0.59))])
    assert r"\begin{tabular}[t]{@{}r@{}}0.50\\{[}0.41, 0.59{]}\end{tabular}" in rendered


def wide(columns: int, *, optional: bool) -> Table:
    heads = (Column("Model", numeric=False), *(Column(f"metric{at}", optional=optional) for at in range(columns)))
    return Table("T", heads, ((Cell("m"), *(Cell("100.0000 [0.0, 100.0]", 100.0) for _ in range(columns))),))


def test_a_table_is_turned_before_it_is_too_wide_and_then_hides_what_a_terminal_hides() -> None:
    upright, turned, hidden = (latex.render([wide(count, optional=True)]) for count in (3, 7, 30))
    assert "landscape" not in upright.partition("\n")[2]
    assert turned.count(r"\begin{landscape}") == turned.count(r"\end{landscape}") == 1
    assert "metric6" in turned and "Not shown" not in turned
    assert "Not shown, the page is too narrow: " in hidden and "metric29" in hidden.rpartition("Not shown")[2]


def engine() -> str:
    found = next(filter(None, map(shutil.which, ("lualatex", "xelatex", "tectonic", "pdflatex"))), None)
    if found is None:
        pytest.skip("no TeX is installed")
    return found


def compiled(body: str, folder: Path) -> str:
    """What TeX says while it sets the tables."""
    packages = body.partition("needs ")[2].partition("\n")[0]
    (folder / "tables.tex").write_text(rf"\documentclass{{article}}{packages}\begin{{document}}{body}\end{{document}}")
    program = engine()
    options = [] if program.endswith("tectonic") else ["-halt-on-error", "-interaction=nonstopmode"]
    done = subprocess.run([program, *options, "tables.tex"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "tables.pdf").stat().st_size > 1000
    return done.stdout


def test_the_tables_compile(tmp_path: Path) -> None:
    compiled(latex.render([table(Cell(SPECIAL), number(-1.5, best=True), title=SPECIAL, notes=(SPECIAL,))]), tmp_path)


def test_every_published_table_fits_its_page(tmp_path: Path) -> None:
    tables = build.tables(load("published"))
    assert len(tables) > 10
    said = compiled(latex.render([*tables, wide(7, optional=True), wide(30, optional=True)]), tmp_path)
    assert "Overfull" not in said
