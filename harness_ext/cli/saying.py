"""How commands speak: groups of them, lists, JSON, files, and lines in which a name is never obeyed by a terminal."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from harness_ext.errors import InputError


def plain(text: str) -> str:
    """The text on one line, every character that a terminal would obey spelled out."""
    from harness_ext.leaderboards.printable import shortened, visible

    return visible(shortened(text, 3_000)).replace("\n", "␊").replace("\t", "␉")


def say(text: str) -> None:
    """Write a line to stderr."""
    typer.echo(plain(text), err=True)


def group(about: str) -> typer.Typer:
    """A command that only has subcommands."""
    options = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode="markdown", context_settings=options)


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]


def print_json(value: object) -> None:
    """Print a value for another program."""
    typer.echo(as_json(value))


def as_json(value: object) -> str:
    """A value as JSON for another program; numbers that are not finite, which JSON has not, are null.

    >>> as_json({"p": [float("nan"), -float("inf"), 1.5]}).split()
    ['{', '"p":', '[', 'null,', 'null,', '1.5', ']', '}']
    """
    return json.dumps(_finite(value), ensure_ascii=False, indent=2, default=str, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """A rich table on a terminal; tab-separated lines for a pipe, so that no cell is ever cut.

    Args:
        header: of each column.
        rows: cells; what a terminal would obey in them is spelled out.
        numbers: columns that are set to the right.
    """
    import sys

    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [header, *cells]:
            typer.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for number, column in enumerate(header):
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=number == 0, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text: a name with brackets is not markup
    Console().print(table)


def write(path: Path, content: str | bytes, way_out: str, *, make_folder: bool = False) -> None:
    """Write a file that is there as a whole or not at all; what is no ordinary file, such as a pipe, is written to.

    Raises:
        InputError: it cannot be written; the sentence ends with the way out.
    """
    from harness_ext.files import write_whole  # imports YAML

    given = content if isinstance(content, bytes) else content.encode()
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() or not path.exists():
            write_whole(path, given)
        else:
            path.write_bytes(given)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). {way_out}") from error


@contextmanager
def warnings_said() -> Iterator[None]:
    """Have this package's warnings written so, too."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain())
    logger = logging.getLogger("harness_ext")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))
