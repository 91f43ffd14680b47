"""Are the copies on this machine what their cards say? Everything is computed anew, nothing remembered."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path
from typing import NamedTuple

from harness_ext.data.cards import Card, CardFile
from harness_ext.data.checksums import difference
from harness_ext.data.fetching import local_copies, wrong_copy
from harness_ext.data.row_counts import count_rows


class CopiesReport(NamedTuple):
    """Number of right copies, one message for each wrong one, and number of files of which there is no copy."""

    right: int
    wrong: list[str]
    missing: int


def check_copies(card: Card) -> CopiesReport:
    """Compare every copy in the mirror and in the cache with the card: size, digest and number of rows."""
    right, missing = 0, 0
    wrong: list[str] = []
    for entry in card.files:
        copies = local_copies(card, entry)
        missing += not copies
        for copy in copies:
            if problem := wrong_bytes(entry, copy):
                wrong.append(wrong_copy(card, entry, copy, problem))
            elif problem := wrong_rows(entry, copy):
                wrong.append(f"{entry.name}: {problem}. The file is right; mend data_cards/{card.source}.md.")
            else:
                right += 1
    return CopiesReport(right, wrong, missing)


def wrong_bytes(entry: CardFile, copy: Path) -> str | None:
    """How a copy's size or digest differs from its card's; ``None`` where they agree."""
    try:
        return difference(copy, size=entry.bytes, sha256=entry.sha256, memory=None)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def wrong_rows(entry: CardFile, copy: Path) -> str | None:
    """How the number of a copy's records differs from its card's; ``None`` where they agree or are not counted."""
    if entry.row_rule is None:
        return None
    try:
        seen = count_rows(copy, entry.row_rule)
    except (ValueError, LookupError, csv.Error, sqlite3.Error) as error:
        return f"rows cannot be counted as {entry.row_rule!r} ({error})"
    return None if seen == entry.rows else f"the card says {entry.rows} rows, {entry.row_rule!r} counts {seen}"
