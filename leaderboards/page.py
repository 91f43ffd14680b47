"""One self-contained HTML page: tables, figures and samples; no network, nothing from a model or a file unescaped.

The page's own style and script are named by their hash in a Content-Security-Policy that allows nothing else, so that
even markup that slipped through could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path

import jinja2
import pandas as pd

from harness_ext.leaderboards.evidence import Evidence
from harness_ext.leaderboards.figures import Figure, figures
from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Cell, Column, Kind, Table, kinds, title
from harness_ext.leaderboards.viewer import MOST_BYTES, MOST_CHARACTERS, MOST_SAMPLES, Viewer, collect
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.runs import Runs

_YEAR_10000 = 253_402_300_800.0  # seconds since 1970; no calendar goes further
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """One benchmark (or its sample data) on the page."""

    anchor: str
    bench: str
    kind: Kind
    tables: Sequence[Table]
    figures: Sequence[Figure]

    @property
    def title(self) -> str:
        """The words with which all titles of its tables begin; those of the only one."""
        titles = [self.heading(table).split() for table in self.tables]
        columns = zip(*([word.rstrip(":,") for word in words] for words in titles), strict=False)
        shared = takewhile(lambda column: len(set(column)) == 1, columns)
        return " ".join(titles[0][: len(list(shared))]).rstrip(":,") or self.bench

    def heading(self, table: Table) -> str:
        """The title of a table without what the section's own heading says of the data."""
        return table.title.removesuffix(title("", self.kind))


def render(
    frame: pd.DataFrame,
    tables: Sequence[Table],
    runs: Runs,
    evidence: Evidence,
    *,
    show_samples: bool = False,
    refresh: int = 0,
) -> str:
    """The page of a frame.

    Args:
        frame: columns of :data:`harness_ext.results.reading.frame.COLUMNS`, published rows
            included where they are wanted.
        tables: of the same frame.
        runs: where its measured numbers come from; files that were not used are warnings, the rest of what was left
            out is for readers who ask.
        evidence: what was taken from the samples while they were read.
        show_samples: put samples of personal, harmful or unknown sources on the page, too.
        refresh: seconds without a touch after which the page loads itself again; 0 for a page that stays as it is.
    """
    rows = to_rows(frame)
    viewer = collect(rows, runs, unlocked=show_samples)
    style, script = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return _environment().get_template("page.html.j2").render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        sections=_sections(rows, tables, evidence),
        warnings=list(map(str, runs.problems)),
        notes=runs.notes,
        refresh=refresh,
        viewer=viewer,
        withheld=_withheld(viewer),
        most_samples=MOST_SAMPLES,
        most_characters=MOST_CHARACTERS,
        most_megabytes=MOST_BYTES // 1_000_000,
        facts=_facts(rows),
    )  # fmt: skip


def _sections(rows: Sequence[Row], tables: Sequence[Table], evidence: Evidence) -> list[Section]:
    """A section for each benchmark, then one for each that was run on sample data."""
    found: list[Section] = []
    for bench in sorted({row.bench for row in rows}):
        for kind, own in kinds([row for row in rows if row.bench == bench]):
            if shown := [table for table in tables if (table.bench, table.kind) == (bench, kind)]:
                found.append(Section(f"section-{len(found) + 1}", bench, kind, shown, figures(own, kind, evidence)))
    return sorted(found, key=lambda section: section.kind == "sample")


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
    models, benches, files = ({getattr(row, name) for row in measured} for name in ("model", "bench", "run"))
    versions = sorted({row.lm_eval_version for row in measured if row.lm_eval_version})
    dates = {row.date for row in measured if 0 <= row.date < _YEAR_10000}
    days = sorted(datetime.fromtimestamp(date, timezone.utc) for date in dates)
    words = [_count(len(files), "result file")]
    if days:
        words.append(" to ".join(dict.fromkeys(f"{day:%d %B %Y}".lstrip("0") for day in (days[0], days[-1]))))
    if versions:
        words.append(f"lm-eval {', '.join(versions)}")
    return {
        "title": f"{_count(len(models), 'model')} on {_count(len(benches), 'benchmark')}",
        "words": " · ".join(words),
    }


def _count(number: int, thing: str) -> str:
    """A number of things in words.

    >>> _count(1, "model"), _count(2, "model")
    ('1 model', '2 models')
    """
    return f"{number:,} {thing}{'s' * (number != 1)}"
