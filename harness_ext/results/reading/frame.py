"""The tidy frame: one row a number, measured, published or computed alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

Origin = Literal["measured", "published", "baseline"]


class Row(BaseModel):
    """One number and all that is needed to know what it means. Empty text and missing numbers say "not known"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: Origin = Field(
        description="measured (a result file), published (a paper) or baseline (a trivial predictor)"
    )
    run: str = Field("", description="one evaluation: the path of its result file; empty for numbers without one")
    run_hash: str = Field("", description="start of the sha256 of the result file")
    model: str = Field(description="name of the model as a reader knows it; a local path is cut to its last part")
    method: str = Field("", description="what was done to the base model, from method.json or the paper")
    base: str = Field("", description="the model the method started from")
    bench: str = Field(description="benchmark, as the task says; an unknown task's outermost group or its own name")
    variant: str = Field("", description="how the benchmark asks, e.g. zero_shot or psycot_ll; empty for the default")
    task: str = Field(description="lm-eval's task or group name without the groups above it")
    part: str = Field("", description="the part of the benchmark: a dimension, a data set, a language")
    family: str = Field("", description="what parts of a kind share within the benchmark, e.g. a block or a sub-task")
    level: Literal["task", "group"] = Field("task", description="a leaf, or a mean over leaves")
    metric: str = Field(description="lm-eval's metric key without its filter; _pll is added to perplexities of hf-mlm")
    filter: str = Field("none", description="lm-eval's filter; judged numbers carry the judge's filter")
    value: float = Field(description="the number; NaN where the metric is undefined (N/A in the file)")
    stderr: float = Field(float("nan"), description="standard error over docs as lm-eval printed it; NaN for N/A")
    low: float = Field(float("nan"), description="lower end of the 95 % bootstrap interval, where one was computed")
    high: float = Field(float("nan"), description="upper end of that interval")
    delta_low: float = Field(
        float("nan"), description="lower end of the 95 % interval of the difference to the base model on the same docs"
    )
    delta_high: float = Field(float("nan"), description="upper end of that interval")
    std: float = Field(float("nan"), description="spread over reruns, where a source prints one")
    unit: str = Field("", description="percent, count, fraction or the metric's own; empty where not stated")
    n: float = Field(float("nan"), description="docs that were scored; for unit count the total")
    n_total: float = Field(float("nan"), description="docs of the task before --limit")
    limit: float = Field(float("nan"), description="lm-eval's --limit; NaN for a full run")
    data: Literal["real", "sample"] = Field("real", description="sample rows are never benchmark scores")
    cap: str = Field("", description="the task's own cap on docs, where it has one")
    setting: str = Field("", description="anything else a published number depends on, in the source's words")
    chance: float = Field(float("nan"), description="the task's headline metric for a trivial predictor, from its YAML")
    num_fewshot: float = Field(float("nan"), description="demonstrations in the prompt")
    prompt_pack: str = Field("", description="prompt pack and its hash; empty for the project's own prompts")
    judge: str = Field("", description="who judged: a rule, a classifier, a model, human; empty for unjudged")
    judge_version: str = Field(
        "", description="version of the judge: a hash of its rule, or of model, prompt and so on"
    )
    judge_agreement: str = Field(
        "", description="agreement of the judge with people and on what data, or unmeasured; empty for unjudged"
    )
    higher_is_better: bool | None = Field(None, description="direction of the metric; empty where not stated")
    identity: str = Field(
        "", description="measured rows: hash of all that is recorded of run and task but time, machine and order"
    )
    task_version: str = Field("", description="metadata.version of the task")
    lm_eval_version: str = Field("", description="lm-eval that produced the number")
    task_hash: str = Field("", description="lm-eval's hash over docs, prompts and targets (with --log_samples)")
    model_hash: str = Field("", description="revision of the model as lm-eval recorded it")
    chat_template_hash: str = Field("", description="lm-eval's hash of the chat template; empty for none")
    date: float = Field(float("nan"), description="seconds since 1970, when the run started")
    citation: str = Field("", description="published rows: where the number was published")
    locator: str = Field("", description="published rows: table, row and column, or file and key")
    transcribed_from: str = Field("", description="published rows: the copy that was read")
    note: str = Field("", description="anything a reader of the number must know")


COLUMNS = tuple(Row.model_fields)
_NUMBERS = tuple(name for name, field in Row.model_fields.items() if field.annotation is float)


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a data frame with the columns of :class:`Row`, in that order, also when there are none.

    >>> frame = to_frame([Row(origin="measured", model="m", bench="b", task="b_x", metric="acc", value=0.5)])
    >>> frame.shape[1] == len(COLUMNS), float(frame.value[0]), frame["filter"][0]
    (True, 0.5, 'none')
    """
    frame = pd.DataFrame.from_records([tuple(row.__dict__.values()) for row in rows], columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(_NUMBERS, "float64") | {"higher_is_better": "boolean"})


def to_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame made by :func:`to_frame`, for code that wants types instead of columns.

    >>> row = Row(origin="measured", model="m", bench="b", task="b_x", metric="acc", value=0.5)
    >>> to_rows(to_frame([row]))[0].metric
    'acc'
    """
    direction = frame.higher_is_better.astype(object).where(frame.higher_is_better.notna(), None)
    columns = frame.assign(higher_is_better=direction)
    empty = Row.model_construct(**dict.fromkeys(COLUMNS))  # copies are made faster than rows
    values = zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
    return [empty.model_copy(update=dict(zip(COLUMNS, own, strict=True))) for own in values]
