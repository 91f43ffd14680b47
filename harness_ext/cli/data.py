"""``harness-ext data``: see, fetch and check the data that tasks and methods read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness_ext.cli import soft_labels as _soft_labels
from harness_ext.cli.saying import AsJson, group, print_json, print_table, write
from harness_ext.errors import DataError, InputError

if TYPE_CHECKING:
    from harness_ext.data.cards import Card

app = group("See, fetch and check the data that tasks and methods read.")

# Subcommands that live in files of their own.
app.command("soft-labels")(_soft_labels.soft_labels)

Source = Annotated[str, typer.Argument(help="Name of a card; `harness-ext data list` shows all.", show_default=False)]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all data sources: licence, what is sensitive, and how many of the files are here.

    Examples:

    - `harness-ext data list`
    - `harness-ext data list --json`
    """
    from harness_ext.data.cards import list_sources, load_card
    from harness_ext.data.fetching import local_copies

    rows: list[dict[str, Any]] = []
    for card in map(load_card, list_sources()):
        here = sum(bool(local_copies(card, file)) for file in card.files)
        rows.append(
            {
                "source": card.source,
                "name": card.hub.pretty_name,
                "licence": card.hub.license,
                "sensitive": list(card.sensitive),
                "files": len(card.files),
                "present": here,
                "missing": len(card.files) - here,
                "bytes": sum(file.bytes for file in card.files),
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        ["source", "name", "licence", "sensitive", "files here"],
        [
            [
                row["source"],
                row["name"],
                row["licence"],
                ", ".join(row["sensitive"]),
                f"{row['present']} of {row['files']}",
            ]
            for row in rows
        ],
    )


@app.command()
def show(source: Source, as_json: AsJson = False) -> None:
    """Show a card: licence, defects, fields, and where each file is or would be downloaded from.

    Examples:

    - `harness-ext data show tweeteval`
    """
    from harness_ext.data.cards import load_card
    from harness_ext.data.cards_page import facts
    from harness_ext.data.fetching import local_copies

    card = load_card(source)
    if as_json:
        print_json(card.model_dump(mode="json"))
        return
    licence, *others = facts(card, quote="")
    named = ("source", f"{card.source} ({card.hub.pretty_name})")
    for name, value in (named, licence, ("acceptance", _acceptance(card)), *others):
        typer.echo(f"{name + ':':<14}{value}")
    typer.echo(f"\n{card.prose}\n")
    rows = []
    for file in card.files:
        here = [str(copy) for copy in local_copies(card, file)] or ["missing"]
        rows.append([file.name, str(file.bytes), "" if file.rows is None else str(file.rows), here[0]])
    print_table(["file", "bytes", "rows", "here"], rows)


@app.command()
def fetch(
    source: Source,
    files: Annotated[
        list[str] | None, typer.Argument(help="Names of files of the card.", metavar="FILE", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every file of the card.")] = False,
) -> None:
    """Fetch files of a source and print their local paths.

    A file that is in `HARNESS_EXT_MIRROR` or in the cache is only checked; any other is downloaded into the cache,
    once its licence is accepted where that is asked for (`harness-ext data accept`).

    Examples:

    - `harness-ext data fetch tweeteval emotion/test_text.txt`
    - `harness-ext data fetch reccon --all`

    Exit codes: 2 no such card or file, 3 the file cannot be had or is not the one that the card pins.
    """
    from harness_ext.data import fetch as fetch_file
    from harness_ext.data import load_card

    names = load_card(source).names
    if everything == bool(files):
        raise InputError(f"give either names of files of {source!r} or --all; it has: {', '.join(names)}.")
    for name in names if everything else files or []:
        typer.echo(fetch_file(source, name))


@app.command()
def accept(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Names of cards.", metavar="SOURCE", show_default="list the sources that ask"),
    ] = None,
) -> None:
    """Accept the licence of sources that restrict commercial use, derived work or training, once on this machine.

    Such a source is not downloaded before. Copies of your own, in `HARNESS_EXT_MIRROR` or in the cache, are used
    without asking. Without names, all sources that ask are listed and nothing is accepted.

    Examples:

    - `harness-ext data accept`
    - `harness-ext data show meld`
    - `harness-ext data accept meld`

    Exit codes: 2 no such card, 3 the cache cannot be written.
    """
    from harness_ext.data import acceptance
    from harness_ext.data.cards import list_sources, load_card

    if not sources:
        asking = [card for card in map(load_card, list_sources()) if acceptance.restrictions(card)]
        given = {True: "yes", False: "no"}
        print_table(
            ["source", "licence", "restricts", "accepted"],
            [
                [c.source, c.licence, "; ".join(acceptance.restrictions(c)), given[acceptance.is_accepted(c)]]
                for c in asking
            ],
        )
        return
    for card in [load_card(source) for source in sources]:  # a wrong name before anything is recorded
        if not acceptance.restrictions(card):
            typer.echo(f"{card.source}: needs no acceptance ({card.licence})")
            continue
        acceptance.accept(card)
        typer.echo(f"{card.source}: accepted {card.licence} ({'; '.join(acceptance.restrictions(card))})")


@app.command()
def verify(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Names of cards.", metavar="SOURCE", show_default="all cards"),
    ] = None,
) -> None:
    """Check every local copy against its card: size, SHA-256 and rows, computed anew.

    Examples:

    - `harness-ext data verify`
    - `harness-ext data verify meld reccon`

    Exit codes: 0 every copy that is here is right (missing files are only counted), 3 a copy is wrong.
    """
    from harness_ext.data.cards import list_sources, load_card
    from harness_ext.data.checks import check_copies

    wrong: list[str] = []
    for card in map(load_card, sources or list_sources()):
        report = check_copies(card)
        wrong += report.wrong
        typer.echo(f"{card.source}: {report.right} right, {len(report.wrong)} wrong, {report.missing} missing")
        for message in report.wrong:
            typer.echo(f"  {message}")
    if wrong:
        raise DataError(f"{len(wrong)} local files are not what their cards say; they are listed above.")


@app.command()
def page(
    output: Annotated[Path, typer.Argument(help="Markdown file to write.", show_default=False)],
) -> None:
    """Write one Markdown page of all cards.

    Examples:

    - `harness-ext data page cards.md`
    """
    from harness_ext.data.cards import list_sources, load_card
    from harness_ext.data.cards_page import cards_page

    write(output, cards_page([load_card(source) for source in list_sources()]), "Give another path.")
    typer.echo(output)


@app.command()
def croissant(
    source: Source,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="standard output")
    ] = None,
) -> None:
    """Print a card as Croissant 1.0 JSON-LD.

    Examples:

    - `harness-ext data croissant tweeteval`
    - `harness-ext data croissant tweeteval -o tweeteval.croissant.json`
    """
    from harness_ext.data.cards import load_card
    from harness_ext.data.croissant import to_croissant

    content = to_croissant(load_card(source))
    if output is None:
        print_json(content)
    else:
        write(output, json.dumps(content, ensure_ascii=False, indent=2) + "\n", "Give another path.")
        typer.echo(output)


def _acceptance(card: Card) -> str:
    from harness_ext.data.acceptance import is_accepted, restrictions

    if not restrictions(card):
        return "not needed"
    return "given" if is_accepted(card) else f"needed before a download: harness-ext data accept {card.source}"
