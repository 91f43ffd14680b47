"""``harness-ext rejudge``: score the saved answers of a run with another judge."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness_ext.cli.judge_options import BaseUrl, Cache, JudgeModel
from harness_ext.cli.saying import say
from harness_ext.errors import InputError

if TYPE_CHECKING:
    from harness_ext.judges.judge import Item, Judge, Statistics
    from harness_ext.leaderboards.table import Table
    from harness_ext.results.judging.answers import Answers, Sample
    from harness_ext.results.judging.rejudged import Number, Written


def rejudge(
    samples: Annotated[
        list[Path],
        typer.Argument(
            metavar="SAMPLES", help="Samples files of lm-eval, samples_TASK_DATE.jsonl.", show_default=False
        ),
    ],
    judge: Annotated[
        str,
        typer.Option(
            help="rule:NAME, llm:PARSER, classifier:CONFIG (a YAML file), or a judge file.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the new results, as lm-eval's --output_path.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="Suffix of the judge's metrics.", show_default="the rule's name, llm_<parser> or cls_<config>"
        ),
    ] = None,
    base_url: BaseUrl = None,
    model: JudgeModel = None,
    cache: Cache = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let a rule for one language judge answers in another.")
    ] = False,
) -> None:
    """Judge the saved answers of a run again, with another judge and without the model.

    Reads only samples files of lm-eval (--log_samples) and the results file beside each: no task, no data set, no
    model. Writes samples and results in lm-eval's layout, which are the source's with the numbers of this judge added;
    the source is never changed. The judge decides the metrics: one of refusal gives over_refusal, unsafe_compliance and
    safety_balance, one of harm attack_success and harm_score. A run that was stopped goes on where it was, because
    verdicts of models are kept.

    Examples:

    - `harness-ext rejudge results/my-model/samples_safety_xstest_*.jsonl --judge rule:refdir12 --out rejudged`
    - `harness-ext rejudge run/samples_*.jsonl --judge llm:cpi_grade --base-url http://gpu:8000/v1 --model m --out new`

    Exit codes: 0 judged, 2 wrong input or the judge cannot be reached, 3 a file is broken.
    """
    from itertools import islice

    from rich.console import Console

    from harness_ext.judges.loading import load_judge
    from harness_ext.leaderboards import terminal
    from harness_ext.results.judging.answers import by_run, read_answers
    from harness_ext.results.judging.rejudged import JudgedBy, Said, docs_to_judge, write

    asked = load_judge(judge, base_url=base_url, model=model, cache=cache, name=_suffix(name))
    # Everything is read, and what cannot be judged refused, before the first question is asked.
    runs = by_run([read_answers(path) for path in samples])
    docs = {own.path: docs_to_judge(own, asked.kind) for run in runs for own in run}
    items = [_item(own, line, force) for run in runs for own in run for line in docs[own.path]]
    verdicts = iter(asked.judge(items))
    said = [[Said(own, list(islice(verdicts, len(docs[own.path])))) for own in run] for run in runs]
    by = JudgedBy(asked.name, asked.kind, asked.three_class, _description(asked, items))
    about = {"statistics": asked.statistics.to_json(), "forced": force}
    written = [write(run, by, out, about) for run in said]
    terminal.show([_table(one, by.description, asked.statistics) for one in written], Console())
    for one in written:
        say(f"Wrote {one.results} and {len(one.samples)} samples file{'s' * (len(one.samples) > 1)}.")


def _suffix(name: str | None) -> str | None:
    """The name of a filter: part of lm-eval's metric keys, which have a comma."""
    if name is not None and not re.fullmatch(r"[\w.+-]+", name):
        raise InputError(f"--name {name!r} would be part of metric names: give letters, digits and _ . + - only.")
    return name


def _item(own: Answers, line: Sample, force: bool) -> Item:
    from harness_ext.judges.judge import Item
    from harness_ext.results.judging.answers import prompt, response

    told = {key: own.metadata[key] for key in ("language",) if key in own.metadata}
    return Item(prompt(line), response(line), {**told, **line["doc"], **({"force": True} if force else {})})


def _description(asked: Judge, items: Sequence[Item]) -> dict[str, Any]:
    """What is recorded of the judge; a rule that was forced upon another language has no measured agreement there."""
    about = asked.describe()
    own = about.get("language")
    forced = own is not None and any(item.doc.get("language", own) != own for item in items)
    return about | ({"agreement": "unmeasured"} if forced else {})


def _table(written: Written, judge: Mapping[str, Any], spent: Statistics) -> Table:
    """The judge's numbers beside those that the run had before."""
    from harness_ext.leaderboards.table import NOTHING, Cell, Column, Table
    from harness_ext.results.reading.judges import words

    others = list(dict.fromkeys(name for number in written.numbers for name in number.others))
    columns = (
        Column("task", numeric=False),
        Column("metric", numeric=False),
        Column("docs", optional=True),
        Column(str(judge["judge"])),
        *(Column(name, optional=True) for name in others),
    )

    def row(number: Number) -> tuple[Cell, ...]:
        values = (number.value, *(number.others.get(name, math.nan) for name in others))
        scores = (NOTHING if math.isnan(value) else Cell(f"{value:.4f}", value) for value in values)
        return (Cell(number.task), Cell(number.metric), Cell(str(number.n), number.n), *scores)

    kept = [f"{', '.join(others)}: as they were in the source."] if others else []
    counts = f"asked a model {spent.asked} times, {spent.cached} verdicts were known, {spent.invalid} invalid"
    unjudged = all(number.value == 1 for number in written.numbers if number.metric == "invalid")
    why = "No response has a verdict: all are empty, or the judge's answers are not of the form that its parser reads."
    notes = [
        f"Judge {judge['judge']}, version {judge['version']}; agreement with people: {words(judge.get('agreement'))}.",
        f"{'A rule, no model was asked' if judge.get('type') == 'rule' else counts.capitalize()}.",
        *([why] if unjudged else []),
        *kept,
        *written.notes,
    ]
    return Table(str(written.results.parent.name), columns, tuple(map(row, written.numbers)), tuple(notes))
