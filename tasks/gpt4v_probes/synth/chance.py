"""The random numbers of one doc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np

T = TypeVar("T")


class Draw:
    """Draws of one doc, in order.

    Args:
        key: what they belong to; the number of the doc comes last.
    """

    def __init__(self, key: tuple[str | int, ...]) -> None:
        self.numbers = np.random.Generator(np.random.PCG64([crc32(str(part).encode()) for part in key]))
        self._key = key

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.numbers.integers(low, high + 1))

    def one(self, things: Sequence[T]) -> T:
        """One of several things."""
        return things[self.whole(0, len(things) - 1)]

    def some(self, things: Sequence[T], count: int) -> list[T]:
        """Several different things, in random order."""
        return [things[place] for place in self.numbers.permutation(len(things))[:count]]

    def balanced(self, things: Sequence[T]) -> T:
        """One of several things, each once in as many docs: no constant answer is right more often than others."""
        *key, number = self._key
        block, place = divmod(int(number), len(things))
        return drawn(*key, "block", block).some(things, len(things))[place]

    def options(self, right: T, wrong: Sequence[T]) -> tuple[list[T], str]:
        """The right thing among the wrong ones, in random order, and its letter."""
        letter = self.balanced("ABCDEFGH"[: len(wrong) + 1])
        order = self.some(wrong, len(wrong))
        order.insert(ord(letter) - ord("A"), right)
        return order, letter


def drawn(*key: str | int) -> Draw:
    """The draws that belong to a key, on every machine the same.

    >>> drawn("plan", "math", 0, 1).whole(1, 1000) == drawn("plan", "math", 0, 1).whole(1, 1000)
    True
    """
    return Draw(key)
