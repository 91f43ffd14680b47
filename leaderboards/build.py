"""The tables for a frame: each benchmark's own, the generic one where it brings none."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from harness_ext.errors import InputError
from harness_ext.leaderboards import generic, usage
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.leaderboards.table import Entry, Table
from harness_ext.results import benches
from harness_ext.results.published.tables import load
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.reader import short
from harness_ext.results.reading.runs import Runs


def of_runs(
    runs: Runs, evidence: Evidence, *, base: str | None = None, published: bool = True, partial: bool = False
) -> tuple[pd.DataFrame, list[Table]]:
    """Everything that is shown of runs: their numbers beside others, and the tables of them.

    Args:
        runs: read with ``evidence.visit``.
        evidence: what it saw.
        base: the model that runs without a method are compared with; see :func:`with_base`.
        published: add published numbers and trivial baselines of the same benchmarks.
        partial: see :func:`tables`.

    Raises:
        InputError: there is no result, or no model called ``base``.
    """
    if runs.frame.empty:
        raise InputError("no result of lm-eval was found; give the folder of its --output_path.")
    measured = evidence.with_differences(with_base(runs.frame, base) if base else runs.frame)
    frame = with_published(measured) if published else measured[measured.origin == "measured"]
    return frame, usage.noted(tables(frame, partial=partial), frame, runs.usage)


def tables(frame: pd.DataFrame, *, partial: bool = False) -> list[Table]:
    """The comparison tables of all benchmarks in the frame, sample data always in tables of its own.

    Args:
        frame: columns of :data:`harness_ext.results.reading.frame.COLUMNS`.
        partial: average the parts that are there where a benchmark's mean lacks some; they are named either way.
    """
    rows: dict[str, list[Row]] = {}
    for row in to_rows(frame):
        rows.setdefault(row.bench, []).append(row)
    built: list[Table] = []
    for bench in sorted(rows):
        build = getattr(benches.module(bench, "table"), "build", generic.build)
        built += [replace(table, bench=bench) for table in build(rows[bench], partial=partial)]
    return built


def with_base(frame: pd.DataFrame, base: str) -> pd.DataFrame:
    """The frame with ``base`` as the base model of all measured runs that name none.

    Args:
        frame: columns of :data:`harness_ext.results.reading.frame.COLUMNS`.
        base: a model as tables name it, with its method and settings or without, or the path that was shortened.

    Raises:
        InputError: no measured run has a model of this name.
    """
    entries = [Entry.of(row) if row.origin == "measured" else None for row in to_rows(frame)]
    wanted = next((name for name in (base, short(base)) if any(own and own.called(name) for own in entries)), None)
    if wanted is None:
        known = ", ".join(sorted({own.name for own in entries if own}))
        raise InputError(f"no result of a model {base!r}; there are {known}.")
    concerned = [bool(own and not own.base and not own.called(wanted)) for own in entries]
    return frame.assign(base=frame.base.mask(pd.Series(concerned, index=frame.index), wanted))


def with_published(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the published numbers and trivial baselines of every benchmark that was measured on real data."""
    benches = sorted(frame[frame.data == "real"].bench.unique())
    parts = [frame, *(load(kind, bench) for bench in benches for kind in ("baselines", "published"))]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else frame
