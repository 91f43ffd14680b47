"""``harness-ext data soft-labels``: soft labels from the graded votes of three annotators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from harness_ext.cli.saying import say, write
from harness_ext.errors import InputError

if TYPE_CHECKING:
    from harness_ext.scoring.em import SoftLabels

_STANDARD_OUTPUT = Path("-")


class AnnotatedRecord(NamedTuple):
    """One line of the input."""

    line: int
    """Line number from 1, for messages."""
    id: Any
    """The record's id; its position from 1 where it has none."""
    votes: Mapping[str, Mapping[str, str]]
    """Dimension to annotator to option."""


def soft_labels(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSONL records with a field `annotation`.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="JSONL file to write; `-` is standard output.")
    ] = _STANDARD_OUTPUT,
    tol: Annotated[
        float, typer.Option(min=0, help="Stop when no posterior changes by this much; 1e-8 converges.")
    ] = 0.1,
    prior: Annotated[
        Literal["hard", "soft"],
        typer.Option(help="Prior of a pole: share of items on its side of 0.5 (hard), or mean posterior (soft)."),
    ] = "hard",
    normalise_init: Annotated[
        bool, typer.Option("--normalise-init", help="Start from shares of votes instead of counts.")
    ] = False,
    max_iter: Annotated[int, typer.Option(min=1, help="Largest number of expectation steps.")] = 10_000,
) -> None:
    """Turn the graded votes of three annotators into soft and hard labels.

    Every record of FILE holds `annotation`: for each dimension `X/Y` (such as `E/I`) the options `X+`, `X-`, `Y-`
    or `Y+` of the same three annotators. The output has a line per record with `id`, `softlabels` (0 = first pole, 1 =
    second pole) and `hardlabels` (the pole of the majority). All records are fitted together, each dimension alone.

    The defaults reproduce the released labels of MBTIBench, whose algorithm stops before it has converged; the model
    of Dawid and Skene is `--prior soft --normalise-init --tol 1e-8`.

    Examples:

    - `harness-ext data soft-labels annotated.jsonl`
    - `harness-ext data soft-labels annotated.jsonl --output labels.jsonl --prior soft --normalise-init --tol 1e-8`

    Exit codes: 0 labels were written, 2 wrong input.
    """
    import json

    from harness_ext.scoring.em import em_soft_labels, majority_pole

    if not tol >= 0:
        raise InputError("--tol must be a number of at least 0.")
    if output.resolve() == file.resolve():
        raise InputError(f"{output} holds the votes and would be overwritten. Give another --output.")
    records = _read(file)
    annotators = _annotators(file, records)
    labels: list[dict[str, Any]] = [{"id": record.id, "softlabels": {}, "hardlabels": {}} for record in records]
    for dimension in records[0].votes:
        first, second = dimension.split("/")
        votes = [[record.votes[dimension][annotator] for annotator in annotators] for record in records]
        fit = em_soft_labels(
            votes, first, second, tol=tol, max_iter=max_iter, prior=prior, normalise_init=normalise_init
        )
        hard = majority_pole(votes, first, second)
        _report(dimension, fit, tol)
        for row, soft, pole in zip(labels, fit.soft.tolist(), hard, strict=True):
            row["softlabels"][dimension] = soft
            row["hardlabels"][dimension] = pole
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in labels)
    if output == _STANDARD_OUTPUT:
        typer.echo(text, nl=False)
    else:
        write(output, text, "Give another path.")
        say(f"Wrote {output}.")


def _read(file: Path) -> list[AnnotatedRecord]:
    """Records of a JSONL file, each with an ``annotation`` mapping; blank lines are skipped."""
    from harness_ext.files import FileError, parse_json, text_lines

    try:
        lines = list(text_lines(file))
    except FileError as error:
        raise InputError(f"{file} cannot be read ({error}). Give a JSONL file in UTF-8.") from error
    records: list[AnnotatedRecord] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except FileError as error:
            raise InputError(f"{file} line {number} is not JSON ({error}). Give one JSON object a line.") from error
        votes = record.get("annotation") if isinstance(record, dict) else None
        if not isinstance(votes, dict) or not votes or not all(isinstance(v, dict) for v in votes.values()):
            raise InputError(
                f"{file} line {number} has no field `annotation` of the form "
                '{"E/I": {"A1": "E+", "A2": "E-", "A3": "I-"}, ...}. Add it or drop the line.'
            )
        records.append(AnnotatedRecord(number, record.get("id", len(records) + 1), votes))
    if not records:
        raise InputError(f"{file} holds no record. Give one JSON object with `annotation` a line.")
    return records


def _annotators(file: Path, records: list[AnnotatedRecord]) -> list[str]:
    """The three annotators of the first record, after checking that every record has a vote of each of them."""
    dimensions = list(records[0].votes)
    annotators = sorted(records[0].votes[dimensions[0]])
    if len(annotators) != 3:
        raise InputError(
            f"{file} line {records[0].line} dimension {dimensions[0]} has {len(annotators)} annotators "
            f"({', '.join(annotators)}). The algorithm needs the votes of three."
        )
    for dimension in dimensions:
        poles = dimension.split("/")
        if len(poles) != 2 or not all(poles) or poles[0] == poles[1]:
            raise InputError(f"{file} line {records[0].line}: dimension {dimension!r} is not of the form `E/I`.")
    for record in records:
        for dimension in dimensions:
            for problem in _problems(record, dimension, dimensions, annotators):
                raise InputError(f"{file} line {record.line}: {problem}")
    return annotators


def _problems(record: AnnotatedRecord, dimension: str, dimensions: list[str], annotators: list[str]) -> Iterable[str]:
    """What is wrong with the votes of a record on one dimension."""
    if set(record.votes) != set(dimensions):
        yield (
            f"dimensions are {', '.join(record.votes)}, but the first record has {', '.join(dimensions)}. "
            "Every record needs the same ones."
        )
        return
    votes = record.votes[dimension]
    if missing := [annotator for annotator in annotators if annotator not in votes]:
        yield f"dimension {dimension} lacks annotator {', '.join(missing)}. Every record needs the same three."
        return
    if strangers := sorted(set(votes) - set(annotators)):
        yield f"dimension {dimension} has a further annotator {', '.join(strangers)}. The algorithm takes three."
    first, second = dimension.split("/")
    options = (f"{first}+", f"{first}-", f"{second}-", f"{second}+")
    for annotator in annotators:
        if votes[annotator] not in options:
            yield (
                f"dimension {dimension} annotator {annotator} has the unknown option {votes[annotator]!r}. "
                f"Options are {', '.join(options)}."
            )


def _report(dimension: str, fit: SoftLabels, tol: float) -> None:
    """Say on stderr how the fit ended; a fit that hit ``--max-iter`` is not one to use unnoticed."""
    change = fit.iterations[-1][0]
    end = f"last change {change:.2g}" if change < tol else f"stopped by --max-iter with a last change of {change:.2g}"
    say(f"{dimension}: {len(fit.soft)} records, {len(fit.iterations)} steps, {end}")
