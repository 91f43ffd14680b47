"""Answers of runs as TSV in the layout of VLMEvalKit: index, question, options A, B, …, answer, prediction."""

from __future__ import annotations

import csv
import io
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from harness_ext.leaderboards import sampled
from harness_ext.leaderboards.viewer import withheld
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.runs import Runs

_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


def files(runs: Runs, *, unlocked: bool = False) -> tuple[Iterator[tuple[str, str]], list[str]]:
    """Name and text of a file for each model and task with samples, and what is left out.

    Args:
        runs: what was read.
        unlocked: take samples of personal, harmful or unknown sources, too.
    """
    first: dict[tuple[str, str], Row] = {}
    notes = []
    for row in to_rows(runs.frame):
        task = runs.task(row) if row.origin == "measured" and row.level == "task" else None
        if task is None or (row.run, row.task) in first:
            continue
        reason = "" if unlocked else withheld(task.switches, row.data)
        if reason:
            notes.append(f"{row.task}: left out, because {reason}; --show-samples exports it.")
        else:
            first[row.run, row.task] = row
    return (_file(row, runs) for row in first.values()), list(dict.fromkeys(notes))


def _file(row: Row, runs: Runs) -> tuple[str, str]:
    task = runs.task(row)
    assert task is not None  # noqa: S101 - others were left out
    lines: dict[str, dict[str, str]] = {}
    for line in task.lines():
        lines.setdefault(str(line["doc_id"]), _columns(line))  # a doc is there once for each filter
    most = max(len(line) for line in lines.values()) - 3
    columns = ["index", "question", *string.ascii_uppercase[:most], "answer", "prediction"]
    text = io.StringIO()
    written = csv.DictWriter(text, columns, restval="", delimiter="\t", lineterminator="\n")
    written.writeheader()
    written.writerows({"index": index, **line} for index, line in lines.items())
    names = (_NOT_IN_NAMES.sub("_", name) for name in (row.model, row.task, row.run_hash))
    return f"{'_'.join(names)}.tsv", text.getvalue()


def _columns(line: Mapping[str, Any]) -> dict[str, str]:
    prompt, choices = sampled.request(line.get("arguments"))
    options = sampled.options_of(line.get("resps"), choices)
    shown = [choice.strip() for choice in choices[: len(string.ascii_uppercase)]] if options else []
    return {
        "question": prompt,
        **dict(zip(string.ascii_uppercase, shown, strict=False)),
        "answer": sampled.gold(line.get("target"), choices),
        "prediction": options[0].label if options else sampled.answer(line.get("resps")),
    }
