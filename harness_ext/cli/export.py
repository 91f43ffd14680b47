"""``harness-ext export``: results for other programs and collections of results."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness_ext.cli.saying import as_json, say, write

if TYPE_CHECKING:
    from harness_ext.leaderboards.every_eval_ever import Record

_WAY_OUT = "Give another folder as -o."


def export(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS", help="Result files of lm-eval, or folders that hold them.")
    ],
    to: Annotated[Literal["every-eval-ever", "tsv"], typer.Option(help="The form to write.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    organization: Annotated[
        str | None,
        typer.Option(help="Who ran the evaluation, and made models that are no names of the Hub; for every-eval-ever."),
    ] = None,
    show_samples: Annotated[
        bool, typer.Option("--show-samples", help="Also export samples of harmful, personal or unknown sources.")
    ] = False,
) -> None:
    """Write results for other programs: records of Every Eval Ever, or answers as TSV for toolkits of vision models.

    `every-eval-ever` writes records of its schema 0.3, one a benchmark and results file, samples beside them, with
    intervals, judges, dialogues and derived scores. All or nothing: a task that has no place in the schema is named,
    and nothing is written. `tsv` writes the answers, one file a model and task, in the layout of VLMEvalKit. Both need
    lm-eval's --log_samples for what they say of single docs.

    Examples:

    - `harness-ext export results/ --to every-eval-ever --organization my-lab -o export`
    - `harness-ext export results/ --to tsv -o export`

    Exit codes: 0 written, 2 wrong input or a task that cannot be exported, 3 a file is broken.
    """
    from harness_ext.errors import InputError
    from harness_ext.leaderboards import every_eval_ever, samples_tsv
    from harness_ext.results.reading.runs import read

    if to == "tsv":
        runs = read(results)
        files, notes = samples_tsv.files(runs, unlocked=show_samples)
        for name, text in files:
            write(output / name, text, _WAY_OUT, make_folder=True)
            say(f"Wrote {output / name}.")
    elif not organization or "/" in organization:
        raise InputError("--to every-eval-ever says who ran the evaluation: give a name without / as --organization.")
    else:
        looked = every_eval_ever.Looked.new()
        runs = read(results, looked.visit)
        told = every_eval_ever.records(runs, looked, organization=organization, now=time.time(), unlocked=show_samples)
        for record in told.records:
            say(f"Wrote {_write(output, record)}.")
        notes = told.notes
    for note in [*runs.notes, *notes]:
        say(f"note: {note}")


def _write(folder: Path, record: Record) -> Path:
    """Write a record and its samples, one sample in memory at a time; returns the path of the record."""
    path = folder / record.path
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = path.with_name(f"{path.stem}_samples.jsonl")
    digest, count = hashlib.sha256(), 0
    part = samples.with_name(f".{samples.name}")
    with part.open("wb") as file:
        for count, line in enumerate(record.samples(), 1):  # noqa: B007 - how many there were
            encoded = json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
            digest.update(encoded)
            file.write(encoded)
    content = record.content
    if count:
        part.replace(samples)
        content |= {
            "detailed_evaluation_results": {
                "format": "jsonl",
                "file_path": str(record.path.with_name(samples.name)),
                "hash_algorithm": "sha256",
                "checksum": digest.hexdigest(),
                "total_rows": count,
            }
        }
    else:
        part.unlink()
    write(path, f"{as_json(content)}\n", _WAY_OUT)
    return path
