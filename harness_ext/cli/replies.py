"""``harness-ext replies``: text metrics that are too slow or too weak to be part of a run, on stored replies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from harness_ext.cli.saying import AsJson, plain, print_json
from harness_ext.errors import DataError, InputError

if TYPE_CHECKING:
    from harness_ext.results.reading.runs import TaskRun


class _Reply(NamedTuple):
    text: str
    reference: str
    emotion: str | None


def replies(
    run: Annotated[Path, typer.Argument(help="Folder of lm-eval's --output_path, or a results or samples file.")],
    emo_consistency: Annotated[
        bool, typer.Option("--emo-consistency", help="Does a classifier find the dialogue's emotion in the reply?")
    ] = False,
    bertscore: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="BERTScore with the encoder in this folder.", show_default=False),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(min=1, help="Layer of the encoder.", show_default="the authors' choice, else the last")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Score the stored free replies of a run once more: emotion consistency, BERTScore.

    Reads every task of the run whose docs carry a reference reply, such as `eibench_ed_response`; the run needs
    lm-eval's `--log_samples`. Nothing here enters `ei_score`. The emotion consistency is printed beside that of the
    human replies to the same docs, which is low, too: it is a diagnostic and no ranking. BERTScore needs the extra
    `bertscore`, downloads nothing, and carries the encoder's name, because scores of two encoders do not compare.

    Examples:

    - `harness-ext replies results --emo-consistency`
    - `harness-ext replies results --bertscore models/roberta-large --json`

    Exit codes: 2 wrong input, 3 data missing or broken.
    """
    from harness_ext.results.reading.runs import load_run

    if not (emo_consistency or bertscore):
        raise InputError("nothing to compute: give --emo-consistency, --bertscore FOLDER or both.")
    scores: list[dict[str, Any]] = []
    for task in load_run(run).tasks.values():
        if found := _stored(task):
            scores += _scores(task, found, emo_consistency, bertscore, layer)
    if not scores:
        raise InputError(f"{run} holds no samples of a task with reference replies; was it run with --log_samples?")
    _show(scores, json_)


def _stored(task: TaskRun) -> list[_Reply]:
    """The replies of a task whose docs have references; empty for any other task."""
    from harness_ext.scoring.answers import MARKERS, answer_of

    found: list[_Reply] = []
    try:
        for sample in task.lines() if task.samples else ():
            doc = sample.get("doc")
            answers = sample.get("filtered_resps")
            if not (isinstance(doc, dict) and doc.get("refs") and isinstance(answers, list) and answers):
                return []
            if not isinstance(answers[0], str):
                return []
            text = answer_of(answers[0], doc.get(MARKERS)).text.strip()
            found.append(_reply(text, doc))
    except ValueError as error:
        raise DataError(f"{task.samples}: {error}.") from error
    return found


def _reply(text: str, doc: Mapping[str, Any]) -> _Reply:
    refs, meta = doc["refs"], doc.get("meta") or {}
    emotion = meta.get("emotion") if isinstance(meta, dict) else meta
    if not (isinstance(refs, list) and isinstance(refs[0], str) and isinstance(emotion, str | None)):
        raise ValueError("a doc has refs or an emotion that are no texts")
    return _Reply(text, refs[0], emotion)


def _scores(
    task: TaskRun, found: list[_Reply], emo_consistency: bool, encoder: Path | None, layer: int | None
) -> list[dict[str, Any]]:
    from harness_ext.results import benches

    about = {"task": task.task, "docs": len(found)}
    texts, references = [reply.text for reply in found], [reply.reference for reply in found]
    emotions = [reply.emotion for reply in found if reply.emotion is not None]
    scores: list[dict[str, Any]] = []
    bench = next(iter(task.rows.values())).bench
    brought = benches.module(bench, "emotion_consistency") if emo_consistency and len(emotions) == len(found) else None
    if brought:
        from harness_ext.replies.emotion_consistency import emo_consistency as share

        own, human = (share(brought.classifier(), replies, emotions) for replies in (texts, references))
        scores.append({**about, "metric": "emo_consistency", "value": own, "human_replies": human})
    if encoder:
        from harness_ext.replies.bertscore import bertscore

        result = bertscore(encoder, texts, references, layer=layer)
        scores.append({**about, "metric": result.metric, "value": result.mean, "layer": result.layer})
    return scores


def _show(scores: list[dict[str, Any]], json_: bool) -> None:
    if json_:
        print_json(scores)
        return
    for score in scores:
        beside = {"human_replies": "human replies {:.2f}", "layer": "layer {}"}
        notes = ", ".join(text.format(score[key]) for key, text in beside.items() if key in score)
        typer.echo(f"{plain(score['task'])}  {score['metric']}  {score['value']:.2f}  ({notes}; {score['docs']} docs)")
