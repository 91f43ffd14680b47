"""Answers of a run that has not finished yet, so that a crash costs the answers in flight and no others.

They are kept under the identity of the model and of the request (:mod:`harness_ext.models.runs.cache`) from the moment
a backend gives them until the run that asked for them ends well, and are then forgotten: running again asks again. What
is kept are answers, never prompts, in ``unfinished`` below ``$HARNESS_EXT_CACHE``.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness_ext.errors import InputError
from harness_ext.locations import cache_folder
from harness_ext.models.runs.cache import RunCache, digest
from harness_ext.models.runs.identity import identity, plain

log = logging.getLogger(__name__)


class Unfinished(RunCache):
    """The answers of runs of one identity that have not finished."""

    def forget(self, keys: Sequence[str]) -> None:
        """Drop these answers; what another run of the same identity keeps here stays."""
        self.commit()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("DELETE FROM answers WHERE request = ?", [(key,) for key in keys])
        self._connection.execute("COMMIT")
        empty = not len(self)
        self.close()
        if empty:
            for ending in ("", "-wal", "-shm"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)


def unfinished(lm: Any) -> Unfinished | None:
    """Where answers of this backend are kept; None, with a warning, where that cannot be."""
    try:
        return Unfinished(cache_folder() / "unfinished", identity(lm))
    except InputError as error:
        log.warning("a crash of this run will lose its dialogues: %s", error)
        return None


class Recorder:
    """lm-eval's cache hook, which a backend calls with every answer it has; keeps those that are waited for."""

    def __init__(self, hook: Any, store: Unfinished) -> None:
        self.hook = hook
        self._store = store
        self._waiting: defaultdict[str, list[str]] = defaultdict(list)

    @property
    def dbdict(self) -> Any:
        """The file of ``--use_cache``, if there is one."""
        return self.hook.dbdict

    def wait_for(self, request: str, key: str) -> None:
        """Keep the next answer to ``request`` (see `request_text`) under ``key``."""
        self._waiting[request].append(key)

    def add_partial(self, kind: str, arguments: Any, answer: Any) -> None:
        """Keep an answer as soon as it is there."""
        self.hook.add_partial(kind, arguments, answer)
        waiting = self._waiting[request_text(arguments)] if kind == "generate_until" else []
        if waiting:
            self._store.put(waiting.pop(0), answer)
            self._store.commit()


def request_text(arguments: Sequence[Any]) -> str:
    """A generating request as text: the prompt, which chat backends wrap, and the generation settings."""
    return digest([prompt_text(arguments[0]), plain(arguments[1])])


def prompt_text(prompt: Any) -> str:
    """A prompt as lm-eval's backends have it: a text, a wrapped text, or a list of messages."""
    return str(getattr(prompt, "prompt", prompt))


@contextmanager
def recording(lm: Any, store: Unfinished | None) -> Iterator[Recorder | None]:
    """Let a backend's answers be kept as they come, beside whatever else it keeps them for."""
    if store is None or not hasattr(lm, "cache_hook"):
        yield None
        return
    hook = lm.cache_hook
    recorder = Recorder(hook, store)
    lm.cache_hook = recorder
    try:
        yield recorder
    finally:
        lm.cache_hook = hook
