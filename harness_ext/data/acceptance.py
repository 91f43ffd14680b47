"""Licences that restrict what may be done with data, or with work built on it, are accepted once before a download.

Only downloading asks: a file that somebody has put into the mirror or the cache is theirs to have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness_ext.data.cards import Card, CardFile, Sensitive
from harness_ext.errors import DataError
from harness_ext.locations import cache_folder

RESTRICTIONS: Mapping[Sensitive, str] = {
    "non-commercial": "no commercial use",
    "copyleft": "derived work must carry the same licence",
    "evaluation-only": "no training on it",
}
"""What needs acceptance, and what it means; the other marks of a card only inform."""


def restrictions(card: Card) -> list[str]:
    """What the card's licence restricts, in words; empty if it needs no acceptance.

    >>> from harness_ext.data import load_card
    >>> restrictions(load_card("meld")), restrictions(load_card("emobench"))
    (['copyleft: derived work must carry the same licence'], [])
    """
    return [f"{mark}: {meaning}" for mark, meaning in RESTRICTIONS.items() if mark in card.sensitive]


def is_accepted(card: Card) -> bool:
    """Whether the licence, as the card states it now, needs no acceptance or was accepted on this machine."""
    if not restrictions(card):
        return True
    try:
        return _record(card).read_text(encoding="utf-8") == _terms(card)
    except OSError:
        return False


def accept(card: Card) -> Path:
    """Record in the cache that the user accepts the licence as the card states it; a changed statement asks again.

    Raises:
        DataError: the cache cannot be written.
    """
    record = _record(card)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(_terms(card), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{record} cannot be written ({error.strerror}), so the acceptance of {card.source} is not recorded. "
            "Set HARNESS_EXT_CACHE to a folder that can be written."
        ) from error
    return record


def not_accepted(card: Card, entry: CardFile) -> DataError:
    """The error for a file that may only be downloaded after its licence was accepted."""
    return DataError(
        f"{card.source}: {entry.name} is not on this machine, and it is not downloaded before you accept its licence: "
        f"{card.licence_of(entry)} ({'; '.join(restrictions(card))}). Read `harness-ext data show {card.source}`, then "
        f"run `harness-ext data accept {card.source}` once; without names it lists every source that asks. A copy of "
        f"your own in HARNESS_EXT_MIRROR, as {entry.path}, is used without asking."
    )


def _record(card: Card) -> Path:
    return cache_folder() / "accepted" / f"{card.source}.txt"


def _terms(card: Card) -> str:
    return "\n".join([card.licence, *restrictions(card), ""])
