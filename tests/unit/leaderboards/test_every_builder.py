"""What every table owes its reader, whichever benchmark built it and in whichever format it is read.

An interval with every measured number, the paired difference to the base with a mark where it is real, and n; also
of details and of means over the leaves that ran.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.leaderboards import build, latex, markdown, page, spreadsheet, terminal
from harness_ext.leaderboards.evidence import Evidence
from harness_ext.leaderboards.table import Cell, Column, Table
from harness_ext.results.reading.runs import read
from harness_ext.scoring.soft_labels import agg_parse_failure, agg_s_mae, agg_s_rmse, agg_s_rmse_worst, agg_spearman
from harness_ext.tasks.eibench.aspects import EI_ASPECTS

DOCS = 60
COUNTS = {"n", "Docs", "Leaves"}
FIXED = {"Chance", "Rank"}
"""Numbers that no sample of docs stands behind."""
FOLLOWING = {"Δ trivial", "Beats constant", "gi_retention"}
"""Differences to a fixed number, and a ratio whose note points to the difference beside it."""
DIFFERENCES = {"Δ base", "gi_delta"}
DISTANCES = {"w1_marginal", "jsd_hist9_bits"}
"""Between two distributions: no interval where they are so near that every resample is farther, as the note says."""
INTERVAL = re.compile(r"\[[-+−\d.]+, [-+−\d.]+\]")

Benchmarks = dict[str, tuple[list[str], dict[str, Callable[[random.Random, float], Any]], dict[str, Any]]]


def share(random: random.Random, quality: float) -> float:
    return float(random.random() < quality)


def percent(random: random.Random, quality: float) -> float:
    return 100 * share(random, quality)


def failing(random: random.Random, quality: float) -> float:
    return share(random, 1 - quality)


def pair(random: random.Random, quality: float) -> list[float]:
    gold = random.random()
    return [gold, min(1.0, max(0.0, gold + random.uniform(-1, 1) * (1 - quality)))]


def triple(random: random.Random, quality: float) -> list[float | bool]:
    return [*pair(random, quality), random.random() > quality]


AGGREGATIONS = {
    "s_rmse": agg_s_rmse, "s_mae": agg_s_mae, "spearman": agg_spearman, "s_rmse_worst": agg_s_rmse_worst,
    "parse_failure": agg_parse_failure,
}  # fmt: skip
SOFT = {"s_rmse": pair, "s_mae": pair, "spearman": pair, "s_rmse_worst": triple, "parse_failure": failing}
BENCHMARKS: Benchmarks = {
    "mbtibench": ([f"mbtibench_zero_shot_{code}" for code in ("ei", "sn", "tf", "jp")], SOFT, {}),
    "eibench": (
        [f"eibench_{part}" for parts in EI_ASPECTS.values() for part in parts],
        {"ei_score": percent, "parse_failure": failing},
        {},
    ),
    "eibench_gi": (
        ["eibench_gi_boolq", "eibench_gi_rte"],
        {"gi_score": percent, "parse_failure": failing},
        {},
    ),
    "eibench, some leaves": (
        ["eibench_meld", "eibench_isear", "eibench_cee"],
        {"ei_score": percent, "parse_failure": failing},
        {},
    ),
    "eibench_gi, one leaf fewer": (
        ["eibench_gi_boolq", "eibench_gi_rte", "eibench_gi_piqa"],
        {"gi_score": percent, "parse_failure": failing},
        {},
    ),
    "safety": (
        ["safety_xstest", "safety_oktest"],
        {"over_refusal": failing, "unsafe_compliance": failing, "invalid": failing},
        {"filter": "xstest"},
    ),
    "toy": (["toy_a"], {"acc": share, "f1": share}, {}),
}


@pytest.fixture
def results(write_run: Any, request: pytest.FixtureRequest) -> Path:
    """Runs of one benchmark: a base model and one that is clearly better on the same docs."""
    tasks, metrics, changes = BENCHMARKS[request.param]
    folder = Path()
    for model, quality in (("base", 0.35), ("tuned", 0.8)):
        written = []
        for task in tasks[:-1] if model == "tuned" and "one leaf fewer" in request.param else tasks:
            draws = random.Random(f"{model} {task}")
            samples = [
                {name: item(draws, quality) for name, item in metrics.items()} | changes | author(number)
                for number in range(DOCS)
            ]
            used = {name: AGGREGATIONS.get(name, mean) for name in metrics}
            written.append(write_run(model, samples, task=task, aggregations=used, metadata=told(task)))
        folder = joined(written)
    return folder.parent


def author(number: int) -> dict[str, Any]:
    """Whose posts a doc holds, for the subsets of MBTIBench."""
    return {"id": number, "doc": {"source": ("kaggle", "pandora", "twitter")[number % 3], "trait_words": number < 20}}


def joined(folders: list[Path]) -> Path:
    """One run of all tasks, as lm-eval writes it, in the first folder."""
    first, *others = folders
    (file,) = first.glob("results_*")
    content = json.loads(file.read_text())
    for folder in others:
        (own,) = folder.glob("results_*")
        more = json.loads(own.read_text())
        for name in ("results", "configs", "higher_is_better", "n-samples"):
            content[name] |= more[name]
        for samples in folder.glob("samples_*"):
            samples.rename(first / samples.name)
        own.unlink()
    file.write_text(json.dumps(content))
    return first


def mean(items: Any) -> float:
    return float(sum(items) / len(items))


def told(task: str) -> dict[str, Any]:
    part = task.removeprefix("eibench_gi_").removeprefix("eibench_").removeprefix("safety_")
    return {"source": "emobench", "chance": 0.5} | ({} if task.startswith(("mbti", "toy")) else {"part": part})


def tables(folder: Path) -> list[Table]:
    evidence = Evidence(base="base", details=True)
    runs = read([folder], evidence.visit)
    return build.tables(evidence.with_differences(build.with_base(runs.frame, "base")), partial=True)


def numbers(table: Table) -> Iterator[tuple[Column, Cell]]:
    """Every measured number that docs stand behind."""
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            name = column.name.rstrip("↑↓ \u00a0")
            if column.numeric and math.isfinite(cell.value) and name not in COUNTS | FIXED | FOLLOWING:
                yield column, cell


every_builder = pytest.mark.parametrize("results", BENCHMARKS, indirect=True)


@every_builder
def test_every_measured_number_has_its_interval(results: Path) -> None:
    found = [(table.title, column.name, cell) for table in tables(results) for column, cell in numbers(table)]
    assert len(found) >= 4
    without = [one for one in found if not one[2].low < one[2].high or not INTERVAL.search(one[2].text)]
    assert [one for one in without if one[1] not in DISTANCES] == []


@every_builder
def test_a_better_run_has_its_difference_to_the_base_with_interval_and_mark_and_n_stands_beside_it(
    results: Path,
) -> None:
    made = tables(results)
    cells = [cell for table in made for column, cell in numbers(table) if column.name in DIFFERENCES]
    assert cells and all(cell.low <= cell.value <= cell.high for cell in cells)
    assert any(cell.text.endswith("*") and not cell.low <= 0 <= cell.high for cell in cells)
    assert all(cell.text.endswith("*") == (not cell.low <= 0 <= cell.high) for cell in cells)
    assert any("*: real" in note for table in made for note in table.notes)
    shown = {
        cell.text
        for table in made
        for row in table.rows
        for cell, column in zip(row, table.columns, strict=True)
        if column.name in COUNTS
    }
    assert any(str(DOCS) in text for text in shown)


def in_terminal(made: list[Table], folder: Path) -> str:
    del folder
    file = io.StringIO()
    terminal.show(made, Console(file=file, force_terminal=True, width=400, color_system=None))
    return file.getvalue()


def in_html(made: list[Table], folder: Path) -> str:
    evidence = Evidence(base="base")
    runs = read([folder], evidence.visit)
    return re.sub(r"<[^>]*>", "", page.render(runs.frame, made, runs, evidence))


RENDERERS: dict[str, Callable[[list[Table], Path], str]] = {
    "markdown": lambda made, _: markdown.render(made).replace("\\", ""),
    "latex": lambda made, _: latex.render(made).replace("{[}", "[").replace("{]}", "]").replace("$-$", "-"),
    "terminal": in_terminal,
    "html": in_html,
}


@every_builder
@pytest.mark.parametrize("form", RENDERERS)
def test_every_interval_is_in_every_format(results: Path, form: str) -> None:
    made = tables(results)
    text = RENDERERS[form](made, results)
    hidden = "".join(re.findall(r"Not shown[^\n]*", text)) if form == "latex" else ""
    hidden = hidden.replace(r"\allowbreak{}", "").replace(r"\_", "_")
    wanted = {
        interval
        for table in made
        for column, cell in numbers(table)
        if column.name not in hidden
        for interval in INTERVAL.findall(cell.text)
    }
    assert wanted and {interval for interval in wanted if interval not in text} == set()


@every_builder
def test_files_for_machines_hold_the_ends_of_every_interval_as_numbers(results: Path) -> None:
    evidence = Evidence(base="base")
    frame = evidence.with_differences(build.with_base(read([results], evidence.visit).frame, "base"))
    rows = [row for row in csv.DictReader(io.StringIO(spreadsheet.render(frame))) if row["level"] == "task"]
    assert rows and all(float(row["low"]) < float(row["high"]) for row in rows if float(row["stderr"] or 1) > 0)
    done = CliRunner().invoke(app, ["table", str(results), "--base", "base", "--json"])
    content = json.loads(done.stdout)["tables"]
    cells = [cell for table in content for row in table["rows"] for cell in row if isinstance(cell, dict)]
    assert cells and all(cell["low"] < cell["high"] for cell in cells if INTERVAL.search(cell["text"]))
    assert sum(INTERVAL.search(cell["text"]) is not None for cell in cells) >= 4
