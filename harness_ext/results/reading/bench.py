"""What a benchmark declares of itself in ``tasks/<bench>/bench.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
