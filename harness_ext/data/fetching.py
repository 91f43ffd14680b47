"""From a card's file to a verified local path: the mirror, then the cache, then the pinned URL."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness_ext.data.acceptance import is_accepted, not_accepted
from harness_ext.data.cards import Card, CardFile, load_card
from harness_ext.data.checksums import difference
from harness_ext.errors import DataError
from harness_ext.locations import cache_folder, mirror_folder, offline_because

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SAY_WAITING_AFTER_S = 2.0


def fetch(source: str, file: str, *, cards: Traversable | None = None) -> Path:
    """Local path of a card's file, verified against the card's size and SHA-256.

    Looks in ``$HARNESS_EXT_MIRROR``, then in the cache, then downloads the pinned URL into the cache, unless
    ``HARNESS_EXT_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` forbids the network or the source's licence has to be accepted
    first (:mod:`harness_ext.data.acceptance`). Safe with several processes.

    Args:
        source: name of the card, such as ``"tweeteval"``.
        file: ``name`` of one of its files, such as ``"emotion/test_text.txt"``.
        cards: folder of the cards; the package's own by default.

    Raises:
        InputError: there is no such card, or it lists no such file.
        DataError: the file is nowhere and cannot or may not yet be downloaded, or cannot be stored, or a copy of it is
            not the file that the card pins. A wrong copy is never used and never removed.
    """
    card = load_card(source, cards)
    entry = card.file(file)
    if found := find_local(card, entry):
        return found
    if entry.url is None:
        raise _absent(card, entry)
    if offline := offline_because():
        raise _missing(card, entry, f"{offline} forbids downloading it")
    if not is_accepted(card):
        raise not_accepted(card, entry)
    return _download_once(card, entry)


def local_copies(card: Card, entry: CardFile) -> list[Path]:
    """Paths at which the mirror and the cache have this file, unverified; the first is the one that is used.

    A file without an address is looked for with its card and nowhere else.

    Raises:
        DataError: a folder on the way may not be entered, or a link leads out of the card's folder.
    """
    copies = [_beside(card, entry)] if entry.url is None else [folder / entry.path for folder in _folders()]
    try:
        return [copy for copy in copies if copy.is_file()]
    except OSError as error:
        raise _unreadable(error) from error


def find_local(card: Card, entry: CardFile) -> Path | None:
    """Path of a verified copy in the mirror or the cache; ``None`` if there is no copy.

    Raises:
        DataError: there is a copy, but it cannot be read or is not the file that the card pins.
    """
    for copy in local_copies(card, entry)[:1]:
        try:
            wrong = difference(copy, size=entry.bytes, sha256=entry.sha256, memory=cache_folder() / "verified")
        except OSError as error:
            raise _unreadable(error) from error
        if wrong:
            raise DataError(wrong_copy(card, entry, copy, wrong))
        return copy
    return None


def _beside(card: Card, entry: CardFile) -> Path:
    """Where a file lies that has no address: below the card's folder, unless its path is absolute."""
    home = card.home or Path()
    path = home / entry.path
    if not Path(entry.path).is_absolute() and not path.resolve().is_relative_to(home.resolve()):
        raise DataError(
            f"{card.source}: {entry.name} is a link that leads out of the card's folder {home}. Put the file there, or "
            "give its absolute path."
        )
    return path


def _absent(card: Card, entry: CardFile) -> DataError:
    where = "in an archive, with which no file can lie" if card.home is None else f"not at {_beside(card, entry)}"
    return DataError(f"{card.source}: {entry.name} ({entry.bytes} bytes) is {where}. Put it with its card, unpacked.")


def wrong_copy(card: Card, entry: CardFile, copy: Path, wrong: str) -> str:
    """The message about a copy that is not the file that the card pins."""
    if entry.url is None:
        return (
            f"{entry.name}: {wrong} ({card.source}.md), in {copy}. Put the file back, or pin the new one in the card."
        )
    return (
        f"{entry.name}: {wrong} (data_cards/{card.source}.md), in {copy}. "
        "Delete the file or point HARNESS_EXT_MIRROR at a good copy."
    )


def _unreadable(error: OSError) -> DataError:
    return DataError(f"{error.filename} cannot be read ({error.strerror}). Make it readable or remove it.")


def _folders() -> list[Path]:
    mirror = mirror_folder()
    return [*([mirror] if mirror else []), cache_folder() / "data"]


def _download_once(card: Card, entry: CardFile) -> Path:
    from harness_ext.data.downloading import DownloadError, download

    assert entry.url is not None  # noqa: S101 - a file without one lies with its card
    target = cache_folder() / "data" / entry.path
    try:
        with _sole_downloader(target):
            if found := find_local(card, entry):  # another process was faster
                return found
            download(entry.url, target, size=entry.bytes, sha256=entry.sha256)
    except DownloadError as error:
        raise _missing(card, entry, f"downloading {entry.url} failed: {error}") from error
    except OSError as error:
        raise _unstorable(entry, target, error) from error
    found = find_local(card, entry)
    if found is None:
        raise _missing(card, entry, f"it vanished from {target} after the download")
    return found


@contextmanager
def _sole_downloader(target: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{hashlib.sha256(os.fsencode(target)).hexdigest()[:32]}.lock")
    try:
        lock.acquire(timeout=_SAY_WAITING_AFTER_S)
    except Timeout:
        print(f"waiting for another process that downloads {target.name}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _missing(card: Card, entry: CardFile, why: str) -> DataError:
    mirror = mirror_folder()
    absent = " (HARNESS_EXT_MIRROR, but there is no such folder)" if mirror and not mirror.is_dir() else ""
    looked = " and ".join(f"{folder}{absent if folder == mirror else ''}" for folder in _folders())
    return DataError(
        f"{card.source}: {entry.name} ({entry.bytes} bytes) is not in {looked}, and {why}. "
        f"Licence: {card.licence_of(entry)}. Three ways to provide it: "
        f"with a network and no *_OFFLINE variable set, run `harness-ext data fetch {card.source} '{entry.name}'`; "
        f"set HARNESS_EXT_MIRROR to a folder that holds {entry.path}; "
        f"or put the file at {cache_folder() / 'data' / entry.path} (data_cards/{card.source}.md)."
    )


def _unstorable(entry: CardFile, target: Path, error: OSError) -> DataError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        part = target.with_name(target.name + ".part")
        arrived = part.stat().st_size if part.is_file() else 0
        kept = f" The {arrived} bytes that arrived are kept and will not be downloaded again." if arrived else ""
        return DataError(
            f"{entry.name}: no room in {target.parent}: {entry.bytes - arrived} more bytes are needed.{kept} "
            "Free some space or set HARNESS_EXT_CACHE to another folder."
        )
    return DataError(
        f"{entry.name}: the cache {cache_folder()} cannot be written ({error.strerror or error}). "
        "Set HARNESS_EXT_CACHE to a folder that can, or provide the file through HARNESS_EXT_MIRROR."
    )
