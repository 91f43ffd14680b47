"""``harness-ext table``: comparison tables from result files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from harness_ext.cli.saying import say, write

if TYPE_CHECKING:
    import pandas as pd

    from harness_ext.leaderboards.evidence import Evidence
    from harness_ext.leaderboards.table import Cell, Table
    from harness_ext.results.reading.runs import Runs

Format = Literal["md", "csv", "tex", "html"]


def table(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS", help="Result files of lm-eval, or folders that hold them.")
    ],
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write the table here (.md, .csv, .tex or .html); repeatable."),
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Format of the output; default: by the ending of --output.")
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(help="Show rows of which a text (model, task, setting, …) is this, * for anything; repeatable."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Show columns with this heading beside the first, * for anything; repeatable."),
    ] = None,
    published: Annotated[
        bool, typer.Option(help="Show published numbers and trivial baselines of the same benchmark as rows.")
    ] = True,
    base: Annotated[
        str | None,
        typer.Option(
            help="Model, as tables name it, that runs without a method.json are compared with: Δ base, retention."
        ),
    ] = None,
    seeds: Annotated[
        Literal["each", "mean"],
        typer.Option(help="Results that differ in seeds only: each by itself, or their mean and spread."),
    ] = "each",
    partial: Annotated[
        bool, typer.Option("--partial", help="Average the parts that are there where a mean lacks some; names them.")
    ] = False,
    show_samples: Annotated[
        bool, typer.Option("--show-samples", help="HTML: also show samples of harmful, personal or unknown sources.")
    ] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Compute what needs the samples: MBTIBench's further metrics and subsets.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a file could not be used.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print tables and problems as JSON for machines.")] = False,
) -> None:
    """Compare runs: a table a benchmark, beside published numbers and trivial baselines.

    Markdown, LaTeX (booktabs, longtable) and the terminal show one table a benchmark; CSV is the tidy frame, one line a
    number; HTML is one self-contained page with tables, plots and a sample viewer. Measured numbers have their
    interval, and the paired difference to the base model where there is one. Files that cannot be used are named on
    stderr with the reason.

    Examples:

    - `harness-ext table results/`
    - `harness-ext table results/ --output table.md`
    - `harness-ext table results/ --output page.html --output numbers.csv`
    - `harness-ext table results/ --output table.tex --rows "*llama*" --columns Setting --columns Mean`
    - `harness-ext table run1/ run2/ --format csv > numbers.csv`
    - `harness-ext table before/ after/ --base meta-llama/Llama-2-7b-chat-hf`

    Exit codes: 0 a table was made, 1 with --strict and an unusable file, 2 wrong input or no result at all.
    """
    from harness_ext.errors import InputError
    from harness_ext.leaderboards import build
    from harness_ext.leaderboards.evidence import Evidence
    from harness_ext.leaderboards.table import selected
    from harness_ext.results.reading.runs import read

    outputs = output or []
    if format_ and len(outputs) > 1:
        raise InputError("--format is for one output; of several each is written as its ending says.")
    forms = {path: format_ or _format_of(path) for path in outputs}
    evidence = Evidence(details=details, base=base or "")
    runs = read(results, evidence.visit, seeds=seeds)
    _warn(runs)
    frame, tables = build.of_runs(runs, evidence, base=base, published=published, partial=partial)
    tables = selected(tables, rows or (), columns or ())
    written = {}
    for path, form in forms.items():
        text = _text(form, frame, tables, runs, evidence, show_samples=show_samples)
        write(path, text, "Give another --output.", make_folder=True)
        written[path] = len(text.encode())
    if json_:
        typer.echo(_as_json(tables, runs))
    elif format_ and not outputs:
        typer.echo(_text(format_, frame, tables, runs, evidence, show_samples=show_samples), nl=False)
    else:
        from rich.console import Console

        from harness_ext.leaderboards import terminal

        terminal.show(tables, Console())
    for path, size in written.items():
        from rich.filesize import decimal

        say(f"Wrote {path} ({decimal(size)}).")
    if strict and runs.problems:
        raise typer.Exit(1)


def _format_of(output: Path) -> Format:
    from harness_ext.errors import InputError

    formats: dict[str, Format] = {f".{name}": name for name in get_args(Format)}
    if output.suffix not in formats:
        raise InputError(f"{output}: tables are written as {', '.join(formats)}; name the file so or give --format.")
    return formats[output.suffix]


def _text(
    form: Format, frame: pd.DataFrame, tables: list[Table], runs: Runs, evidence: Evidence, *, show_samples: bool
) -> str:
    from harness_ext.leaderboards import latex, markdown, page, spreadsheet

    match form:
        case "csv":
            return spreadsheet.render(frame)
        case "md":
            return markdown.render(tables)
        case "tex":
            return latex.render(tables)
        case "html":
            return page.render(frame, tables, runs, evidence, show_samples=show_samples)


_NAMED = 20
"""Unusable files named on stderr; --json names all of them."""


def _warn(runs: Runs) -> None:
    if runs.problems:
        count = len(runs.problems)
        say(f"warning: {count} {'file' if count == 1 else 'files'} could not be used:")
        for problem in runs.problems[:_NAMED]:
            say(f"  {problem.path}: {problem.reason}")
        if count > _NAMED:
            say(f"  … and {count - _NAMED} more; --json names all of them.")
    for note in runs.notes:
        say(f"note: {note}")


def _as_json(tables: list[Table], runs: Runs) -> str:
    return json.dumps(
        {
            "tables": [
                {
                    "title": table.title,
                    "kind": table.kind,
                    "columns": [column.name for column in table.columns],
                    "rows": [
                        [
                            _cell(cell) if column.numeric else cell.text
                            for cell, column in zip(row, table.columns, strict=True)
                        ]
                        for row in table.rows
                    ],
                    "notes": table.notes,
                }
                for table in tables
            ],
            "problems": [{"file": str(problem.path), "reason": problem.reason} for problem in runs.problems],
            "notes": runs.notes,
        },
        ensure_ascii=False,
        indent=2,
        allow_nan=False,
    )


def _cell(cell: Cell) -> dict[str, str | float | bool | None]:
    """A number with its interval and how tables print it; null where there is none."""
    value, low, high = (number if math.isfinite(number) else None for number in (cell.value, cell.low, cell.high))
    return {"value": value, "low": low, "high": high, "best": cell.best, "text": cell.text}
