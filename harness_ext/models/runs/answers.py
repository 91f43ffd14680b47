"""What a model may answer: checked for every backend, before a number is made of it.

A log-likelihood is a number of at most 0, and one of a doc's is more than minus infinity; weights are numbers. Anything
else is a broken model, precision or server, and would be scored as if it were merely wrong.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import Task

from harness_ext.errors import InputError
from harness_ext.files import mended

log = logging.getLogger(__name__)

_ROUNDING = 1e-6
_LOOK = "look at the model's weights, its dtype (float32 overflows last) and the server, if there is one"


def evaluate(original: Callable[..., Any], lm: Any, task_dict: Any, **options: Any) -> Any:
    """lm-eval's ``evaluate``, which looks at the weights before it asks and at the answers before it scores.

    Raises:
        InputError: a weight or an answer is none; the message names the model, and the doc.
    """
    model = getattr(lm, "lm", lm)  # lm-eval's cache wraps the backend
    _require_numbers(model)
    tasks = list(leaves(task_dict.get("tasks", task_dict)))
    for task in tasks:
        task.apply_filters = _checking(task.apply_filters, task, _name(model))
    try:
        return original(lm=lm, task_dict=task_dict, **options)
    finally:
        for task in tasks:
            vars(task).pop("apply_filters", None)


def leaves(tree: Any) -> Iterator[Task]:
    """The tasks in what lm-eval was given: by name, or nested in groups."""
    for value in tree.values():
        if isinstance(value, Mapping):
            yield from leaves(value)
        elif isinstance(value, Task):
            yield value


def _checking(apply_filters: Callable[..., Any], task: Any, model: str) -> Callable[..., Any]:
    def checked(*arguments: Any, **options: Any) -> Any:
        _require_log_likelihoods(task, model)
        _mend(task)
        return apply_filters(*arguments, **options)

    return checked


def _require_log_likelihoods(task: Any, model: str) -> None:
    best: dict[Any, tuple[float, Instance]] = {}
    for request in task.instances:
        if request.request_type == "generate_until":
            return
        for answer in request.resps:
            value = _value(answer)
            if not is_log_likelihood(answer):
                raise InputError(f"{_where(model, request)}: {value} is no log-likelihood; {_LOOK}")
            best[request.doc_id] = max(best.get(request.doc_id, (value, request)), (value, request), key=_first)
    for value, request in best.values():
        if value == -math.inf:
            raise InputError(f"{_where(model, request)}: no continuation is possible, all have -inf; {_LOOK}")


def _value(answer: Any) -> float:
    return float(answer if isinstance(answer, (int, float)) else answer[0])


def is_log_likelihood(answer: Any) -> bool:
    """Whether a backend's answer, with or without "is greedy", is a log-likelihood.

    >>> is_log_likelihood((-1.5, True)), is_log_likelihood(float("-inf")), is_log_likelihood((float("nan"), False))
    (True, True, False)
    """
    return _value(answer) <= _ROUNDING  # false for NaN


def _first(pair: tuple[float, Instance]) -> float:
    return pair[0]


def _mend(task: Any) -> None:
    """Replace lone surrogates in generated texts: lm-eval would lose the samples of the whole task to one of them."""
    broken = 0
    for request in task.instances:
        for number, answer in enumerate(request.resps):
            if isinstance(answer, str) and not answer.isascii() and (whole := mended(answer)) != answer:
                request.resps[number] = whole
                broken += 1
    if broken:
        log.warning("%s: %d answers hold half a character, which is now U+FFFD", task.task_name, broken)


def _require_numbers(model: Any) -> None:
    """Refuse a model in this process with a weight that is no number: what it says looks like an answer."""
    huggingface = sys.modules.get("lm_eval.models.huggingface")  # importing it takes torch
    if huggingface is None or not isinstance(model, huggingface.HFLM):
        return
    import torch

    for name, weights in model.model.named_parameters():
        if not weights.is_floating_point() or weights.element_size() == 1 or weights.is_meta:
            continue
        # A sum needs no memory and is a number if all weights are, unless it overflows.
        if not weights.detach().sum(dtype=torch.float32).isfinite() and not weights.isfinite().all():
            raise InputError(f"{_name(model)}: the weights {name} hold NaN or infinity; take another checkpoint")


def _where(model: str, request: Instance) -> str:
    return f"{model}: task {request.task_name}, doc {request.doc_id}"


def _name(model: Any) -> str:
    """What a user calls a model: the first of its settings that names one, else its kind."""
    named = (getattr(model, setting, None) for setting in ("pretrained", "model", "path"))
    return next((str(name) for name in named if isinstance(name, (str, Path))), type(model).__name__)
