"""Are the copies on this machine what their cards say? Everything is computed anew, nothing remembered."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from harness_ext.data.cards import Card, CardFile
from harness_ext.data.checksums import different_digests, sha256_of
from harness_ext.data.fetching import local_copies, wrong_copy


class CopiesReport(NamedTuple):
    """Number of right copies, one message for each wrong one, and number of files of which there is no copy."""

    right: int
    wrong: list[str]
    missing: int


def check_copies(card: Card) -> CopiesReport:
    """Compare every copy in the mirror and in the cache with the card."""
    right, missing = 0, 0
    wrong: list[str] = []
    for entry in card.files:
        copies = local_copies(entry)
        missing += not copies
        for copy in copies:
            if problem := _problem(entry, copy):
                wrong.append(wrong_copy(card, entry, copy, problem))
            else:
                right += 1
    return CopiesReport(right, wrong, missing)


def _problem(entry: CardFile, copy: Path) -> str | None:
    try:
        if (size := copy.stat().st_size) != entry.bytes:
            return f"size is {size} bytes, expected {entry.bytes}"
        if (seen := sha256_of(copy)) != entry.sha256:
            return different_digests(seen, entry.sha256)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return None
