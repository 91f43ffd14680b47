"""What commands say beside their result: names of files and models are shown in it, never obeyed by a terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer


def plain(text: str) -> str:
    """The text on one line, every character that a terminal would obey spelled out."""
    from harness_ext.leaderboards.printable import shortened, visible

    return visible(shortened(text, 3_000)).replace("\n", "␊").replace("\t", "␉")


def say(text: str) -> None:
    """Write a line to stderr."""
    typer.echo(plain(text), err=True)


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
