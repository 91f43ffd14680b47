"""What people call from Python; :mod:`harness_ext` hands it out when it is first asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness_ext.leaderboards import build, comparison, markdown
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.leaderboards.table import Table
from harness_ext.results.reading import runs
from harness_ext.results.statistics.bootstrap import DRAWS, SEED
from harness_ext.results.statistics.compare import plan
from harness_ext.results.statistics.paired import Comparison, assess, corrected

__all__ = ["Comparisons", "Results", "Table", "compare", "evaluate", "read"]

Source = str | Path | Mapping[str, Any]
"""A results file, a folder of lm-eval's ``--output_path``, or what :func:`evaluate` returned."""


def evaluate(model: Any, **arguments: Any) -> dict[str, Any] | None:
    """lm-eval's ``simple_evaluate``, which finds the tasks and backends of installed packages.

    Args:
        model: name of a backend, or one of lm-eval's ``LM`` objects.
        arguments: those of ``lm_eval.simple_evaluate``: ``model_args``, ``tasks``, ``num_fewshot``, ``limit``, ….

    Returns:
        lm-eval's results with its samples, for :func:`read` and :func:`compare`; None on all but one of several
        processes.

    Raises:
        InputError: tasks are missing, or the model cannot do them.
    """
    from harness_ext import _autoload

    _autoload.install()
    from lm_eval import simple_evaluate

    found: dict[str, Any] | None = simple_evaluate(model, **arguments)
    return found


@dataclass(frozen=True, repr=False)
class Results:
    """Numbers of runs with their intervals, beside published and trivial ones; a notebook shows its tables."""

    frame: pd.DataFrame
    """One row a number; the columns are those of ``harness-ext table --format csv``."""
    tables: Sequence[Table]
    """The comparison table of each benchmark."""
    notes: Sequence[str]
    """What was left out, and files that could not be used."""

    def __repr__(self) -> str:
        return markdown.render(self.tables)

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


def read(
    *sources: Source,
    base: str | None = None,
    published: bool = True,
    partial: bool = False,
    seeds: runs.Seeds = "each",
    details: bool = False,
) -> Results:
    """Read results into a frame and tables, as ``harness-ext table`` does; arguments are that command's options.

    Args:
        sources: results files, folders, or what :func:`evaluate` returned.
        base: the model that runs without a method are compared with.
        published: add published numbers and trivial baselines of the same benchmarks.
        partial: average the parts that are there where a benchmark's mean lacks some.
        seeds: ``"mean"`` makes one of results that differ in nothing but seeds.
        details: compute what needs the samples, such as MBTIBench's further metrics.

    Raises:
        InputError: there is no result, or no model called ``base``.
    """
    with tempfile.TemporaryDirectory() as folder:
        evidence = Evidence(details=details, base=base or "")
        found = runs.read(_paths(sources, Path(folder)), evidence.visit, seeds=seeds)
        frame, tables = build.of_runs(found, evidence, base=base, published=published, partial=partial)
    return Results(frame, tables, [*map(str, found.problems), *found.notes])


@dataclass(frozen=True, repr=False)
class Comparisons:
    """Every pair of runs, a line a task and metric; a notebook shows its tables."""

    lines: Sequence[Comparison]
    tables: Sequence[Table]
    """One for each pair of runs."""
    notes: Sequence[str]

    def to_pandas(self) -> pd.DataFrame:
        """One row a line: values, difference with its interval, p-values, and the run that is better, if one is."""
        return pd.DataFrame([{**asdict(line), "better": line.better} for line in self.lines])

    def __repr__(self) -> str:
        return markdown.render(self.tables)

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


def compare(
    *sources: Source,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (),
    all_metrics: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Comparisons:
    """Test whether one run is better than another, as ``harness-ext compare`` does.

    Args:
        sources: two runs or more, with their samples.
        tasks: tasks and groups; all that the runs share by default.
        metrics: ``metric`` or ``metric,filter``; each task's headline metric by default.
        all_metrics: every metric that is reported.
        draws: number of bootstrap resamples and of random exchanges.
        seed: seed of both.

    Raises:
        NotComparableError: docs, prompts, data, judges, filters, task versions or settings differ.
        InputError: there is nothing to compare, or a name is unknown.
        DataError: a file is broken.
    """
    with tempfile.TemporaryDirectory() as folder:
        planned = plan(_paths(sources, Path(folder)), tasks=tasks, metrics=metrics, every_metric=all_metrics)
    lines = corrected([assess(job, draws=draws, seed=seed) for job in planned.jobs])
    return Comparisons(lines, comparison.tables(lines, planned.notes), planned.notes)


def _paths(sources: Sequence[Source], folder: Path) -> list[Path]:
    """The sources as files: what lm-eval returned is written as lm-eval writes it."""
    found = []
    for number, source in enumerate(sources, 1):
        if not isinstance(source, Mapping):
            found.append(Path(source))
            continue
        from lm_eval.utils import handle_non_serializable

        file = folder / f"run{number}" / "results_2000-01-01T00-00-00.json"  # a name that lm-eval might give
        file.parent.mkdir()
        file.write_text(json.dumps(source, default=handle_non_serializable, ensure_ascii=False), encoding="utf-8")
        found.append(file)
    return found
