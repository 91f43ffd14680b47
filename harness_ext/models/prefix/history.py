"""Caches of conversations that go on: what a model has read of one turn is not read again for the next.

Within one call a :class:`~harness_ext.models.prefix.walk.Walk` shares beginnings; between calls nothing is kept, but
for dialogues. Their player says how long they will be and learns how many fit at a time; until those have ended, the
cache of each prompt is kept for the prompt that continues it. Tokens decide: if the next prompt is encoded differently,
or has lost its beginning to truncation, all of it is run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from harness_ext.models.prefix.walk import Prefix

SHARE = 1 / 4
"""Of the budget for caches: while a turn is run, the caches before and after it are both alive, and it needs room."""


class History:
    """Caches by the tokens they hold.

    Args:
        limit: bytes; the caches longest unused are dropped first.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.bytes = 0
        self._kept: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def keep(self, tokens: Sequence[int], prefix: Prefix) -> None:
        """Keep the cache of these tokens, if it fits at all."""
        key = tuple(tokens)
        if prefix.bytes > self.limit or key in self._kept:
            return
        self._kept[key] = prefix
        self.bytes += prefix.bytes
        while self.bytes > self.limit:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.bytes

    def take(self, contexts: Sequence[Sequence[int]]) -> list[Prefix | None]:
        """For each context the longest kept beginning, which is no longer kept then.

        A beginning is shorter than its context by two tokens at least: the last one is decoded from, and the cache
        of one that is there already would be computed again for nothing.
        """
        found: list[Prefix | None] = []
        used = set()
        for context in contexts:
            text = tuple(context)
            fitting = [key for key in self._kept if len(key) < len(text) - 1 and text[: len(key)] == key]
            best = max(fitting, key=len, default=None)
            used.update(fitting)
            found.append(None if best is None else self._kept[best])
        for key in used:
            self.bytes -= self._kept.pop(key).bytes
        return found
