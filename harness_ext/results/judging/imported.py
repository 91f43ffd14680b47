"""Stored judgments as a run of lm-eval: results and samples in the layout that ``harness-ext rejudge`` writes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.results.judging.judged_metrics import Metric
from harness_ext.results.judging.rejudged import save, stderr_of
from harness_ext.scoring.fidelity import agg_share_of_turns
from harness_ext.scoring.lm_eval_aggregations import mean
from harness_ext.scoring.soft_labels import agg_nanmean


class Judged(NamedTuple):
    """What a judge said about the turns of one doc."""

    doc: Mapping[str, Any]
    scores: Sequence[float]
    """Turn by turn, NaN where there is no score."""
    invalid: int
    """Turns whose judgment failed."""


def metrics_of(judged: Sequence[Judged]) -> dict[str, Metric]:
    """Mean score over all scored turns, by turn, and the shares of turns that failed or have no judgment.

    >>> found = metrics_of([Judged({}, [9.0, 7.0], 0), Judged({}, [8.0, float("nan")], 1)])
    >>> found["judge_score"].aggregation(found["judge_score"].items), found["judge_invalid"].items
    (8.0, [0.0, 0.5])
    """
    known = [[score for score in one.scores if not math.isnan(score)] for one in judged]
    turns = max(len(one.scores) for one in judged)
    lacking = [len(one.scores) - len(own) - one.invalid for one, own in zip(judged, known, strict=True)]
    return {
        "judge_score": Metric([(math.fsum(own), float(len(own))) for own in known], agg_share_of_turns, True),
        **{
            f"judge_score_t{turn + 1}": Metric([one.scores[turn] for one in judged], agg_nanmean, True)
            for turn in range(turns)
        },
        "judge_invalid": Metric([one.invalid / len(one.scores) for one in judged], mean, False),
        "judge_missing": Metric([own / len(one.scores) for own, one in zip(lacking, judged, strict=True)], mean, False),
    }


def write(
    task: str, model: str, judged: Sequence[Judged], judge: Mapping[str, Any], metadata: Mapping[str, Any], folder: Path
) -> tuple[Path, dict[str, float]]:
    """Write results and samples of one task; the folder becomes the parent of the model's own.

    Args:
        task: the leaf.
        model: who was judged.
        judged: one for each doc, in file order.
        judge: what is recorded of the judge; ``name`` becomes the filter of its numbers.
        metadata: of the task.
        folder: as lm-eval's ``--output_path``.

    Returns:
        The results file and the numbers.

    Raises:
        InputError: the folder cannot be written.
    """
    name, metrics = str(judge["name"]), metrics_of(judged)
    values = {metric: own.aggregation(own.items) for metric, own in metrics.items()}
    errors = {metric: stderr_of(own.items) if own.recorded == "mean" else "N/A" for metric, own in metrics.items()}
    listed = [
        {"metric": metric, "aggregation": own.recorded, "higher_is_better": own.higher_is_better}
        for metric, own in metrics.items()
    ]
    entry = {"name": name, "filter": [{"function": "harness-ext import-judgments", "judge": dict(judge)}]}
    numbers = {f"{metric},{name}": value for metric, value in values.items()}
    numbers |= {f"{metric}_stderr,{name}": error for metric, error in errors.items()}  # type: ignore[misc]
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in model).strip(".") or "model"
    content = {
        "results": {task: {"name": task, "alias": task, "sample_len": len(judged), **numbers}},
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "metadata": dict(metadata), "metric_list": listed, "filter_list": [entry]}},
        "versions": {task: metadata.get("version")},
        "n-shot": {task: 0},
        "higher_is_better": {task: {metric: own.higher_is_better for metric, own in metrics.items()}},
        "n-samples": {task: {"original": len(judged), "effective": len(judged)}},
        "config": {"model": "stored judgments", "model_args": {"pretrained": model}},
        "date": time.time(),
        "model_name": model,
        "model_name_sanitized": plain,
    }
    lines = [
        {
            "doc_id": at,
            "doc": dict(one.doc),
            "target": "",
            "arguments": {},
            "resps": [[""]],
            "filtered_resps": [dumps({"judge": name, "scores": list(one.scores)})],
            "filter": name,
            "metrics": list(metrics),
            **{metric: own.items[at] for metric, own in metrics.items()},
        }
        for at, one in enumerate(judged)
    ]
    results, _ = save(folder / plain, {task: "".join(dumps(line) + "\n" for line in lines)}, dumps(content, indent=2))
    return results, values
