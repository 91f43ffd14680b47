"""``harness-ext check`` and ``harness-ext lock``: what a reviewer would look at in tasks, ours and other people's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from harness_ext.cli.saying import as_json, plain, print_json, say, write

if TYPE_CHECKING:
    from harness_ext.checks.look import Report

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Tasks, groups, tags, folders of benchmarks, or YAML files.",
        metavar="NAME",
        show_default="all of --include-path, or all tasks of installed packages",
    ),
]
IncludePath = Annotated[
    list[Path] | None,
    typer.Option("--include-path", help="A folder that holds a folder a benchmark; may be given again."),
]


Moves = Literal["higher", "lower", "both", "not"]


def check(
    names: Names = None,
    include_path: IncludePath = None,
    docs: Annotated[
        Path | None,
        typer.Option(help="JSON Lines that stand in for the docs of every split, where a task's data is not at hand."),
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(help="What lm_eval's --metadata would say: JSON, such as a judge for judged tasks.")
    ] = None,
    prompts: Annotated[
        int | None, typer.Option(min=0, help="Docs of each task whose prompts are shown.", show_default="1 with a NAME")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
    sarif: Annotated[Path | None, typer.Option(help="Also write SARIF 2.1.0 for a code host or editor.")] = None,
) -> None:
    """Look at tasks as a reviewer would: YAML, metadata, names, data, prompts, leaks, scores, versions.

    Works on this package's tasks, on those of other installed packages and of folders, and on lm-eval's own. Tasks run
    on the sample of their folder or on their own data; gold answers, empty answers and constant ones are scored without
    a model. Each finding says where it is, why it matters and how it is mended; one that is meant is accepted by a
    comment in the file: `# check: NAME: reason`.

    Examples:

    - `harness-ext check`
    - `harness-ext check mybench --include-path tasks`
    - `harness-ext check arc_easy --docs docs.jsonl`
    - `harness-ext check --sarif findings.sarif`

    Exit codes: 0 nothing found, 1 something found, 2 no such task or file.
    """
    import harness_ext
    from harness_ext.checks import report as written
    from harness_ext.checks.look import choose, look
    from harness_ext.cli.arguments import metadata_of

    switches = metadata_of(metadata)
    records = None if docs is None else _records(docs)
    report = look(choose(names or (), include_path or ()), metadata=switches, records=records, progress=_with_bar)
    count = prompts if prompts is not None else int(bool(names))
    if json_:
        print_json(written.as_json(report, count))
    else:
        _print(report, count)
    if sarif is not None:
        log = written.as_sarif(report.findings, harness_ext.__version__)
        write(sarif, f"{as_json(log)}\n", "Give another path.")
    if report.findings:
        raise typer.Exit(1)


def lock(
    names: Names = None,
    include_path: IncludePath = None,
    moves: Annotated[
        Moves | None, typer.Option(help="Where scores go by the change.", show_default="asked where something changed")
    ] = None,
) -> None:
    """Record what prompts and scores are now in the `lock.json` of each benchmark's folder.

    `harness-ext check` then finds tasks whose prompts or scoring changed under the same version. Where they changed
    since the last time you are asked in which direction scores move; unless they do `not`, raise `version` first.

    Examples:

    - `harness-ext lock`
    - `harness-ext lock mybench --include-path tasks --moves higher`

    Exit codes: 0 written, 2 no such task, or a version that must be raised.
    """
    from harness_ext.checks.lock import LOCK, changes, read_lock, write_lock
    from harness_ext.checks.look import choose, entries
    from harness_ext.errors import InputError

    for folder, now in entries(choose(names or (), include_path or ())).items():
        then = read_lock(folder) or {}
        changed = {
            task: changes(then[task], entry)
            for task, entry in now.items()
            if task in then and (changes(then[task], entry) or then[task].version != entry.version)
        }
        if changed and moves is None:
            for task, what in changed.items():
                say(f"{folder.name}: {' and '.join(what) or 'version'} of {task} changed")
            moves = typer.prompt(f"Scores move ({', '.join(get_args(Moves))})", value_proc=_moves)
        for task, entry in now.items():
            if task not in changed:
                now[task] = entry._replace(moved=then[task].moved) if task in then else entry
                continue
            if then[task].version == entry.version and moves != "not":
                raise InputError(
                    f"{task}: scores move, but its version is {entry.version} as before. Raise version in metadata "
                    "and lock again."
                )
            now[task] = entry._replace(moved=moves or "new")
        kept = {task: entry for task, entry in then.items() if names and task not in now}
        typer.echo(write_lock(folder, kept | now))
        say(f"{folder.name}/{LOCK}: {len(now)} tasks, {len(changed)} changed")


def _moves(said: str) -> Moves:
    for known in get_args(Moves):
        if said.strip() == known:
            return cast(Moves, known)
    raise typer.BadParameter(f"{said!r} is none of {', '.join(get_args(Moves))}")


def _print(report: Report, count: int) -> None:
    from harness_ext.checks.report import lines, prompts, summary

    for loaded in report.loaded if count else ():
        for text in prompts(loaded, count):
            for line in text.split("\n"):
                typer.echo(plain(line))
    for line in lines(report):
        typer.echo(plain(line))
    for task, reason in report.left_out.items():
        say(f"{task}: docs and scores were not looked at: {reason}")
    say(summary(report))


def _with_bar(files: Any) -> Any:
    from tqdm import tqdm

    return tqdm(files, desc="tasks", unit="task", leave=False, disable=None)


def _records(path: Path) -> list[dict[str, Any]]:
    from harness_ext.errors import InputError
    from harness_ext.files import FileError, json_lines

    try:
        records = [record for _, record in json_lines(path)]
    except FileError as error:
        raise InputError(f"--docs {path} cannot be read ({error}). Give a file with one JSON object a line.") from error
    if not records or not all(isinstance(record, dict) for record in records):
        raise InputError(f"--docs {path} does not hold one JSON object a line.")
    return records
