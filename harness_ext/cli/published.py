"""``harness-ext published``: numbers from papers, each with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness_ext.cli.saying import print_json
from harness_ext.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, help="Look at published numbers, each with its source, and check them.")

Format = Literal["table", "csv", "json"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the benchmarks with published numbers: how many, of how many models, from which sources.

    Examples:

    - `harness-ext published list`
    """
    from harness_ext.results.published.tables import load

    frame = load("published")
    rows = [
        {
            "bench": str(bench),
            "numbers": len(group),
            "models": int(group.model.nunique()),
            "sources": sorted(group.citation.unique()),
        }
        for bench, group in frame.groupby("bench")
    ]
    if json_:
        print_json(rows)
        return
    _show(["Benchmark", "Numbers", "Models", "Sources"], [[*row.values()] for row in rows])


@app.command()
def show(
    bench: Annotated[str, typer.Argument(help="A benchmark of `harness-ext published list`.")],
    model: Annotated[str | None, typer.Option(help="Only models whose name contains this.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show the published numbers of a benchmark with table, row and column of the source.

    Examples:

    - `harness-ext published show mbtibench`
    - `harness-ext published show tofu --model Llama-2-7B-chat --metric forget_quality`
    - `harness-ext published show mmmlu --format csv > mmmlu.csv`

    Exit codes: 0 shown, 2 nothing matches.
    """
    from harness_ext.results.published.tables import load

    frame = load("published", bench)
    if frame.empty:
        known = ", ".join(sorted(load("published").bench.unique()))
        raise InputError(f"no published numbers for {bench!r}; there are some for {known}.")
    if model is not None:
        frame = frame[frame.model.str.contains(model, case=False, regex=False)]
    if metric is not None:
        frame = frame[frame.metric == metric]
    if frame.empty:
        raise InputError(f"{bench} has published numbers, but none for this model and metric.")
    _print(frame, format_)


@app.command()
def validate(json_: Json = False) -> None:
    """Check all published numbers: schema, ranges, repetitions, and columns that follow from others.

    What a source prints wrong is listed in leaderboards/known_exceptions.csv with the reason.

    Examples:

    - `harness-ext published validate`

    Exit codes: 0 all hold, 1 something does not.
    """
    from harness_ext.results.published.checks import check_all

    verdict = check_all()
    if json_:
        print_json({**verdict._asdict(), "findings": [item._asdict() for item in verdict.findings]})
    else:
        for finding in verdict.findings:
            typer.echo(f"{finding.bench}: {finding.check}: {finding.row}: {finding.problem}")
        counted = f"{verdict.rows} published numbers, {verdict.exceptions} known exceptions"
        typer.echo(f"{counted}, {len(verdict.findings)} problems.", err=bool(verdict.findings))
    if verdict.findings:
        raise typer.Exit(1)


def _print(frame: pd.DataFrame, form: Format) -> None:
    said = [name for name in frame.columns if name != "origin" and frame[name].replace("", None).notna().any()]
    if form == "csv":
        from harness_ext.leaderboards import spreadsheet

        typer.echo(spreadsheet.render(frame[said]), nl=False)
    elif form == "json":
        typer.echo(frame[said].to_json(orient="records", force_ascii=False, indent=2))
    else:
        shown = ["model", "method", "variant", "task", "part", "metric", "value", "unit", "setting", "locator"]
        columns = [name for name in shown if name in said]
        _show(columns, frame[columns].astype(object).to_numpy().tolist())
        sources = frame.groupby("citation", sort=False).transcribed_from.first()
        for citation, source in sources.items():
            typer.echo(f"• {citation}, read from {source}")


def _show(columns: list[str], rows: list[list[object]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = 160
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    console.print(table)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(value) if isinstance(value, list) else str(value)
