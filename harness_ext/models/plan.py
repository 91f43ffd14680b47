"""What a run is about to ask of a model: how many requests, how long they are, and roughly how long they will take.

lm-eval builds every request and then starts without a word. `announced` steps in between: the counts are exact, the
time is extrapolated from a few timed requests where the model runs in this process.
"""

from __future__ import annotations

import functools
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance

from harness_ext.models.dialogues.filter import has_dialogues
from harness_ext.models.runs.usage import new_tokens

REQUEST_TYPES = ("generate_until", "loglikelihood", "loglikelihood_rolling")

_PROBE_TOKENS = 8
_SHORT_PROMPT = 64
"""Characters: enough for the time of one more token, which hardly depends on the prompt."""
_ENCODED_TEXTS = 32


@dataclass(frozen=True)
class TaskPlan:
    """The requests of one task."""

    task: str
    request_type: str
    docs: int
    requests: int
    """Calls, repeats and turns included; one for each choice of a multiple-choice doc."""
    median_characters: int
    max_characters: int
    max_new_tokens: int | None
    """Largest allowed answer of a generating task; None where the backend's own default applies."""


@dataclass(frozen=True)
class Estimate:
    """Extrapolated wall time in seconds, and the measurements it stands on."""

    seconds: float
    basis: str


def task_plans(tasks: Mapping[str, Any]) -> list[TaskPlan]:
    """Count the built requests of each task, in the order of the run; tasks without requests are left out."""
    plans = []
    for name, task in tasks.items():
        requests: list[Instance] = task.instances
        if not requests:
            continue
        sizes = [len(str(request.args[0])) for request in requests]
        limits = [limit for request in requests if (limit := new_tokens(request)) is not None]
        plans.append(
            TaskPlan(
                task=name,
                request_type=requests[0].request_type,
                docs=len({request.doc_id for request in requests}),
                requests=sum(calls(task, request) for request in requests),
                median_characters=round(statistics.median(sizes)),
                max_characters=max(sizes),
                max_new_tokens=max(limits, default=None),
            )
        )
    return plans


def calls(task: Any, request: Instance) -> int:
    """How often the model is asked for one request."""
    return (request.repeats or 1) * (len(request.doc["turns"]) if has_dialogues(task) else 1)


def describe_requests(plans: Sequence[TaskPlan]) -> str:
    """The counts as text, a line a task.

    >>> print(describe_requests([TaskPlan("toy", "generate_until", 4, 8, 120, 1300, 16)]))
    Plan: 8 requests to the model for 4 docs of 1 task
      task  type              docs  requests  prompt characters (median/max)  new tokens
      toy   generate_until       4         8                        120/1300       <= 16
    """
    docs, requests = sum(plan.docs for plan in plans), sum(plan.requests for plan in plans)
    rows = [("task", "type", "docs", "requests", "prompt characters (median/max)", "new tokens")]
    for plan in plans:
        limit = "default" if plan.max_new_tokens is None else f"<= {plan.max_new_tokens}"
        size = f"{plan.median_characters}/{plan.max_characters}"
        new = limit if plan.request_type == "generate_until" else "-"
        rows.append((plan.task, plan.request_type, str(plan.docs), str(plan.requests), size, new))
    head = f"Plan: {requests} requests to the model for {docs} docs of {len(plans)} task{'s' * (len(plans) != 1)}"
    return "\n".join([head, *table_of(rows, left=2)])


def table_of(rows: Sequence[Sequence[str]], left: int) -> Iterator[str]:
    """Lines of cells below one another, the first ``left`` of each to the left, the others to the right.

    >>> list(table_of([("task", "docs"), ("toy", "4")], left=1))
    ['  task  docs', '  toy      4']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        yield "  " + "  ".join(names + numbers)


def describe_time(estimate: Estimate | None) -> str:
    """The expected time as one line.

    >>> describe_time(Estimate(200, "20 new tokens/s"))
    'Roughly 3 min at most (measured: 20 new tokens/s)'
    """
    if estimate is None:
        return "How long this takes is not measured for this backend."
    return f"Roughly {spoken_time(estimate.seconds)} at most (measured: {estimate.basis})"


def spoken_time(seconds: float) -> str:
    """A duration as a person would say it.

    >>> spoken_time(8.2), spoken_time(200), spoken_time(5_000), spoken_time(200_000)
    ('9 s', '3 min', '1 h 23 min', '56 h')
    """
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 10 else f"{round(minutes / 60)} h"


def estimate(lm: Any, tasks: Mapping[str, Any]) -> Estimate | None:
    """Time a few real requests of median length and extrapolate; None where that would measure nothing useful.

    An upper bound in one respect: every generation is taken to be as long as it may be. Only for transformers models
    in one process: an API's time is not ours to predict, and a second process would wait for a probe it does not run.
    On a CPU the time for a prompt grows with its tokens whatever the batch, so one prompt is enough there.
    """
    model = getattr(lm, "lm", lm)  # lm-eval's cache wraps the model
    if not _is_local_transformers_model(model) or model.world_size > 1:
        return None
    requests: defaultdict[str, list[Instance]] = defaultdict(list)
    for task in tasks.values():
        for request in task.instances:
            requests[request.request_type] += [request] * calls(task, request)
    batch = model.batch_size if isinstance(model.batch_size, int) else 1
    probed = 1 if str(model.device) == "cpu" else batch
    size = _token_counter(model, [str(request.args[0]) for group in requests.values() for request in group])
    with _unrecorded(model):
        seconds, basis = 0.0, [f"batch size {batch}"]
        if generating := requests["generate_until"]:
            prompt, step = _time_generation(model, generating, probed, batch, size)
            groups: defaultdict[str, list[Instance]] = defaultdict(list)
            for request in generating:
                groups[str(request.args[1])].append(request)
            for group in groups.values():
                limit = new_tokens(group[0])
                answer = model.max_gen_toks if limit is None else limit
                seconds += prompt * sum(size(str(request.args[0])) for request in group)
                seconds += math.ceil(len(group) / batch) * answer * step
            basis.append(f"{1 / prompt:.0f} prompt tokens/s and {batch / step:.0f} new tokens/s generating")
        scoring = [(request.args[0], request.args[1]) for request in requests["loglikelihood"]]
        rolling = [("", request.args[0]) for request in requests["loglikelihood_rolling"]]
        if passes := _forward_passes(model, scoring) + rolling:
            rate = _time_scoring(model, passes, probed, size)
            seconds += rate * sum(size(context + continuation) for context, continuation in passes)
            basis.append(f"{1 / rate:.0f} tokens/s scoring, {len(passes)} forward passes")
    return Estimate(seconds, ", ".join(basis))


def _is_local_transformers_model(model: Any) -> bool:
    module = sys.modules.get("lm_eval.models.huggingface")  # importing it takes torch, which need not be installed
    return module is not None and isinstance(model, module.HFLM)


def _token_counter(model: Any, texts: Sequence[str]) -> Callable[[str], float]:
    """Tokens of a text from its characters, by the ratio seen in some of the texts of all lengths."""
    by_length = sorted(set(texts), key=len)
    some = by_length[:: max(1, len(by_length) // _ENCODED_TEXTS)]
    characters = sum(map(len, some))
    ratio = sum(len(model.tok_encode(text)) for text in some if text) / characters if characters else 1.0
    return lambda text: max(1.0, len(text) * ratio)


def _forward_passes(model: Any, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """One pair for each forward pass: continuations that differ in their last token only share one."""
    starts = {
        text: tuple(model.tok_encode(text, add_special_tokens=False)[:-1]) for text in {pair[1] for pair in pairs}
    }
    return list({(context, starts[continuation]): (context, continuation) for context, continuation in pairs}.values())


def _median_batch(items: Sequence[Any], batch: int, size: Callable[[Any], float]) -> list[Any]:
    ordered = sorted(items, key=size)
    first = max(0, min(len(ordered) // 2, len(ordered) - batch))
    return ordered[first : first + batch]


def _time_generation(
    model: Any, requests: Sequence[Instance], probed: int, batch: int, size: Callable[[str], float]
) -> tuple[float, float]:
    """Seconds a prompt token, and seconds a step that gives every answer of a batch one more token."""
    prompts = [str(request.args[0]) for request in requests]
    median = _median_batch(prompts, probed, size)
    short = [prompt[:_SHORT_PROMPT] for prompt in _median_batch(prompts, batch, size)]

    def timed(contexts: Sequence[str], tokens: int) -> float:
        options = {"until": [], "do_sample": False, "max_gen_toks": tokens, "min_new_tokens": tokens}
        copies = [Instance("generate_until", {}, (context, options), 0) for context in contexts]
        start = time.perf_counter()
        model.generate_until(copies, disable_tqdm=True)
        return time.perf_counter() - start

    timed(short[:1], 1)  # the first call of a process pays for what is set up lazily
    step = (timed(short, 1 + _PROBE_TOKENS) - timed(short, 1)) / _PROBE_TOKENS
    return timed(median, 1) / sum(map(size, median)), max(step, 1e-6)


def _time_scoring(model: Any, passes: Sequence[tuple[str, str]], probed: int, size: Callable[[str], float]) -> float:
    """Seconds a token of context and continuation."""
    chosen = _median_batch(passes, probed, lambda pair: size(pair[0] + pair[1]))

    def timed(pairs: Sequence[tuple[str, str]]) -> float:
        copies = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
        start = time.perf_counter()
        model.loglikelihood(copies, disable_tqdm=True)
        return time.perf_counter() - start

    timed([(chosen[0][0][:_SHORT_PROMPT], chosen[0][1])])
    return timed(chosen) / sum(size(context + continuation) for context, continuation in chosen)


@contextmanager
def _unrecorded(model: Any) -> Iterator[None]:
    """Keep probes out of lm-eval's response cache."""
    from lm_eval.api.model import CacheHook

    hook = model.cache_hook
    model.set_cache_hook(CacheHook(None))
    try:
        yield
    finally:
        model.set_cache_hook(hook)


@contextmanager
def announced(say: Callable[[Any, Mapping[str, Any]], None]) -> Iterator[None]:
    """Make every lm-eval run call ``say(lm, tasks and groups)`` once its requests are built, before one is sent."""
    from lm_eval import evaluator

    original = evaluator.evaluate

    @functools.wraps(original)
    def evaluate(lm: Any, task_dict: Any, **options: Any) -> Any:
        with _before_first_request(lm, lambda: say(lm, task_dict)):
            return original(lm=lm, task_dict=task_dict, **options)

    evaluator.evaluate = evaluate
    try:
        yield
    finally:
        evaluator.evaluate = original


@contextmanager
def _before_first_request(lm: Any, do: Callable[[], None]) -> Iterator[None]:
    def unwrap() -> None:
        for name in REQUEST_TYPES:
            vars(lm).pop(name, None)

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def first(*args: Any, **kwargs: Any) -> Any:
            unwrap()
            do()
            return method(*args, **kwargs)

        return first

    for name in REQUEST_TYPES:
        setattr(lm, name, wrap(getattr(lm, name)))
    try:
        yield
    finally:
        unwrap()
