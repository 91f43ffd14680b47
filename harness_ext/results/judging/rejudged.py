"""A finished run judged again: lm-eval's samples and results once more, different in one judge's numbers only.

Who judges is not known here: verdicts come in as JSON strings, one for each doc.
"""

from __future__ import annotations

import copy
import hashlib
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from json import dumps
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.errors import InputError
from harness_ext.results.judging.answers import Answers, Sample
from harness_ext.results.judging.judged_metrics import Kind, Metric, judged_metrics, labels_judged
from harness_ext.results.reading.placement import bare_name
from harness_ext.results.reading.reader import rows_of
from harness_ext.results.reading.runs import Run, load_run

_BY_TASK = (
    *("results", "groups", "group_subtasks", "configs", "versions"),
    *("n-shot", "higher_is_better", "n-samples", "task_hashes"),
)
"""Parts of a results file that have one entry a task or group."""


class JudgedBy(NamedTuple):
    """What must be known of a judge to write down what it said."""

    name: str
    """The suffix of its metrics."""
    kind: Kind
    three_class: bool
    description: Mapping[str, Any]
    """What is recorded: type, version, model, prompt hash, …"""


class Said(NamedTuple):
    """What the judge said about one task."""

    answers: Answers
    verdicts: Sequence[str]
    """One for each of :func:`docs_to_judge`, a JSON string."""


class Number(NamedTuple):
    """One number of the judge, and the numbers of that metric that the run had before."""

    task: str
    metric: str
    n: int
    value: float
    others: Mapping[str, float]
    """By filter."""


class Written(NamedTuple):
    """What came of one run."""

    results: Path
    samples: list[Path]
    numbers: list[Number]
    notes: list[str]


def docs_to_judge(answers: Answers, kind: Kind) -> list[Sample]:
    """The docs that a judge of this kind has something to say about: all, or the harmful requests among them.

    Raises:
        InputError: there are none.
    """
    try:
        labels = labels_judged(kind, answers.labels)
    except ValueError as error:
        raise InputError(f"{answers.path}: {error}. Leave this file out.") from error
    return [line for line in answers.docs if line["doc"]["label"] in labels]


def write(together: Sequence[Said], judge: JudgedBy, folder: Path, about: Mapping[str, Any]) -> Written:
    """Write samples and results of one run with the numbers of a judge, in lm-eval's layout and with a date of now.

    Everything that the source says about the tasks stays as it was, except numbers of a judge of the same name. Means
    of groups are computed again where the source has them and all their tasks are here; other groups are left out.

    Args:
        together: what the judge said about tasks of one run.
        judge: who.
        folder: becomes the parent of the run's own folder, as lm-eval's ``--output_path``.
        about: what else is recorded, such as cache statistics.

    Raises:
        InputError: the folder cannot be written, or the judge has nothing to say.
    """
    every = [said.answers for said in together]
    content, run, notes = _started(every)
    numbers: list[Number] = []
    texts: dict[str, str] = {}
    for answers, verdicts in together:
        docs = docs_to_judge(answers, judge.kind)
        labels = [line["doc"]["label"] for line in docs]
        metrics = judged_metrics(judge.kind, labels, verdicts, three_class=judge.three_class)
        if any(line["filter"] == judge.name for line in answers.lines):
            notes.append(f"{answers.task}: what {judge.name} said before is replaced.")
        if len(docs) < len(answers.docs):
            notes.append(f"{answers.task}: a judge of harm was asked about the {len(docs)} harmful requests only.")
        texts[answers.task] = _samples(answers, docs, verdicts, metrics, judge.name)
        numbers += _score(content, answers, metrics, judge)
    for found in _score_groups(content, run, judge.name) if run else ():
        if isinstance(found, str):
            notes.append(found)
        else:
            numbers.append(found)
    content["date"] = time.time()
    content["rejudged"] = {"judge": dict(judge.description), "sources": [_source(own) for own in every], **about}
    return Written(*save(folder / _folder(content, every[0]), texts, dumps(content, indent=2)), numbers, notes)


def _started(together: Sequence[Answers]) -> tuple[dict[str, Any], Run | None, list[str]]:
    """The source's content without what belongs to other tasks, and the source with the groups whose tasks are here."""
    first, tasks = together[0], [own.task for own in together]
    if first.results is None:
        note = f"{first.path.parent}: no results file beside the samples, so the model is called like the folder."
        return _bare(together), None, [note]
    content = copy.deepcopy(dict(first.content))
    rows, _ = rows_of(content, first.results)
    run = load_run(first.results) if any(row.level == "group" for row in rows) else None
    told = run.groups if run else {}
    groups = {name: group for name, group in told.items() if set(group.leaves) <= set(tasks)}
    notes = [f"{name} is left out: samples of some of its tasks were not given." for name in told if name not in groups]
    for part in _BY_TASK:
        if isinstance(content.get(part), dict):
            content[part] = {name: own for name, own in content[part].items() if bare_name(name) in {*tasks, *groups}}
    return content, replace(run, groups=groups) if run else None, notes


def _bare(together: Sequence[Answers]) -> dict[str, Any]:
    """A results file from samples alone: the model is called like the folder."""
    folder = together[0].path.resolve().parent.name
    counts = {own.task: {"original": len(own.docs), "effective": len(own.docs)} for own in together}
    return {
        "results": {},
        "group_subtasks": {},
        "configs": {own.task: {"task": own.task, "metadata": _metadata(own)} for own in together},
        "versions": {},
        "n-shot": {},
        "higher_is_better": {},
        "n-samples": counts,
        "config": {"model": folder, "model_args": {}},
        "model_name": folder,
        "model_name_sanitized": folder,
    }


def _metadata(own: Answers) -> dict[str, Any]:
    """What the docs themselves tell: records of the bundled sample must never pass as a benchmark."""
    bundled = all(str(line["doc"].get("id")).startswith("sample-") for line in own.docs)
    return {"data": "sample"} if bundled else {}


def _source(own: Answers) -> dict[str, str]:
    about = {"samples": own.path.name, "samples_sha256": own.sha256}
    if own.results is None:
        return about
    digest = hashlib.sha256(own.results.read_bytes()).hexdigest()
    return about | {"results": own.results.name, "results_sha256": digest}


def _samples(
    own: Answers, docs: Sequence[Sample], verdicts: Sequence[str], metrics: Mapping[str, Metric], judge: str
) -> str:
    """All lines of the source but those of a judge of this name, then the new ones."""
    old = [line for line in own.lines if line["filter"] != judge]
    new = []
    for at, (line, verdict) in enumerate(zip(docs, verdicts, strict=True)):
        scored = line["metrics"] if isinstance(line.get("metrics"), list) else []
        kept = {key: value for key, value in line.items() if key not in scored}
        items = {name: metric.items[at] for name, metric in metrics.items()}
        new.append({**kept, "filtered_resps": [verdict], "filter": judge, "metrics": list(items), **items})
    return "".join(dumps(line) + "\n" for line in (*old, *new))


def _score(content: dict[str, Any], own: Answers, metrics: Mapping[str, Metric], judge: JudgedBy) -> Iterator[Number]:
    """Put the judge's numbers about one task into the results."""
    scores = content["results"].setdefault(own.task, {"name": own.task, "alias": own.task, "sample_len": len(own.docs)})
    config = content["configs"].setdefault(own.task, {"task": own.task})
    directions = content.setdefault("higher_is_better", {}).setdefault(own.task, {})
    _forget(scores, judge.name)
    listed = config.get("metric_list") or []
    config["metric_list"] = listed + [
        {"metric": name, "aggregation": metric.recorded, "higher_is_better": metric.higher_is_better}
        for name, metric in metrics.items()
        if name not in [entry.get("metric") for entry in listed]
    ]
    entry = {"name": judge.name, "filter": [{"function": "harness-ext rejudge", "judge": dict(judge.description)}]}
    filters = config.get("filter_list") or []
    config["filter_list"] = [one for one in filters if one.get("name") != judge.name] + [entry]
    for name, metric in metrics.items():
        value = metric.aggregation(metric.items)
        others = _others(scores, name)
        directions.setdefault(name, metric.higher_is_better)
        scores[f"{name},{judge.name}"] = value
        scores[f"{name}_stderr,{judge.name}"] = stderr_of(metric.items) if metric.recorded == "mean" else "N/A"
        yield Number(own.task, name, sum(map(_defined, metric.items)), value, others)


def _score_groups(content: dict[str, Any], run: Run, judge: str) -> Iterator[Number | str]:
    for name in run.groups:
        yield from _score_group(content, run, name, judge)


def _score_group(content: dict[str, Any], run: Run, name: str, judge: str) -> Iterator[Number | str]:
    """Put a group's means into the results, weighted as the source weights its tasks; or say why there is none."""
    group = run.groups[name]
    entries = [content[part][name] for part in ("results", "groups") if name in (content.get(part) or {})]
    for scores in entries:
        _forget(scores, judge)
    for metric in dict.fromkeys(metric for metric, _ in group.rows):
        key = f"{metric},{judge}"
        values = [content["results"][leaf].get(key) for leaf in group.leaves]
        if None in values:
            yield f"{name} has no {metric} of {judge}: some of its tasks have none."
            continue
        sources = [group.weightings(measure, run.tasks) for measure in group.rows if measure[0] == metric]
        ways = [way for way in sources[0] if all(way in other for other in sources)]
        if not ways:
            yield f"{name} has no {metric} of {judge}: in the source it is not the mean of its tasks."
            continue
        value = math.fsum(weight * value for weight, value in zip(ways[0], values, strict=True))
        n = sum(content["n-samples"][leaf]["effective"] for leaf in group.leaves)
        others = _others(entries[0], metric)
        for scores in entries:
            scores |= {key: value, f"{metric}_stderr,{judge}": "N/A"}
            if isinstance(scores.get("sample_count"), dict):
                scores["sample_count"][key] = n
        yield Number(name, metric, n, value, others)


def _forget(scores: dict[str, Any], judge: str) -> None:
    for key in [key for key in scores if key.partition(",")[2] == judge]:
        del scores[key]


def _others(scores: Mapping[str, Any], metric: str) -> dict[str, float]:
    found = ((key.partition(","), value) for key, value in scores.items())
    return {name: value for (own, _, name), value in found if own == metric and isinstance(value, int | float)}


def stderr_of(values: Sequence[float]) -> float | str:
    """Of a mean, as lm-eval computes it."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else "N/A"


def _defined(item: object) -> bool:
    """An item says something: it is not NaN, and no pair with one."""
    last = item[-1] if isinstance(item, tuple) else item
    return not (isinstance(last, float) and math.isnan(last))


def _folder(content: Mapping[str, Any], own: Answers) -> str:
    """The run's own folder: the model's name, as lm-eval writes it."""
    name = Path(str(content.get("model_name_sanitized") or "")).name
    return name if name.strip(".") else own.path.resolve().parent.name  # .. would lead out of --out


def save(folder: Path, samples: Mapping[str, str], results: str) -> tuple[Path, list[Path]]:
    """Write each file whole or not at all; the results come last, because they say that all is there.

    Nothing is overwritten: the date in the names is that of this moment.
    """
    date = datetime.now().isoformat(timespec="microseconds").replace(":", "-")
    texts = {folder / f"samples_{task}_{date}.jsonl": text for task, text in samples.items()}
    path = folder / f"results_{date}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in (texts | {path: results}).items():
            part = file.with_name(f".{file.name}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(file)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}). Give another --out.") from error
    return path, list(texts)
