"""One self-contained HTML page: tables, figures and samples; no network, nothing from a model or a file unescaped.

The page's own style and script are named by their hash in a Content-Security-Policy that allows nothing else, so that
even markup that slipped through could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from harness_ext.leaderboards import build
from harness_ext.leaderboards.evidence import Evidence, Runs
from harness_ext.leaderboards.figures import Figure, figures
from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Cell, Column, Kind, Table, kinds
from harness_ext.leaderboards.viewer import MOST_BYTES, MOST_CHARACTERS, MOST_SAMPLES, Viewer, collect
from harness_ext.results.frame import Row, to_rows

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """One benchmark (or its sample data) on the page."""

    anchor: str
    kind: Kind
    tables: Sequence[Table]
    figures: Sequence[Figure]

    @property
    def title(self) -> str:
        """The words of the first table's title before any remark."""
        return self.tables[0].title.partition(",")[0].partition(":")[0]


def render(
    frame: pd.DataFrame, *, warnings: Sequence[str] = (), partial: bool = False, show_samples: bool = False
) -> str:
    """The page of a frame.

    Args:
        frame: columns of :data:`harness_ext.results.frame.COLUMNS`, published rows included where they are wanted.
        warnings: what a reader must know about files that were not used.
        partial: average the parts that are there where a benchmark's mean lacks some.
        show_samples: put samples of personal, harmful or unknown sources on the page, too.
    """
    rows = to_rows(frame)
    runs = Runs()
    evidence, viewer = Evidence(runs), collect(rows, runs, unlocked=show_samples)
    sections: list[Section] = []
    for bench in sorted(set(frame.bench)):
        own = frame[frame.bench == bench]
        tables = build.tables(own, partial=partial)
        for kind, part in kinds(to_rows(own)):
            shown = [table for table in tables if table.kind == kind]
            if shown:
                sections.append(Section(f"part-{len(sections) + 1}", kind, shown, figures(part, kind, evidence)))
    style, script = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return _environment().get_template("page.html.j2").render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        sections=sections,
        warnings=warnings,
        viewer=viewer,
        withheld=_withheld(viewer),
        most_samples=MOST_SAMPLES,
        most_characters=MOST_CHARACTERS,
        most_megabytes=MOST_BYTES // 1_000_000,
        facts=_facts(rows),
    )  # fmt: skip


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printed,
    )
    environment.filters["sort_key"] = _sort_key
    environment.filters["words_of"] = _words_of
    return environment


def _printed(value: object) -> object:
    """Every text that a template writes is made visible; markup of ours is left as it is."""
    return visible(value) if type(value) is str else value


def _sort_key(cell: Cell) -> str:
    """What a script sorts a cell by: its number, or nothing where it has none."""
    return repr(cell.value) if cell.value == cell.value else ""


def _words_of(row: Sequence[Cell], columns: Sequence[Column]) -> str:
    """The cells of text after the first, in one phrase: where a phone has no room for their columns."""
    cells = zip(row[1:], columns[1:], strict=True)
    return " · ".join(cell.text for cell, column in cells if cell.text and not column.numeric)


def _hash(text: str) -> str:
    """A Content-Security-Policy source that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _withheld(viewer: Viewer) -> list[str]:
    """Which samples are not on the page, and why."""
    reasons: dict[str, int] = {}
    for run in viewer.runs:
        if run.why_withheld:
            reasons[run.why_withheld] = reasons.get(run.why_withheld, 0) + 1
    return [f"{_count(number, 'task run')} ({reason})" for reason, number in reasons.items()]


def _facts(rows: Sequence[Row]) -> dict[str, str]:
    """What was compared, in words."""
    measured = [row for row in rows if row.origin == "measured"]
    models = {row.model for row in measured}
    runs = {row.run for row in measured}
    benches = {row.bench for row in measured}
    versions = sorted({row.lm_eval_version for row in measured if row.lm_eval_version})
    return {
        "title": f"{_count(len(models), 'model')} on {_count(len(benches), 'benchmark')}",
        "words": ", ".join(
            [_count(len(runs), "result file"), f"lm-eval {' and '.join(versions)}" if versions else "lm-eval"]
        ),
    }


def _count(number: int, thing: str) -> str:
    """A number of things in words.

    >>> _count(1, "model"), _count(2, "model")
    ('1 model', '2 models')
    """
    return f"{number:,} {thing}{'s' * (number != 1)}"
