"""One module a source of data: raw files in, records out. A module's ``PARTS`` are found by being there."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from harness_ext.errors import InputError
from harness_ext.tasks.eibench.parts import Part


@cache
def all_parts() -> dict[str, Part]:
    """Every part of every reader module, by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return {part.name: part for module in modules for part in module.PARTS}


def part_of(name: str) -> Part:
    """The part called ``name``, with or without ``eibench_``.

    Raises:
        InputError: there is no such part.

    >>> part_of("eibench_tweet_emotion").labels
    ('anger', 'joy', 'optimism', 'sadness')
    """
    parts = all_parts()
    if (known := parts.get(name.removeprefix("eibench_"))) is None:
        raise InputError(f"EiBench-R has no part {name!r}; it has {', '.join(sorted(parts))}.")
    return known
