"""What a model or a file is called is shown, never obeyed: not by a terminal, a spreadsheet or a Markdown page."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from harness_ext.leaderboards import generic, markdown, spreadsheet, terminal
from harness_ext.leaderboards.printable import visible
from harness_ext.results.reading.frame import Row, to_frame

NAMES = (
    "\x1b]0;owned\x07\x1b[2J", "=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", " =1", "[a](https://evil.example)",
    "![x](http://evil.example/a.png)", "_emphasis_", "__strong__", "~~gone~~", "<img src=x>", "a|b", "`code`", "a\\|b",
    "https://evil.example", "www.evil.example", "me@evil.example", "&lt;b&gt;", "a\r\n# b", "line\u2028end\u202e",
    "a\rb,c",
)  # fmt: skip


def rows(name: str) -> list[Row]:
    return [Row(origin="measured", model=name, bench="toy", task="toy_a", metric="acc", value=-0.5, n=3, n_total=3)]


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_gets_no_control_character_of_a_name(name: str) -> None:
    out = io.StringIO()
    terminal.show(generic.build(rows(name)), Console(file=out, width=200, color_system=None))
    assert not {char for char in out.getvalue() if char < " " or "\x7f" <= char < "\xa0"} - {"\n"}
    assert "\u202e" not in out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_spreadsheet_gets_no_formula_and_numbers_stay_numbers(name: str) -> None:
    text = spreadsheet.render(to_frame(rows(name)))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert not row["model"].lstrip().startswith(("=", "+", "-", "@"))
    assert row["model"].removeprefix("'") == visible(name)
    assert row["value"] == "-0.5"


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_text(name: str) -> None:
    """Rendered by the reference implementation of GitHub's own dialect, where it is at hand."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    html = parser.render(markdown.render(generic.build(rows(name))))
    body = html.partition("<tbody>")[2]
    assert not {tag for tag in ("<a ", "<img", "<em>", "<s>", "<code>", "<b>") if tag in body}
    assert body.count("<td") == html.count("<th ") and body.count("<tr>") == 1
