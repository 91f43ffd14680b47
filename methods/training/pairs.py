"""Rows of several roles, laid out for all epochs: which forget row meets which retain row, and when.

A pure function of the seed, so a run goes on anywhere. Row *n* of the layout holds one row of each role. The first
role's rows all pass once an epoch; every other role has an order of its own, so that its rows, too, pass all once
before any passes again, and meet other rows of the first role each time. What belongs to one row, such as another
answer to its question, is a row inside that row: ``{"input_ids": …, "labels": …, "alternate": {…}}``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Role → its rows; the first role's are those that an epoch is counted in."""


def laid_out(rows: Rows, seed: int, start: int = 0) -> Iterator[dict[str, dict[str, Any]]]:
    """Role → row, without end; ``start`` skips that many. Each row has its ``number`` among those of its role.

    >>> from itertools import islice
    >>> rows = {"forget": [{"x": 0}, {"x": 1}], "retain": [{"x": n} for n in range(2, 5)]}
    >>> layout = list(islice(laid_out(rows, seed=0), 6))
    >>> layout[4:] == list(islice(laid_out(rows, seed=0, start=4), 2))
    True
    >>> sorted(pair["forget"]["x"] for pair in layout[:2]), sorted(pair["retain"]["x"] for pair in layout[:3])
    ([0, 1], [2, 3, 4])
    """
    seeds = [seed if place == 0 else f"{seed}|{role}" for place, role in enumerate(rows)]
    orders = [order(len(own), one, start) for own, one in zip(rows.values(), seeds, strict=True)]
    for numbers in zip(*orders, strict=True):
        yield {role: {**rows[role][number], "number": number} for role, number in zip(rows, numbers, strict=True)}


def order(count: int, seed: int | str, start: int = 0) -> Iterator[int]:
    """Row numbers without end, every row once an epoch, each epoch shuffled anew; ``start`` skips that many.

    >>> from itertools import islice
    >>> list(islice(order(3, seed=0), 6)) == [*islice(order(3, seed=0), 2), *islice(order(3, seed=0, start=2), 4)]
    True
    """
    epoch, skipped = divmod(start, count)
    while True:
        numbers = list(range(count))
        random.Random(f"{seed}|{epoch}").shuffle(numbers)  # noqa: S311 (an order, no secret)
        yield from numbers[skipped:]
        epoch, skipped = epoch + 1, 0
