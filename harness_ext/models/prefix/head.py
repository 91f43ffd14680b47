"""A model's head on CPU, whose product with a few rows is most of the time of a small call.

Two libraries multiply a few rows by a large matrix there, and neither is always the faster one: torch's own product
takes longer for some small numbers of rows than for larger ones (on one machine for two, on another for twelve), oneDNN
does not but is slower for one. Both are timed once, and the head is asked as is fastest for the number of rows.

Where only the most likely token is wanted, half of the memory need not be read: the logits are first taken in 16 bits,
and those that may be the highest, which a bound of the error says, once more in single precision.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil
import torch
from torch.nn.functional import linear

MOST = 16
"""Rows up to which numbers are compared: beyond, more rows take longer everywhere."""
GAIN = 0.9
"""More rows, or another library, are asked where they take at most so much of the time: less is noise, and moves last
digits."""
PAYS = 48
"""Choices of a token after which a copy of the head in 16 bits is made: it takes about as long as as many steps save.
Steps with several rows save more, and up to four are counted."""
_TOKENS = 8192
"""Tokens of the vocabulary that are timed: they take as the whole head does, and a fifth of a second in all."""
_REPEATS = 3
_CANDIDATES = 256
"""Tokens of a row that are looked at twice; if more may be the most likely one, the whole head is asked."""

_Product = Callable[[Any, Any], Any]


def _onednn(states: Any, weight: Any) -> Any:
    return torch.ops.mkldnn._linear_pointwise(states, weight, None, "none", [], "")


class Way(NamedTuple):
    """How some rows are multiplied by the head."""

    rows: int
    """How many are computed; what the head says about those that nobody wanted is dropped."""
    product: _Product = linear


class Head:
    """The last layer of a model.

    Args:
        module: a plain matrix of a large vocabulary in single precision on CPU; None: the head is left alone.
        ways: for 0, 1, 2, … wanted rows how they are multiplied; more are multiplied as the last says.
    """

    def __init__(self, module: Any = None, ways: Sequence[Way] = ()) -> None:
        self.module = module
        self.ways = tuple(ways)
        self._screen: Screen | None = None
        self._choices = 0

    @contextmanager
    def rounded(self) -> Iterator[None]:
        """While this lasts, the head is asked as is fastest; its callers see no difference."""
        with self._replaced(self._logits if self.ways else None):
            yield

    @contextmanager
    def choosing(self, model: Any, rows: int) -> Iterator[list[Any]]:
        """While this lasts, a call of the model puts the most likely token of each row into the list that is given.

        The logits that it returns mean nothing then. Without a copy of the head in 16 bits the list stays empty, and
        the logits are as always.
        """
        chosen: list[Any] = []

        def choose(states: Any) -> Any:
            tokens = self._screen(states[:, -1]) if self._screen else None
            if tokens is None:
                return self._logits(states)
            chosen.append(tokens)
            return states[..., :1]  # the model may scale logits and bend them, and never learns how few these are

        before = self._choices
        self._choices += min(rows, 4)
        if before < PAYS <= self._choices and self.module is not None and _fits(self.module.weight):
            screen = self._screen = Screen(self.module.weight)
            if not self._pays(screen, model, choose, chosen):
                self._screen = None
        with self._replaced(choose if self._screen else self._logits if self.ways else None):
            yield chosen

    def _pays(self, screen: Screen, model: Any, choose: Callable[[Any], Any], chosen: list[Any]) -> bool:
        """Whether choosing is faster on this machine, and the model can do without its logits."""
        tokens = torch.tensor([[1]])
        expected = model(input_ids=tokens, use_cache=False).logits[:, -1].argmax(-1)
        state = self.module.weight[:1]
        times = [
            min(_timed(lambda: product(state)) for _ in range(_REPEATS))  # noqa: B023
            for product in (screen, self._logits)
        ]
        if times[0] > GAIN * times[1]:
            return False
        try:
            with self._replaced(choose):
                model(input_ids=tokens, use_cache=False)
            return bool(chosen) and torch.equal(chosen.pop(), expected)
        except (RuntimeError, IndexError):  # it looks at single tokens of its logits
            return False

    def _logits(self, states: Any) -> Any:
        shape = states.shape[:-1]
        wanted = math.prod(shape)
        if not wanted:
            return linear(states, self.module.weight)
        rows, product = self.ways[min(wanted, len(self.ways) - 1)]
        flat = states.reshape(wanted, -1)
        if rows > wanted:
            flat = torch.nn.functional.pad(flat, (0, 0, 0, rows - wanted))
        return product(flat, self.module.weight)[:wanted].view(*shape, -1)

    @contextmanager
    def _replaced(self, forward: Callable[[Any], Any] | None) -> Iterator[None]:
        if forward is None:
            yield
            return
        before = self.module.forward
        self.module.forward = forward
        try:
            yield
        finally:
            self.module.forward = before


class Screen:
    """The most likely token after each row, by a look in 16 bits and a second one at what may be the most likely.

    Args:
        weight: a matrix in single precision, shape (vocabulary, width).
    """

    def __init__(self, weight: Any) -> None:
        self._weight = weight
        half = weight.bfloat16()
        parts = list(zip(weight.split(_TOKENS), half.split(_TOKENS), strict=True))
        self._norm = max(float(whole.norm(dim=-1).max()) for whole, _ in parts)
        self._lost = max(float((whole - rounded.float()).norm(dim=-1).max()) for whole, rounded in parts)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(half, None)

    def __call__(self, states: Any) -> Any:
        """The most likely token of each row of ``states``, shape (rows, width); None if too many may be it."""
        half = states.bfloat16()
        rough = _onednn(half, self._packed)
        best = rough.amax(-1).float()
        length = states.norm(dim=-1)
        # By Cauchy and Schwarz: what both factors lost to 16 bits, and what single precision loses in adding up.
        error = (states - half.float()).norm(dim=-1) * self._norm + length * 1.01 * self._lost
        error += length * self._norm * states.shape[-1] * 2.0**-23
        # The rounding of the logits themselves to 8 bits: half a unit for the best, for the others, and for this bound.
        floor = best - best.abs() * 2.0**-8 - 2 * error
        floor -= floor.abs() * 2.0**-7
        rows, tokens = (rough >= floor.bfloat16()[:, None]).nonzero(as_tuple=True)
        if not len(tokens) or len(tokens) > _CANDIDATES * len(states):
            return None
        logits = (states[rows] * self._weight[tokens]).sum(-1)
        highest = logits.new_full((len(states),), -math.inf).scatter_reduce_(0, rows, logits, "amax")
        first = logits == highest[rows]  # of equal ones the first, as in argmax
        chosen = tokens.new_full((len(states),), len(self._weight))
        chosen.scatter_reduce_(0, rows[first], tokens[first], "amin")
        return chosen if int(chosen.max()) < len(self._weight) else None


def head_of(model: Any) -> Head:
    """The head of a model on this machine, timed if it is a plain matrix of a large vocabulary on CPU."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    module: Any = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
    if (
        type(module) is not torch.nn.Linear
        or module.bias is not None
        or "forward" in vars(module)  # accelerate's, which moves weights
        or module.weight.device.type != "cpu"
        or module.weight.dtype != torch.float32
        or len(module.weight) < 4 * _TOKENS
    ):
        return Head()
    products: list[_Product] = [linear, _onednn] if torch.backends.mkldnn.is_available() else [linear]
    return Head(module, fastest(_seconds(module.weight[:_TOKENS], products)))


def fastest(seconds: Mapping[Any, Sequence[float]]) -> tuple[Way, ...]:
    """For 0, 1, 2, … wanted rows the way to compute them, given what 1, 2, … rows take each product.

    >>> [way.rows for way in fastest({linear: [1.0, 3.0, 4.0, 2.0]})]
    [0, 1, 4, 4, 4]
    >>> [way.product for way in fastest({"one": [1.0, 3.0], "other": [2.0, 2.0]})]
    ['one', 'one', 'other']
    """
    plain = next(iter(seconds))
    chosen = [Way(0, plain)]
    for wanted, own in enumerate(seconds[plain], start=1):
        some = [
            (times[rows - 1], Way(rows, product))
            for product, times in seconds.items()
            for rows in range(wanted, len(times) + 1)
        ]
        taken, best = min(some, key=lambda pair: pair[0])
        chosen.append(best if taken <= GAIN * own else Way(wanted, plain))
    return tuple(chosen)


def _seconds(weight: Any, products: Sequence[_Product]) -> dict[_Product, list[float]]:
    """The shortest of a few times of each product with 1, 2, … rows."""
    states = [torch.ones((rows, weight.shape[1]), dtype=weight.dtype) for rows in range(1, MOST + 1)]
    found = {product: [math.inf] * MOST for product in products}
    with torch.no_grad():
        for _ in range(_REPEATS):  # in turns: what else the machine does then hits all numbers alike
            for product, times in found.items():
                for place, some in enumerate(states):
                    times[place] = min(times[place], _timed(lambda: product(some, weight)))  # noqa: B023
    return found


def _timed(call: Callable[[], Any]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _fits(weight: Any) -> bool:
    """Whether there is much more memory free than a copy in 16 bits takes."""
    return bool(psutil.virtual_memory().available > 4 * weight.nbytes)
