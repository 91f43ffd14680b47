"""Answers of a run that was stopped, so that the same command goes on where it ended.

One SQLite file for each *identity*: everything that answers depend on besides the request itself. Two runs that differ
in the model's weights, its precision, adapter, tokenizer or any setting have different identities, hence different
files; the identity is also stored inside and compared, so that a file which was renamed or copied is refused. A request
is the whole prompt as text with its arguments. Answers of a batch are written in one transaction: a killed process
loses the batch it was in and nothing else. Several processes may use one file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness_ext.errors import InputError

_BUSY_SECONDS = 60
_LOOKED_UP_AT_ONCE = 500


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def request_key(kind: str, arguments: Iterable[Any]) -> str:
    """The key of a request, for example ``request_key("loglikelihood", (context, continuation))``."""
    return digest([kind, *arguments])


class RunCache:
    """The stored answers of one identity.

    Args:
        folder: where the files are kept, made if it is missing.
        identity: JSON values by name; see the module.

    Raises:
        InputError: the file is no run cache, or was made for another identity.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.path = folder / f"answers-{digest(identity)[:16]}.sqlite"
        self._waiting: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            # With a write-ahead log a killed process leaves either all of a transaction or nothing of it.
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, answer TEXT NOT NULL)"
            )
            self._require(identity)
        except (sqlite3.DatabaseError, OSError) as error:
            raise InputError(
                f"{self.path}: cannot be used to resume a run ({error}); give another folder or move the file away"
            ) from error

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()
        return int(count) + len(self._waiting)

    def get(self, keys: Sequence[str], form: Any = Any) -> dict[str, Any]:
        """The stored answers to these requests, by key; requests without one are absent.

        Args:
            keys: see :func:`request_key`.
            form: type of an answer.

        Raises:
            InputError: the file holds something else, or cannot be read.
        """
        try:
            answers = TypeAdapter(form)
            return {key: answers.validate_python(json.loads(text)) for key, text in self._texts(keys).items()}
        except (sqlite3.Error, TypeError, ValueError, RecursionError) as error:
            said = "what it holds are no answers" if isinstance(error, ValidationError) else error
            raise InputError(
                f"{self.path}: cannot be used to resume a run ({said}); give another folder or move the file away"
            ) from error

    def _texts(self, keys: Sequence[str]) -> dict[str, str]:
        found = {key: self._waiting[key] for key in keys if key in self._waiting}
        for first in range(0, len(keys), _LOOKED_UP_AT_ONCE):
            some = keys[first : first + _LOOKED_UP_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT request, answer FROM answers WHERE request IN ({marks})", some)  # noqa: S608 - only question marks
            found.update(rows)
        return found

    def put(self, key: str, answer: Any) -> None:
        """Take an answer, a JSON value; it is safe after `commit`."""
        self._waiting[key] = json.dumps(answer)

    def commit(self) -> None:
        """Write what `put` took, all or nothing."""
        if not self._waiting:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", self._waiting.items())
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise InputError(f"{self.path}: answers cannot be written ({error}); free space, then run again") from error
        self._waiting.clear()

    def close(self) -> None:
        """Commit and close the file."""
        self.commit()
        self._connection.close()

    def _require(self, identity: Mapping[str, Any]) -> None:
        wanted = {name: json.dumps(value, sort_keys=True) for name, value in identity.items()}
        self._connection.execute("BEGIN IMMEDIATE")
        stored = dict(self._connection.execute("SELECT name, value FROM identity"))
        if not stored:
            self._connection.executemany("INSERT INTO identity VALUES (?, ?)", wanted.items())
        self._connection.execute("COMMIT")
        if stored and stored != wanted:
            different = sorted(name for name in {*stored, *wanted} if stored.get(name) != wanted.get(name))
            raise InputError(
                f"{self.path}: holds answers given under other settings ({', '.join(different)}); give another folder"
            )
