"""Data cards: what a source is, what is wrong with it, and which bytes exactly we mean.

A card is ``data_cards/<source>.md``: YAML front matter, then prose. The front matter is a Hugging Face dataset card's
(``license``, ``language``, ``tags``, ``pretty_name`` …) plus one block, ``x-harness-ext``, whose schema is
:class:`Card` and :class:`CardFile`; an unknown key in that block is an error.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness_ext.data.row_counts import RowRule, default_row_rule
from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, parse_yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Sensitive = Literal[
    "personal",  # written by or about identifiable people
    "harmful",  # contains hate, abuse or instructions to do harm
    "non-commercial",  # the licence forbids commercial use
    "copyleft",  # derived work must carry the same licence
    "evaluation-only",  # the authors ask that nobody trains on it
    "platform-terms",  # bound to the terms of the platform or competition it was collected from
    "copyrighted",  # text whose rights belong to somebody else
]
"""What a user must know before using a source."""

_FRONT_MATTER = re.compile(r"\A---\n(.*?\n)---\n(.*)\Z", re.DOTALL)
_OWNER_OR_REPO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_]{0,99}")  # a longer name is no file's
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def check_relative_path(path: str) -> str:
    """Return ``path`` unchanged if it stays inside whatever folder it is appended to, on every operating system.

    Raises:
        ValueError: it is empty, absolute, or has a part that is empty, only dots, padded with blanks, over-long or
            unprintable, a backslash or a drive letter.

    >>> check_relative_path("emotion/test_text.txt")
    'emotion/test_text.txt'
    >>> check_relative_path("../secret")
    Traceback (most recent call last):
    ValueError: unsafe path '../secret': '..' is not allowed as a part
    """
    for part in path.split("/"):
        if not part.strip(".") or part != part.strip():  # Windows ignores dots and blanks at the end of a name
            raise ValueError(f"unsafe path {path!r}: {part!r} is not allowed as a part")
        if "\\" in part or not part.isprintable() or len(part.encode("utf-8", "surrogatepass")) > 200:
            raise ValueError(f"unsafe path {path!r}: {part!r} has a backslash, a control character or over 200 bytes")
    if path[1:2] == ":":
        raise ValueError(f"unsafe path {path!r}: starts with a drive letter")
    return path


class CardFile(BaseModel):
    """One upstream file at one commit, or a file that lies with its card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """What :func:`harness_ext.data.fetch` calls it: the shortest tail of the upstream path that is unique and clear."""
    path: str
    """``owner/repo/commit/path``: where a mirror keeps it; the commit has 40 hexadecimal digits. Without ``url`` the
    path from the card's folder, or an absolute one."""
    url: str | None = None
    """Where to download exactly this version; none for a file that lies with its card."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(gt=0)]
    rows: Annotated[int, Field(ge=0)] | None
    """Records, counted by :attr:`row_rule`; ``null`` for a document that has none."""
    rows_by: RowRule | None = None
    """How ``rows`` is counted, where it is not the usual way for the file's suffix."""
    licence: str | None = None
    """Licence as stated, where it is not the card's."""
    about: str | None = None
    """What the file is for, where the name does not say it."""

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return check_relative_path(value)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> CardFile:
        check_relative_path(self.path.removeprefix("/") if self.url is None else self.path)
        parts = self.path.split("/")
        if self.url is not None:
            self._require_commit(parts)
        if not f"/{self.path}".endswith(f"/{self.name}"):
            raise ValueError(f"{self.name}: name is not a tail of the path {self.path!r}")
        if self.rows is not None and self.row_rule is None:
            raise ValueError(f"{self.name}: rows are given, but rows_by does not say how they are counted")
        if self.url is not None:
            self._require_address(urlsplit(self.url), parts)
        return self

    def _require_commit(self, parts: list[str]) -> None:
        if len(parts) < 4 or not all(_OWNER_OR_REPO.fullmatch(part) for part in parts[:2]):
            raise ValueError(f"{self.name}: path is {self.path!r}, expected owner/repo/commit/path")
        if not _COMMIT.fullmatch(parts[2]):
            raise ValueError(f"{self.name}: {parts[2]!r} in path is not a full commit (40 hexadecimal digits)")

    def _require_address(self, url: SplitResult, parts: list[str]) -> None:
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError(f"{self.name}: url {self.url!r} is not https")
        if not url.path.endswith("/" + quote("/".join(parts[3:]))) or parts[2] not in url.path.split("/"):
            raise ValueError(f"{self.name}: url {self.url!r} does not name the commit and path of {self.path!r}")

    @property
    def row_rule(self) -> RowRule | None:
        """How ``rows`` is counted; ``None`` for a document without records."""
        return self.rows_by or default_row_rule(self.name)


class HubMetadata(BaseModel):
    """The Hugging Face part of the front matter; keys we do not use are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    pretty_name: str
    license: str
    """Licence identifier of the Hub: ``mit``, ``cc-by-nc-4.0``, ``other``, ``unknown`` …"""
    language: Annotated[list[str], Field(min_length=1)]
    tags: list[str] = []


class Card(BaseModel):
    """A source of data: the block ``x-harness-ext`` of its card, the Hub metadata and the prose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    hub: HubMetadata
    prose: Annotated[str, Field(min_length=1)]
    home: Annotated[Path | None, Field(exclude=True)] = None
    """The folder that the card lies in; None in an archive."""

    homepage: Annotated[str | None, Field(pattern=r"^https://")] = None
    """Where the source is described; may be left out where all files lie with the card."""
    licence: Annotated[str, Field(min_length=1)]
    """The licence in words, as stated upstream, and what is unverified about it."""
    redistributable: bool
    """Whether the stated licence clearly lets anyone pass the files on."""
    sensitive: list[Sensitive]
    citation: Annotated[str, Field(min_length=1)]
    splits: dict[str, list[str]]
    """Names of the files that make up each split."""
    fields: dict[str, str]
    """What each column or key of the records means."""
    files: list[CardFile]
    """Empty where a source is on a hub only and has no pinned copy."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Card:
        for what in ("name", "path"):
            values = [getattr(file, what) for file in self.files]
            if repeated := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"file {what} {repeated[0]!r} is listed twice")
        if self.homepage is None and any(file.url for file in self.files):
            raise ValueError("homepage is missing: files are downloaded, so the source has one")
        names = {file.name for file in self.files}
        for split, files in self.splits.items():
            if unknown := sorted(set(files) - names):
                raise ValueError(f"split {split!r} names {unknown[0]!r}, which is not among the files")
        return self

    def file(self, name: str) -> CardFile:
        """The file called ``name``.

        Raises:
            InputError: the card lists no such file.
        """
        for file in self.files:
            if file.name == name:
                return file
        raise InputError(f"data_cards/{self.source}.md lists no file {name!r}. It has: {_listed(self.names)}.")

    @property
    def names(self) -> list[str]:
        """Names of all files, in the card's order."""
        return [file.name for file in self.files]

    def licence_of(self, file: CardFile) -> str:
        """Licence as stated for ``file``: its own or the card's."""
        return file.licence or self.licence


def load_card(source: str, cards: Traversable | None = None) -> Card:
    """Read and validate ``data_cards/<source>.md``.

    Args:
        source: name of the card without ``.md``.
        cards: folder of the cards; the package's own by default.

    Raises:
        InputError: there is no such card.
        DataError: the card does not fit the schema.
    """
    folder = _own_cards() if cards is None else cards
    file = folder / f"{source}.md"
    if not _SOURCE.fullmatch(source) or not file.is_file():
        raise InputError(f"there is no data card {source!r}. There are: {_listed(list_sources(cards))}.")
    card = parse_card(source, file.read_text(encoding="utf-8"), listing(folder, source))
    return card.model_copy(update={"home": file.parent.absolute()}) if isinstance(file, Path) else card


def listing(folder: Traversable, source: str) -> str:
    """The list of files beside a card; empty for a card that lists them itself."""
    file = folder / f"{source}.tsv"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def list_sources(cards: Traversable | None = None) -> list[str]:
    """Names of all cards, sorted."""
    folder = _own_cards() if cards is None else cards
    names = (PurePosixPath(file.name) for file in folder.iterdir())
    return sorted(name.stem for name in names if name.suffix == ".md" and _SOURCE.fullmatch(name.stem))


@lru_cache(maxsize=64)  # a source of 32 files would otherwise parse its card 32 times
def parse_card(source: str, text: str, listed: str = "") -> Card:
    """Validate the text of a card.

    Args:
        source: name of the card.
        text: the card.
        listed: of a source of very many files the list beside its card, ``<source>.tsv``: a header, then name, path,
            sha256, bytes, rows and split of each. The pinned address follows from the path.

    Raises:
        DataError: there is no front matter, it is not YAML, or it does not fit the schema.
    """
    place = f"data_cards/{source}.md"
    match = _FRONT_MATTER.match(text.replace("\r\n", "\n"))
    if match is None:
        raise DataError(f"{place}: no YAML front matter between two lines '---' at the top.")
    try:
        front = parse_yaml(match[1])
    except FileError as error:
        raise DataError(f"{place}: the front matter is not YAML: {error}.") from error
    block = front.pop("x-harness-ext", None) if isinstance(front, dict) else None
    if not isinstance(block, Mapping):
        raise DataError(f"{place}: the front matter has no block 'x-harness-ext'.")
    if reserved := {"source", "hub", "prose", "home"} & set(block):
        raise DataError(f"{place}: unknown key {sorted(reserved)[0]!r} in x-harness-ext.")
    try:
        block = {**block, **_of_listing(listed)} if listed else block
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{place}: the list beside it, {source}.tsv, is broken ({error}).") from error
    try:
        return Card.model_validate({**block, "source": source, "hub": front, "prose": match[2].strip()})
    except ValidationError as error:
        raise DataError(f"{place}: {_first_complaints(error)}.") from error


def _of_listing(listed: str) -> dict[str, Any]:
    """The files and splits of a list beside a card."""
    files: list[dict[str, object]] = []
    splits: dict[str, list[str]] = {}
    for line in csv.DictReader(listed.splitlines(), delimiter="\t"):
        split = line.pop("split")
        owner, repo, commit, *rest = line["path"].split("/")
        url = f"https://raw.githubusercontent.com/{owner}/{repo}/{commit}/{quote('/'.join(rest))}"
        files.append({**line, "url": url})
        splits.setdefault(split, []).append(line["name"])
    return {"files": files, "splits": splits}


def _own_cards() -> Traversable:
    return resources.files("harness_ext.data_cards")


def _first_complaints(error: ValidationError, at_most: int = 3) -> str:
    complaints: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    texts = [f"{'.'.join(map(str, item['loc'])) or 'card'}: {item['msg']}" for item in complaints[:at_most]]
    if len(complaints) > at_most:
        texts.append(f"and {len(complaints) - at_most} more")
    return "; ".join(texts)


def _listed(names: list[str], at_most: int = 60) -> str:
    shown = ", ".join(names[:at_most]) or "none"
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"
