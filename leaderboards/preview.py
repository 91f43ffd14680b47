"""One self-contained page of questions with their pictures and right answers, to be looked at before a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from harness_ext.leaderboards.printable import visible

_TEMPLATES = Path(__file__).parent / "templates"


class Shown(NamedTuple):
    """One doc."""

    id: str
    pictures: Sequence[str]
    """PNG in base64."""
    question: str
    gold: str
    level: str = ""


class ShownTask(NamedTuple):
    """Some docs of a task."""

    name: str
    size: int
    """Docs that it has in all."""
    docs: Sequence[Shown]


def preview(title: str, tasks: Sequence[ShownTask]) -> str:
    """The page; whatever comes from a file is escaped, and nothing is loaded or run."""
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
    )
    return environment.get_template("preview.html.j2").render(title=title, tasks=tasks)
