"""``harness-ext new-task``: a benchmark's folder, card and test from a file of somebody's data."""

from __future__ import annotations

import keyword
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness_ext.cli.saying import say
from harness_ext.errors import InputError

if TYPE_CHECKING:
    from harness_ext.drafts.columns import Columns, Wanted
    from harness_ext.drafts.folder import Draft
    from harness_ext.drafts.sources import Source

Kind = Literal["classification", "soft-label", "generation", "multiple-choice", "multi-turn", "image"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")


def new_task(
    name: Annotated[str, typer.Argument(help="Of the task and its folder, in lower case.", show_default=False)],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FILE",
            help="CSV, JSON Lines or Parquet; a folder of pictures; or OWNER/NAME in the Hub's local cache.",
            show_default=False,
        ),
    ],
    kind: Annotated[Kind | None, typer.Option(help="What is asked.", show_default="found out")] = None,
    text: Annotated[str, typer.Option(help="Column of the text, question or messages.", show_default="found out")] = "",
    answer: Annotated[str, typer.Option(help="Column of the right answer.", show_default="found out")] = "",
    choices: Annotated[
        list[str] | None, typer.Option(help="Column of a choice; give all.", show_default="found out")
    ] = None,
    votes: Annotated[
        list[str] | None, typer.Option(help="Column of an annotator; give all.", show_default="found out")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="The Hub's name of it, such as cc-by-4.0.", show_default="asked")
    ] = None,
    redistributable: Annotated[
        bool | None,
        typer.Option(
            "--redistributable/--not-redistributable",
            help="Whether you may pass the data on: then it is copied beside the card, and rows are the sample.",
            show_default="asked",
        ),
    ] = None,
    language: Annotated[str, typer.Option(help="Of the data, such as en.")] = "en",
    package: Annotated[
        str, typer.Option(help="Write into a package of your own, which is made if need be.", show_default="tasks/")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what is found out, or fail.")] = False,
) -> None:
    """Write a task from a file: YAML, loader, sample, README, data card and a test that wants a golden number.

    The columns are looked at and what they are is proposed; only what cannot be found out is asked. Columns of
    annotators become soft labels. What is written is checked at once, as by `harness-ext check`. It stands in `tasks/`,
    `data_cards/` and `tests/` of this folder, or in a package of your own; nothing that is there is overwritten.

    Examples:

    - `harness-ext new-task moods --from moods.csv`
    - `harness-ext new-task moods --from moods.csv --redistributable --licence cc-by-4.0 --yes`
    - `harness-ext new-task birds --from pictures --package aviary`

    Exit codes: 0 written and nothing found, 1 written and something found, 2 wrong input, 3 the file is broken.
    """
    from harness_ext.drafts.columns import Wanted
    from harness_ext.drafts.folder import Draft, write
    from harness_ext.drafts.sources import read_source

    _require_names(name, package, language)
    with tempfile.TemporaryDirectory() as scratch:
        found = read_source(source, Path(scratch))
        wanted = Wanted(kind, text, answer, tuple(choices or ()), tuple(votes or ()))
        columns = _columns(found, wanted, ask=not yes)
        say(_described(columns, len(found.rows)))
        if redistributable is None:
            redistributable = not yes and typer.confirm("May you pass the data on?", default=False, err=True)
        if licence is None:
            licence = "unknown" if yes else typer.prompt("Its licence", default="unknown", err=True)
        if not yes:
            typer.confirm("Write it?", default=True, abort=True, err=True)
        draft = Draft(name, columns, found.rows, found.data, found.files, redistributable, language, licence, package)
        for path in write(draft, Path()):
            typer.echo(path)
    _check(draft)


def _columns(found: Source, wanted: Wanted, *, ask: bool) -> Columns:
    from dataclasses import replace

    from harness_ext.drafts.columns import UnknownColumnError, find_columns

    while True:
        try:
            return find_columns(found.rows, wanted, pictures=found.pictures)
        except UnknownColumnError as error:
            if not ask:
                raise
            many = error.option in ("votes", "choices")
            say(str(error))
            said = typer.prompt(f"{error.what}{' (separated by commas)' if many else ''}", err=True).strip()
            named: dict[str, Any] = {error.option: tuple(part.strip() for part in said.split(",")) if many else said}
            wanted = replace(wanted, **named)


def _described(columns: Columns, rows: int) -> str:
    """What was found out, in one line.

    >>> from harness_ext.drafts.columns import Columns
    >>> _described(Columns("classification", "text", "mood", labels=("joy", "fear")), 60)
    'classification of 60 rows: text is text, answer is mood; classes joy, fear'
    """
    roles = {
        "text": columns.text, "answer": columns.answer, "votes": ", ".join(columns.votes),
        "choices": ", ".join(columns.choices), "picture": columns.picture, "id": columns.id,
    }  # fmt: skip
    parts = [f"{role} is {column}" for role, column in roles.items() if column]
    classes = f"; classes {', '.join(columns.labels)}" if columns.labels else ""
    return f"{columns.kind} of {rows} rows: {', '.join(parts)}{classes}"


def _require_names(name: str, package: str, language: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > 60:
        raise InputError(f"{name!r} is no name of a task; give lower-case words joined by _, such as moods_en.")
    if package and (not _NAME.fullmatch(package) or keyword.iskeyword(package)):
        raise InputError(f"--package {package!r} is no name of a package; give lower-case words joined by _.")
    if not _LANGUAGE.fullmatch(language):
        raise InputError(f"--language {language!r} is no language tag; give one such as en or zh.")
    from harness_ext.checks.look import is_taken

    if is_taken(name):
        raise InputError(f"{name} is the name of a task, group or tag that exists. Give another.")


def _check(draft: Draft) -> None:
    """Look at what was written, on the sample and on all rows, and say how to go on."""
    from harness_ext.checks.look import choose, look
    from harness_ext.checks.report import lines, summary
    from harness_ext.cli.saying import plain

    folder = draft.bench.parent
    findings = 0
    for data in ("sample", "real"):
        report = look(choose([str(draft.bench / f"{draft.name}.yaml")], [folder]), metadata={"data": data})
        findings += len(report.findings)
        for line in lines(report):
            typer.echo(plain(line))
        say(f"{'sample' if data == 'sample' else 'all rows'}: {summary(report)}")
    say(f"next: put a known score into {draft.test}, and try the task:")
    model = "hf-multimodal --model_args pretrained=MODEL" if draft.columns.kind == "image" else "dummy"
    say(f"  lm_eval --model {model} --tasks {draft.name} --include_path {folder} --log_samples --output_path results")
    say("  harness-ext table results")
    if findings:
        raise typer.Exit(1)
