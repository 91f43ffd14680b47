"""Rows of trivial predictors that a metric knows of, from the gold labels that the samples hold."""

from __future__ import annotations

from collections.abc import Iterator

from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.runs import Runs
from harness_ext.results.statistics.aggregations import corpus_metric_at
from harness_ext.results.statistics.intervals import draw, units_of

_MODELS_OWN = (
    *("run", "run_hash", "identity", "method", "base", "setting", "filter", "num_fewshot", "prompt_pack", "judge"),
    *("judge_version", "judge_agreement", "lm_eval_version", "model_hash", "chat_template_hash", "note", "date"),
)


def of_row(row: Row, runs: Runs) -> Iterator[Row]:
    """What each trivial predictor would have got in place of a measured number, while its model is visited."""
    task = runs.task(row) if row.level == "task" else None
    metric = corpus_metric_at(task.aggregations.get(row.metric, "")) if task else None
    scores = runs.scores(row) if metric and metric.trivial else None
    if metric is None or scores is None or not scores.items.get(row.metric):
        return
    usual = {name: Row.model_fields[name].default for name in _MODELS_OWN}
    for name, predictor in metric.trivial.items():
        drawn = draw(metric.resampled(predictor(scores.items[row.metric])), units_of(scores))
        own = {"origin": "baseline", "model": name, "value": drawn.value, "stderr": float("nan")}
        yield row.model_copy(update={**usual, **own, "low": drawn.interval.low, "high": drawn.interval.high})
