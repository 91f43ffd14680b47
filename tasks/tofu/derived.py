"""Model utility and forget quality: joined from the tasks of one run, and from two runs.

Without a run of a retain model there is no forget quality: it is absent, neither NaN nor 0.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.files import FileError
from harness_ext.leaderboards.table import lines
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.identity import arguments_of
from harness_ext.results.reading.reader import METHOD_FILE, load
from harness_ext.results.reading.runs import Derived, Run, Runs, TaskRun, load_run
from harness_ext.results.statistics.bootstrap import Drawn
from harness_ext.results.statistics.intervals import of_row
from harness_ext.scoring.unlearning import UTILITY, forget_quality, model_utility
from harness_ext.tasks.tofu.evaluations import Asked, Evaluation, NotAlignedError, Origin, compare

FORGET = ("tofu_forget01", "tofu_forget05", "tofu_forget10")
_OPTIONS = ("ds_size", "truth_ratio", "compat", "question_key")
_SAME = ("task", "data", "limit", "setting", "prompt_pack", "num_fewshot", "chat_template_hash")
_OTHER_TOKENS = (
    "lm-eval's chat template stands around the question, so that other tokens were scored than were counted. Leave out "
    '--apply_chat_template and give --metadata \'{"compat": "open_unlearning"}\', which asks with the chat template.'
)
_RETAIN = re.compile(r"(?<![a-z])retain", re.IGNORECASE)
_NOTHING: Mapping[str, Any] = dict.fromkeys(("stderr", "low", "high", "delta_low", "delta_high", "chance"), math.nan)


SWITCHES = ("retain_results",)
"""Metadata that is needed when runs are joined."""


def facts(doc: Mapping[str, Any]) -> str:
    """What forget quality needs of a doc beside its scores: the question."""
    return str(doc.get("question", ""))


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """Model utility of one model's runs, and forget quality against a retain model that was read with it."""
    notes: list[str] = []
    drawn: dict[tuple[str, ...], Drawn] = {}
    found: list[Row] = []
    for own in lines(rows).values():
        for row, one in _utility(own, runs):
            found.append(row)
            if one is not None:
                drawn[row.run, row.task, row.metric, row.filter, row.part] = one
    for row in rows:
        if row.task in FORGET and row.metric == "truth_ratio":
            found += _forget_quality(row, runs, notes)
    return Derived(found, notes, drawn)


def _utility(rows: Sequence[Row], runs: Runs) -> Iterator[tuple[Row, Drawn | None]]:
    """The harmonic mean of the nine, where the tasks of both kinds were run."""
    parts = {row.metric: row for row in rows if row.metric in UTILITY and row.task.startswith("tofu_utility")}
    if len(parts) < len(UTILITY):
        return
    own = parts["retain_prob"]
    value = model_utility({name: row.value for name, row in parts.items()})
    about = {**_NOTHING, "metric": "model_utility", "value": value, "higher_is_better": True, "identity": ""}
    drawn = [of_row(parts[name], runs) for name in UTILITY]
    known = [one for one in drawn if one is not None]
    if len(known) < len(drawn):
        yield own.model_copy(update=about), None
        return
    mean = _harmonic(value, known)
    yield own.model_copy(update={**about, "low": mean.interval.low, "high": mean.interval.high}), mean


def _harmonic(value: float, parts: Sequence[Drawn]) -> Drawn:
    """The harmonic mean on resamples: the tasks have the same docs, which are drawn together."""

    def of(columns: Sequence[Any]) -> Any:
        with np.errstate(divide="ignore"):
            return len(columns) / sum(1.0 / np.asarray(column) for column in columns)

    left_out = {key: of([one.left_out[key] for one in parts]) for key in parts[0].left_out}
    return Drawn(value, of([one.draws for one in parts]), left_out)


def _forget_quality(row: Row, runs: Runs, notes: list[str]) -> Iterator[Row]:
    """Forget quality, its logarithm and the KS distance of one run against its retain model's."""
    named = _named_retain(row, runs)
    try:
        if row.chat_template_hash:
            raise NotAlignedError(_OTHER_TOKENS)
        if named:
            mine = evaluation(Path(row.run), only=row.task)
            other = evaluation(Path(named), only=row.task)
            quality, against = compare(mine, other, mine.options["truth_ratio"]), other.origin.model  # type: ignore[arg-type]
        else:
            retain = _retain(row, runs, notes)
            if retain is None:
                return
            quality, against = _of_rows(row, retain, runs), retain.model
    except HarnessExtError as error:
        notes.append(f"{row.task}, {row.model}: no forget quality. {error}")
        return
    notes.append(
        f"{row.task}, {row.model}: forget quality against {against}, {quality.n} questions, {quality.method} KS test; "
        "p takes as many values as there are questions, so compare none of another number."
    )
    about = {**_NOTHING, "n": float(quality.n), "identity": "", "higher_is_better": True}
    yield row.model_copy(update={**about, "metric": "forget_quality", "value": quality.p})
    yield row.model_copy(update={**about, "metric": "forget_quality_log10", "value": quality.log10_p})
    yield row.model_copy(update={**about, "metric": "ks_D", "value": quality.D, "higher_is_better": False})


def _origin(row: Row) -> Origin:
    """The model of a run and the one that it was made from, with their folders."""
    folder = made_from = ""
    with suppress(FileError, OSError):
        content, _ = load(Path(row.run))
        config = content.get("config") if isinstance(content, dict) else None
        arguments = arguments_of(config.get("model_args"), under="model") if isinstance(config, dict) else {}
        folder = str(arguments.get("peft") or arguments.get("pretrained") or "")
        record, _ = load(Path(folder, METHOD_FILE)) if folder else (None, "")
        base = record.get("base") if isinstance(record, dict) else None
        made_from = str(base.get("path") or "") if isinstance(base, dict) else ""
    return Origin(row.model, row.base, *(os.path.realpath(path) if path else "" for path in (folder, made_from)))


def _named_retain(row: Row, runs: Runs) -> str:
    """The results that the run itself names with ``--metadata '{"retain_results": …}'``."""
    task = runs.task(row)
    return str(task.switches.get("retain_results") or "") if task else ""


def _retain(row: Row, runs: Runs, notes: list[str]) -> Row | None:
    """The one run among those that were read whose model is called a retain model and was asked the same."""
    if _RETAIN.search(row.model):
        return None
    frame = runs.frame
    own = frame[(frame.bench == "tofu") & (frame.task == row.task) & (frame.metric == "truth_ratio")]
    called = [other for other in to_rows(own) if other.origin == "measured" and _RETAIN.search(other.model)]
    same = [other for other in called if all(_alike(getattr(row, name), getattr(other, name)) for name in _SAME)]
    models = sorted({other.model for other in same})
    if len(models) > 1:
        notes.append(
            f"{row.task}, {row.model}: no forget quality, because there are several retain models "
            f"({', '.join(models)}). Compare with one: harness-ext forget-quality."
        )
    elif called and not same:
        notes.append(f"{row.task}, {row.model}: no forget quality, because {called[0].model} was asked in another way.")
    return same[0] if len(models) == 1 else None


def _alike(one: object, other: object) -> bool:
    return one == other or (one != one and other != other)  # both NaN


def _of_rows(row: Row, retain: Row, runs: Runs) -> Any:
    sides = []
    for one in (row, retain):
        scores, task = runs.scores(one), runs.task(one)
        if scores is None or task is None or "truth_ratio" not in scores.items:
            raise InputError(f"{one.model} has no samples of {row.task}; run lm-eval with --log_samples.")
        ratios = [float(value) for value, _ in scores.items["truth_ratio"]]
        sides.append(dict(zip(scores.facts, ratios, strict=True)))
        if len(sides[-1]) < len(ratios):
            raise DataError(f"{one.model} was asked a question of {row.task} twice.")
    first, second = sides
    _origin(row).require_other(_origin(retain))
    if first.keys() != second.keys():
        raise NotAlignedError(f"{row.model} and {retain.model} were asked {len(first)} and {len(second)} questions.")
    return forget_quality([*first.values()], [second[question] for question in first])


def evaluation(path: Path, *, only: str = "") -> Evaluation:
    """What lm-eval's results of TOFU's tasks hold of one model, question by question.

    Args:
        path: a folder, results file or samples file (``--log_samples``).
        only: of several forget sets the one to take.

    Raises:
        InputError: there is no result of TOFU, or results of several forget sets or models.
        DataError: a file is broken or missing.
    """
    run = load_run(path)
    forgets = [name for name in run.tasks if name in FORGET and only in ("", name)]
    if len(forgets) > 1:
        raise InputError(f"{path} holds {', '.join(forgets)}; give the samples file of one of them.")
    if not forgets and "tofu_utility" not in run.tasks:
        raise InputError(f"{path} holds no results of tofu_forget01, tofu_forget05 or tofu_forget10.")
    sets: dict[str, list[Asked]] = {}
    recalls = _recalls(run, forgets)
    for name in (*forgets, "tofu_utility"):
        for subset, asked in _asked(run.tasks.get(name), path):
            recall = recalls.get((subset, asked.question), math.nan)
            sets.setdefault(subset, []).append(asked._replace(recall=recall))
    task = run.tasks[forgets[0] if forgets else "tofu_utility"]
    row = next(iter(task.rows.values()))
    usual = {"truth_ratio": "geometric", "question_key": "question", "ds_size": "all", "compat": "none"}
    options = {name: str(task.switches.get(name) or usual[name]) for name in _OPTIONS}
    return Evaluation(str(path), sets, {"task": forgets[0] if forgets else "", **options}, _origin(row))


def _asked(task: TaskRun | None, path: Path) -> Iterator[tuple[str, Asked]]:
    from harness_ext.tasks.tofu.scores import losses_of

    for sample in () if task is None else _lines(task, path):
        doc, arguments = sample["doc"], sample.get("arguments")
        values = [float(value) for value, _ in sample["filtered_resps"]]
        try:
            losses = losses_of(doc, values)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
        first: Any = next(iter(arguments.values()), {}) if isinstance(arguments, dict) else {}
        base = int(doc["base"])
        prompt = str(first.get("arg_0", "")) if isinstance(first, dict) else ""
        if prompt and not prompt.endswith(doc.get("context", "")):
            raise NotAlignedError(f"{path}: {_OTHER_TOKENS}")
        yield doc["subset"], Asked(doc["question"], prompt, losses[0], losses[base], tuple(losses[base + 1 :]))


def _recalls(run: Run, forgets: Sequence[str]) -> dict[tuple[str, str], float]:
    found = {}
    for name in [f"{name}_generate" for name in forgets] + ["tofu_utility_generate"]:
        task = run.tasks.get(name)
        for sample in () if task is None or task.samples is None else _lines(task, run.path):
            subset = sample["doc"]["subset"]
            metric = "rougeL_recall" if subset == "forget" else f"{subset}_rougeL_recall"
            found[subset, sample["doc"]["question"]] = float(sample[metric])
    return found


def _lines(task: TaskRun, path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from task.lines()
    except ValueError as error:
        raise DataError(f"{path}, {task.task}: {error}.") from error
