"""How many rows a model's head is asked for.

On CPU torch multiplies some small numbers of rows by a large matrix far more slowly than larger numbers: on one machine
two rows take longer than four, on another twelve take longer than sixteen. Which these are is measured, and the head is
asked for more rows where that is faster; what it says about the others is dropped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

MOST = 16
"""Rows up to which numbers are compared: beyond, more rows take longer everywhere."""
GAIN = 0.9
"""More rows are asked for where they take at most so much of the time: less is noise, and moves last digits."""
_TOKENS = 8192
"""Tokens of the vocabulary that are timed: they take as the whole head does, and a tenth of a second in all."""
_REPEATS = 3


@dataclass(frozen=True)
class Head:
    """The last layer of a model, whose product with a few rows is most of the time of a small call."""

    module: Any = None
    rows: tuple[int, ...] = ()
    """For 0, 1, 2, … wanted rows the number that is computed."""

    @contextmanager
    def rounded(self) -> Iterator[None]:
        """While this lasts, the head computes the number of rows that is fastest; its callers see no difference."""
        shape: Any = None

        def widen(_: Any, given: tuple[Any, ...]) -> Any:
            nonlocal shape
            states, shape = given[0], None
            wanted = math.prod(states.shape[:-1])
            if wanted >= len(self.rows) or self.rows[wanted] == wanted:
                return None
            shape = states.shape[:-1]
            more = self.rows[wanted] - wanted
            return (torch.nn.functional.pad(states.reshape(wanted, -1), (0, 0, 0, more)), *given[1:])

        def narrow(_: Any, __: tuple[Any, ...], logits: Any) -> Any:
            return logits if shape is None else logits[: math.prod(shape)].view(*shape, -1)

        if not self.rows:
            yield
            return
        hooks = [self.module.register_forward_pre_hook(widen), self.module.register_forward_hook(narrow)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def head_of(model: Any) -> Head:
    """The head of a model on this machine, timed if it is a plain matrix of a large vocabulary on CPU."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    module: Any = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
    if type(module) is not torch.nn.Linear or module.weight.device.type != "cpu" or len(module.weight) < 4 * _TOKENS:
        return Head()
    return Head(module, fastest(_seconds(module.weight[:_TOKENS])))


def fastest(seconds: Sequence[float]) -> tuple[int, ...]:
    """For 0, 1, 2, … wanted rows the number to compute, given what 1, 2, … rows take.

    >>> fastest([1.0, 3.0, 4.0, 2.0])
    (0, 1, 4, 4, 4)
    """
    chosen = [0]
    for wanted, own in enumerate(seconds, start=1):
        best = min(range(wanted, len(seconds) + 1), key=lambda rows: seconds[rows - 1])
        chosen.append(best if seconds[best - 1] <= GAIN * own else wanted)
    return tuple(chosen)


def _seconds(weight: Any) -> list[float]:
    """The shortest of a few times of a product with 1, 2, … rows."""
    states = [torch.ones((rows, weight.shape[1]), dtype=weight.dtype) for rows in range(1, MOST + 1)]
    found = [math.inf] * MOST
    with torch.no_grad():
        for _ in range(_REPEATS):  # in turns: what else the machine does then hits all numbers alike
            for place, some in enumerate(states):
                began = time.perf_counter()
                torch.nn.functional.linear(some, weight)
                found[place] = min(found[place], time.perf_counter() - began)
    return found
