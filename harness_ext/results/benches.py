"""Finds what benchmarks bring beside their numbers, in every package of the entry-point group ``lm_eval.tasks``.

A benchmark is one folder of such a package, named like its ``metadata.bench``. What it may bring is found by name and
never imported statically; tables load the first four kinds, which therefore need no torch, datasets or lm_eval:

* ``scores``: ``process_results`` and the aggregations that only this benchmark needs;
* ``bench``: :data:`BENCH`, a :class:`Bench`, and ``check_published(rows)``, which finds what does not hold together
  in its published numbers (:mod:`harness_ext.results.published.checks`);
* ``derived``: rows computed from several leaves or runs;
* ``table``: ``build(rows, *, partial)``: tables of its own, and ``groups(rows)``: what its figure of groups compares
  (:class:`harness_ext.leaderboards.table.Groups`);
* ``emotion_consistency``: ``classifier()``, which finds the emotion of a dialogue in a reply;
* ``published.csv`` and ``baselines.csv``: numbers of papers and of trivial predictors.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

from harness_ext.errors import DataError

GROUP = "lm_eval.tasks"
OURS = "harness_ext.tasks"

Kind = Literal["scores", "bench", "derived", "table", "emotion_consistency"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Mean:
    """A mean over leaves that lm-eval's groups cannot express: the benchmark's headline in comparisons of runs."""

    name: str
    metric: str
    weights: Mapping[str, float]
    """Of each leaf, by its task's name; together 1."""
    groups: Sequence[str] = ()
    """Groups whose comparison asks for this mean."""
    higher_is_better: bool = True


@dataclass(frozen=True)
class Bench:
    """A benchmark as tables and figures know it; everything is optional, and the generic table serves without.

    >>> Bench(headline="acc").headline
    'acc'
    """

    headline: str = ""
    """The metric that the benchmark is judged by; empty: the one that most of its tasks report first."""
    printed: Mapping[str, str] = field(default_factory=dict)
    """How papers print the names of metrics, e.g. ``{"s_rmse": "S-RMSE"}``."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Printed names of parts by the last piece of a leaf's name, e.g. ``{"ei": "E/I"}``; see ``reading.placement``."""
    usual: Mapping[str, object] = field(default_factory=dict)
    """Values of metadata switches that go without saying, e.g. ``{"aliases": "on"}``; any other is a run's setting."""
    soft_labels: str = ""
    """The metric whose items are pairs of a gold label and a prediction in [0, 1], which have a figure of their own."""
    means: Sequence[Mean] = ()
    """Means over leaves that runs are compared by."""
    asks: Mapping[str, str] = field(default_factory=dict)
    """What is asked, in a few words, by the beginning of a task's or group's name; the longest beginning counts."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Docs of a task, by the beginning of its name likewise; and of a group that runs other docs than its tasks do."""


@functools.cache
def packages() -> tuple[str, ...]:
    """The packages that hold tasks: ours first, then those of other installed distributions, by name."""
    others = sorted({entry.module for entry in entry_points(group=GROUP)} - {OURS})
    return (OURS, *others)


def places() -> Iterator[tuple[str, Path]]:
    """Every one of :func:`packages` with each folder that holds it."""
    for package in packages():
        try:
            spec = importlib.util.find_spec(package)
        except Exception:  # another package's code; the start-up hook names it where tasks are loaded
            spec = None
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield package, Path(place)


class Home(NamedTuple):
    """Where a benchmark lives."""

    package: str
    folder: Path


@functools.cache
def homes() -> Mapping[str, Home]:
    """Every installed benchmark's home by its name; of two with one name the first of :func:`packages` counts.

    >>> homes()["mbtibench"].package
    'harness_ext.tasks'
    """
    found: dict[str, Home] = {}
    for package, place in places():
        for folder in sorted(place.iterdir()):
            if folder.is_dir() and _NAME.fullmatch(folder.name):
                found.setdefault(folder.name, Home(package, folder))
    return found


@functools.cache
def _with_tasks() -> frozenset[str]:
    return frozenset(bench for bench, home in homes().items() if any(home.folder.glob("*.yaml")))


def named(task: str) -> str:
    """The benchmark that a task's or group's name begins with, the longest one that has tasks; empty for none.

    >>> named("eibench_gi_boolq"), named("eibench_meld"), named("mmlu_anatomy")
    ('eibench_gi', 'eibench', '')
    """
    pieces = task.split("_")
    names = ("_".join(pieces[:count]) for count in range(len(pieces), 0, -1))
    return next((name for name in names if name in _with_tasks()), "")


@functools.cache
def module(bench: str, kind: Kind) -> ModuleType | None:
    """The module of that kind that a benchmark brings, or None.

    Raises:
        DataError: it is there, but cannot be imported.

    >>> module("no_such_bench", "table") is None
    True
    """
    home = homes().get(bench)
    if home is None or not (home.folder / f"{kind}.py").is_file():
        return None
    name = f"{home.package}.{bench}.{kind}"
    try:
        return importlib.import_module(name)
    except Exception as error:  # perhaps another package's code
        raise DataError(f"{name} cannot be imported: {error}. Mend or uninstall its package.") from error


@functools.cache
def declared(bench: str) -> Bench:
    """What a benchmark declares of itself; the defaults where it declares nothing.

    >>> declared("no_such_bench").headline
    ''
    """
    found = module(bench, "bench")
    return getattr(found, "BENCH", Bench())
