"""Finds what benchmarks bring beside their numbers, in every package of the entry-point group ``lm_eval.tasks``.

A benchmark is one folder of such a package, named like its ``metadata.bench``. Of its modules, tables load four by name
(never statically, so that they work without torch): ``scores`` (aggregations), ``bench`` (:data:`BENCH`), ``derived``
(rows computed from several leaves or runs) and ``table`` (tables of its own).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import Literal

GROUP = "lm_eval.tasks"
OURS = "harness_ext.tasks"

Kind = Literal["scores", "bench", "derived", "table"]

# A name comes from a result file: nothing but a plain folder name may be looked up.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Bench:
    """A benchmark as tables and figures know it; everything is optional, and the generic table serves without.

    >>> Bench(headline="acc").headline
    'acc'
    """

    headline: str = ""
    """The metric that the benchmark is judged by; empty: the one that most of its tasks report first."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Printed names of parts by the last piece of a leaf's name, e.g. ``{"ei": "E/I"}``."""
    usual: Mapping[str, object] = field(default_factory=dict)
    """Values of metadata switches that go without saying, e.g. ``{"aliases": "on"}``; any other is a run's setting."""


@functools.cache
def packages() -> tuple[str, ...]:
    """The packages that hold tasks: ours first, then those of other installed distributions, by name."""
    others = sorted({entry.module for entry in entry_points(group=GROUP)} - {OURS})
    return (OURS, *others)


@functools.cache
def module(bench: str, kind: Kind) -> ModuleType | None:
    """The module of that kind that a benchmark brings, or None.

    >>> module("no_such_bench", "table") is None
    True
    """
    if not _NAME.fullmatch(bench):
        return None
    for package in packages():
        name = f"{package}.{bench}.{kind}"
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            continue
        if found is not None:
            return importlib.import_module(name)
    return None


@functools.cache
def declared(bench: str) -> Bench:
    """What a benchmark declares of itself; the defaults where it declares nothing.

    >>> declared("no_such_bench").headline
    ''
    """
    found = module(bench, "bench")
    return found.BENCH if found else Bench()
