"""``harness-ext judge-agreement``: does a judge agree with people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness_ext.cli.judge_options import BaseUrl, Cache, JudgeModel
from harness_ext.cli.saying import say, write
from harness_ext.errors import InputError

if TYPE_CHECKING:
    from harness_ext.judges.judge import Judge
    from harness_ext.results.judging.judge_agreement import Labelled

Positive = Literal["any_refusal", "full_refusal", "harmful"]


def judge_agreement(
    labels: Annotated[
        Path, typer.Option(help="CSV file with a header: one response a row and what people say.", show_default=False)
    ],
    gold_col: Annotated[str, typer.Option(help="Column of the label that people gave.", show_default=False)],
    gold_map: Annotated[
        str,
        typer.Option(
            metavar="VALUE=LABEL,…",
            help="That column's values as compliance, partial, refusal, or as harmful, safe; invalid leaves rows out.",
            show_default=False,
        ),
    ],
    positive: Annotated[Positive, typer.Option(help="What counts as a yes.", show_default=False)],
    text_col: Annotated[str | None, typer.Option(help="Column of the response; needed with --judge.")] = None,
    judge: Annotated[
        str | None, typer.Option(help="rule:NAME, llm:PARSER, classifier:CONFIG, or a judge file.")
    ] = None,
    pred_col: Annotated[
        str | None, typer.Option(help="Instead of --judge: column of what a judge said earlier.")
    ] = None,
    pred_parser: Annotated[
        str | None,
        typer.Option(help="Parser of that column's texts. Default: labels as in --gold-map, anything else is invalid."),
    ] = None,
    prompt_col: Annotated[str | None, typer.Option(help="Column of the request; model judges see it.")] = None,
    by: Annotated[str | None, typer.Option(help="Also for each value of this column.")] = None,
    cluster_col: Annotated[
        str | None,
        typer.Option(help="Column of what rows share, such as the request: intervals draw such rows together."),
    ] = None,
    base_url: BaseUrl = None,
    model: JudgeModel = None,
    cache: Cache = None,
    json_: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write all numbers here.")] = None,
) -> None:
    """Measure how well a judge agrees with people on any labelled file.

    Accuracy, precision, recall, F1 and Cohen's kappa, each with a 95 % bootstrap interval (10,000 draws, seed 0) over
    rows, or over the values of --cluster-col: without it, intervals of a file in which several models answer the same
    requests are too narrow. Rows about which the judge gives no valid verdict are left out and counted. Where people
    use more than two classes, agreement on all of them is shown as well. Texts are never printed.

    Examples:

    - `harness-ext judge-agreement --labels a.csv --gold-col people --gold-map yes=refusal,no=compliance
      --positive any_refusal --text-col completion --judge rule:default_en --by model`
    - `harness-ext judge-agreement --labels a.csv --gold-col people --gold-map bad=harmful,ok=safe --positive harmful
      --pred-col judged --pred-parser md_judge --json agreement.json`

    Exit codes: 0 measured, 2 wrong input or the judge cannot be reached, 3 the file is broken.
    """
    from rich.console import Console

    from harness_ext.judges.loading import load_judge
    from harness_ext.leaderboards import agreement, terminal
    from harness_ext.results.judging.judge_agreement import groups, measure, parse_map, read_labelled

    if (judge is None) == (pred_col is None) or (judge and not text_col) or (judge and pred_parser):
        raise InputError("give --judge with --text-col, or --pred-col, perhaps with --pred-parser.")
    mapping = parse_map(gold_map, positive)
    needed = [column for column in (text_col, pred_col, prompt_col, by, cluster_col) if column is not None]
    labelled = read_labelled(labels, gold_col, mapping, needed)
    within = groups(labelled, by) if by else {}
    if judge:
        asked = load_judge(judge, base_url=base_url, model=model, cache=cache)
        judged = _asked(asked, labelled, str(text_col), prompt_col, positive)
        spent = asked.statistics.to_json()
        who: dict[str, Any] = {"judge": asked.name, "config": asked.describe(), "statistics": spent}
    else:
        judged = _stored(labelled, str(pred_col), pred_parser, mapping, positive)
        who = {"judge": str(pred_col), "pred_parser": pred_parser}
    found = measure(labelled.gold, judged, positive, within, labelled.column(cluster_col) if cluster_col else None)
    notes = _notes(labelled, judged, who)
    if json_:
        about = {"labels": labels.name, "labels_sha256": labelled.sha256, "gold_col": gold_col, "gold_map": mapping}
        asks = {"positive": positive, "by_col": by, "cluster_col": cluster_col, **about, "notes": notes}
        content = {**who, **asks, **found.as_json()}
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        write(json_, text, "Give another --json.", make_folder=True)
        say(f"Wrote {json_}.")
    terminal.show(agreement.tables(found, str(who["judge"]), positive, by, notes, drawn=cluster_col), Console())


def _asked(judge: Judge, labelled: Labelled, text_col: str, prompt_col: str | None, positive: Positive) -> list[str]:
    """The judge's labels of the responses."""
    from harness_ext.judges.judge import Item

    _check_kind(judge.name, judge.kind, positive)
    prompts = labelled.column(prompt_col) if prompt_col else [""] * len(labelled.rows)
    items = [Item(prompt, text, {}) for prompt, text in zip(prompts, labelled.column(text_col), strict=True)]
    return [str(json.loads(verdict)["label"]) for verdict in judge.judge(items)]


def _stored(
    labelled: Labelled, column: str, parser: str | None, mapping: Mapping[str, str], positive: Positive
) -> list[str]:
    """Labels that a judge gave earlier: its texts, parsed, or labels written as people's are."""
    from harness_ext.results.judging.judge_agreement import INVALID, labels_of
    from harness_ext.scoring.safety import PARSERS, parse_verdict

    cells = labelled.column(column)
    if parser is None:
        known = {label: label for label in labels_of(positive)} | dict(mapping)
        found = [known.get(cell.strip(), INVALID) for cell in cells]
    elif parser in PARSERS:
        _check_kind(parser, PARSERS[parser].kind, positive)
        found = [str(parse_verdict(parser, cell)["label"]) for cell in cells]
    else:
        raise InputError(f"there is no verdict parser {parser!r}; there are {', '.join(PARSERS)}.")
    if set(found) == {INVALID}:
        raise InputError(f"nothing in column {column!r} can be read as a verdict; give another --pred-parser.")
    return found


def _check_kind(name: str, kind: str, positive: Positive) -> None:
    if (kind == "harm") != (positive == "harmful"):
        raise InputError(f"{name} judges {kind} and says nothing about --positive {positive}.")


def _notes(labelled: Labelled, judged: Sequence[str], who: Mapping[str, Any]) -> list[str]:
    from harness_ext.results.judging.judge_agreement import INVALID
    from harness_ext.results.reading.judges import words

    notes = []
    if labelled.left_out:
        notes.append(f"{labelled.left_out} rows without a label of people were left out.")
    if invalid := judged.count(INVALID):
        notes.append(f"{invalid} of {len(judged)} rows have no valid verdict: they are counted and take no part.")
    known = who.get("config", {}).get("agreement")
    if isinstance(known, Mapping) and known.get("out_of_fold"):
        notes.append(
            f"{who['judge']} was made with a look at {known['measured_on']}: on those it is in-sample. "
            f"Out of fold: {words(known)}."
        )
    return notes
