"""Data cards: that they say what the schema asks, name a licence, and pin the bytes that are here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness_ext.checks.findings import Found, check
from harness_ext.data.cards import Card, listing, parse_card
from harness_ext.data.checks import wrong_bytes, wrong_rows
from harness_ext.data.fetching import local_copies
from harness_ext.errors import DataError
from harness_ext.files import FileError, parse_yaml

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?\n)---\r?\n", re.DOTALL)


@dataclass(frozen=True)
class CardFile:
    """A card's file, which may be wrong."""

    path: Path

    @cached_property
    def text(self) -> str:
        """Its text."""
        return self.path.read_text(encoding="utf-8", errors="replace")

    @cached_property
    def front(self) -> dict[str, Any]:
        """Its front matter; empty where there is none."""
        match = _FRONT_MATTER.match(self.text)
        try:
            found = parse_yaml(match[1]) if match else {}
        except FileError:
            found = {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def card(self) -> Card | DataError:
        """The card, or what is wrong with it."""
        try:
            return parse_card(self.path.stem, self.text, listing(self.path.parent, self.path.stem))
        except DataError as error:
            return error

    @property
    def licences(self) -> tuple[Any, Any]:
        """The Hub's identifier of the licence, and the licence in words."""
        block = self.front.get("x-harness-ext")
        return self.front.get("license"), block.get("licence") if isinstance(block, dict) else None

    def line(self, text: str) -> int:
        """The first line that has this text, from 1."""
        return next((n for n, line in enumerate(self.text.splitlines(), start=1) if text in line), 1)


@check(
    "card",
    why="nobody knows whether the data may be used, passed on or trained on.",
    mend="Copy the licence as the source states it into license and licence; unknown is an answer, silence is not.",
)
def licence(file: CardFile) -> Iterator[Found]:
    """A card names its licence, for machines and in words."""
    for name, value in zip(("license", "licence"), file.licences, strict=True):
        if not value:
            yield Found(f"the card has no {name!r}", file=file.path, line=file.line("license:"))


@check(
    "card",
    why="the source cannot be fetched, listed or exported.",
    mend="Complete the front matter as the message says.",
)
def card_schema(file: CardFile) -> Iterator[Found]:
    """A card fits the schema."""
    if isinstance(file.card, DataError) and all(file.licences):
        yield Found(str(file.card), file=file.path)


@check(
    "card",
    why="scores would be of other data than the card says; the file is refused when a run asks for it.",
    mend="Delete the file or point HARNESS_EXT_MIRROR at a good copy; if the copy is good, correct the card.",
)
def checksum(file: CardFile) -> Iterator[Found]:
    """Every copy that is here has the size and digest that the card pins."""
    for entry, copy in _copies(file):
        if wrong := wrong_bytes(entry, copy):
            yield Found(f"{entry.name}: {wrong}, in {copy}", file=file.path, line=file.line(entry.sha256))


@check(
    "card",
    why="readers and exports take the number from the card.",
    mend="Correct rows, or rows_by if records are counted otherwise.",
)
def row_count(file: CardFile) -> Iterator[Found]:
    """Every good copy that is here has as many records as the card says."""
    for entry, copy in _copies(file):
        if not wrong_bytes(entry, copy) and (wrong := wrong_rows(entry, copy)):
            yield Found(f"{entry.name}: {wrong}", file=file.path, line=file.line(entry.sha256))


def _copies(file: CardFile) -> Iterator[tuple[Any, Path]]:
    if isinstance(file.card, Card):
        for entry in file.card.files:
            for copy in local_copies(file.card, entry):
                yield entry, copy
