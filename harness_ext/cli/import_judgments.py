"""``harness-ext import-judgments``: what a judge said before about MT-Bench answers, as results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness_ext.cli.saying import say
from harness_ext.errors import InputError

if TYPE_CHECKING:
    from harness_ext.tasks.mtbench.judgments import Judgments, Place

_MOST_NAMED = 10


def import_judgments(
    file: Annotated[Path, typer.Argument(help="Judgments in FastChat's form, JSON lines.", show_default=False)],
    task: Annotated[str, typer.Option(help="The leaf that was judged, such as mtbench_ko.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results, as lm-eval's --output_path.", show_default=False)],
    compat: Annotated[bool, typer.Option("--compat", help="Means over all rows, repeated ones included.")] = False,
    penalty: Annotated[
        Path | None,
        typer.Option(
            help="The answers that were judged: a score for one in another language becomes its square root, as "
            "KoMT-Bench has it.",
            show_default="no penalty",
        ),
    ] = None,
) -> None:
    """Turn stored judgments of MT-Bench answers into results and samples that `harness-ext table` reads.

    Of several judgments of one question and turn the latest counts. A judgment without a rating (an error text, a
    context that was too long) is invalid: it is named and in no mean. The turns without a score are counted.

    Examples:

    - `harness-ext import-judgments gpt-4_single.jsonl --task mtbench_ko --out judged`
    - `harness-ext import-judgments gpt-4_single.jsonl --task mtbench_ko --penalty answers.jsonl --out judged`

    Exit codes: 0 written, 2 wrong input, 3 a file is missing or broken.
    """
    from harness_ext.results.judging.imported import Judged, write
    from harness_ext.tasks.mtbench.judgments import penalised, read
    from harness_ext.tasks.mtbench.questions import EDITIONS, Question, questions
    from harness_ext.tasks.mtbench.replay import turns_of

    edition = task.removeprefix("mtbench_")
    if edition not in EDITIONS:
        known = ", ".join(f"mtbench_{name}" for name in EDITIONS)
        raise InputError(f"--task {task}: judgments are of {known}.")
    language = edition.removeprefix("lb_")
    found = read(file)
    if not found:
        raise InputError(f"{file} has no judgments.")
    metadata: dict[str, Any] = {"version": 1.0, "bench": "mtbench", "part": edition, "language": language}
    judged_ids = dict.fromkeys(id for own in found for id, _ in (*own.scores, *own.invalid))
    if all(id.startswith("sample-") for id in judged_ids):  # they must never pass as a benchmark
        metadata["data"] = "sample"
        asked = [Question(id, "", [], []) for id in judged_ids]
    else:
        asked = questions(edition)
    for own in found:
        if penalty is not None:
            own, changed = penalised(own, turns_of(penalty), language)
            say(f"{own.model}: {len(changed)} scores of answers in another language are penalised{_named(changed)}.")
        judged = [
            Judged(
                {"id": question.id, "category": question.category},
                [own.scores.get((question.id, turn), math.nan) for turn in (1, 2)],
                sum((question.id, turn) in own.invalid and (question.id, turn) not in own.scores for turn in (1, 2)),
            )
            for question in asked
        ]
        about: dict[str, Any] = {"name": f"judge_{own.judge}", "type": "stored", "model": own.judge}
        about |= {"penalty": language} if penalty is not None else {}
        results, _ = write(task, own.model, judged, about, metadata, out)
        ids = [question.id for question in asked]
        say(_told(own, ids, compat))
        say(f"Wrote {results}.")


def _told(own: Judgments, questions: list[str], compat: bool) -> str:
    """The numbers of one model in a line."""
    one, two, both = (own.turn(number, compat=compat) for number in (1, 2, None))
    missing = own.missing(questions)
    by_turn = ", ".join(
        f"turn {turn}: {count} missing" for turn in (1, 2) if (count := sum(at == turn for _, at in missing))
    )
    means = f"turn 1 {one:.4g}, turn 2 {two:.4g}, mean {both:.6g}, n {len(own.scores)}"
    failed = f"{len(own.invalid)} invalid{_named(own.invalid)}; {own.duplicates} repeated"
    return f"{own.model}, judged by {own.judge}: {means}; {failed}; {by_turn or 'none missing'}."


def _named(places: list[Place] | Any) -> str:
    if not places:
        return ""
    told = ", ".join(f"question {id} turn {turn}" for id, turn in places[:_MOST_NAMED])
    return f" ({told}{', …' if len(places) > _MOST_NAMED else ''})"
