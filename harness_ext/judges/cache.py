"""Verdicts of model judges that are kept, so that nobody is asked twice.

One SQLite file; a key is a hash of everything a verdict depends on, so the file holds neither prompts nor responses nor
what the judge wrote. Each batch is written in one transaction: a killed process loses the answers in flight and nothing
else. Several processes may use one file; the first verdict on a key stays.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from harness_ext.errors import InputError

log = logging.getLogger(__name__)

FILE = "verdicts.sqlite"
_BUSY_SECONDS = 60
_LOOKED_UP_AT_ONCE = 500


class Found(NamedTuple):
    """What a judge found, without its name."""

    label: str
    score: float | None = None
    detail: str = ""


class VerdictCache:
    """The verdicts kept in one folder.

    A file that is no database, or a broken one, is set aside under another name with a warning, and a new one is begun.

    Args:
        folder: made if it is missing.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # One process at a time looks whether the file is sound: two would both move it away.
            with FileLock(folder / f"{FILE}.lock", timeout=_BUSY_SECONDS):
                if not self._sound():
                    self._set_aside()
            self._connection = self._connect()
        except (sqlite3.Error, OSError, Timeout) as error:
            raise InputError(f"{self.path}: cannot keep verdicts ({error}); give another folder.") from error

    def get(self, keys: Sequence[str]) -> dict[str, Found]:
        """The kept verdicts on these keys; keys without one are absent.

        Raises:
            InputError: they cannot be read.
        """
        found: dict[str, Found] = {}
        for first in range(0, len(keys), _LOOKED_UP_AT_ONCE):
            some = keys[first : first + _LOOKED_UP_AT_ONCE]
            marks = ",".join("?" * len(some))
            try:
                rows = self._connection.execute(
                    f"SELECT key, label, score, detail FROM verdicts WHERE key IN ({marks})",  # noqa: S608 - question marks
                    some,
                )
                found.update((key, Found(*values)) for key, *values in rows)
            except sqlite3.Error as error:
                raise InputError(f"{self.path}: verdicts cannot be read ({error}); move the file away.") from error
        return found

    def put(self, verdicts: Iterable[tuple[str, Found]]) -> None:
        """Keep these verdicts, all or none; of two on one key the first stays.

        Raises:
            InputError: they cannot be written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?)", ((key, *found) for key, found in verdicts)
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise InputError(
                f"{self.path}: verdicts cannot be written ({error}); free space, then run again."
            ) from error

    def drop(self, keys: Iterable[str]) -> None:
        """Forget the verdicts on these keys."""
        self._connection.executemany("DELETE FROM verdicts WHERE key = ?", ((key,) for key in keys))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        # With a write-ahead log a killed process leaves either all of a transaction or nothing of it.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS verdicts "
            "(key TEXT PRIMARY KEY, label TEXT NOT NULL, score REAL, detail TEXT NOT NULL) WITHOUT ROWID"
        )
        return connection

    def _sound(self) -> bool:
        try:
            with closing(self._connect()) as connection:
                answer: list[tuple[Any, ...]] = connection.execute("PRAGMA quick_check").fetchall()
                connection.execute("SELECT key, label, score, detail FROM verdicts LIMIT 1").fetchall()
        except sqlite3.DatabaseError as error:
            # A disk that is full or a file that is locked says nothing about what is in the file.
            if isinstance(error, sqlite3.OperationalError) and "no such column" not in str(error):
                raise
            return False
        return answer == [("ok",)]

    def _set_aside(self) -> None:
        number = 1
        while (aside := self.path.with_name(f"{FILE}.broken-{number}")).exists():
            number += 1
        for ending in ("", "-wal", "-shm"):
            part = Path(f"{self.path}{ending}")
            if part.exists():
                part.rename(f"{aside}{ending}")
        log.warning("%s was broken and is now %s; verdicts are asked for again.", self.path, aside.name)
