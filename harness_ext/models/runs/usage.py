"""What a run took: requests, tokens and seconds, as the block ``usage`` of lm-eval's results.

Tokens are those that a server reports, else those of the backend's tokenizer; characters are counted where there is
neither. What --use_cache or --resume had already is not asked for and not counted, unless lm-eval's own cache answers.
An answer that is as long as the task allows, by the backend's tokenizer, was most likely cut there: these are counted
by task.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance

from harness_ext.models.runs.between import Answers, Ask, Between

KEY = "usage"
"""Of the block in a results file."""
_AT_ONCE = 1_000
_LENGTH_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_COUNTED = ("parse_generations", "parse_logprobs")
"""Methods of lm-eval's API backends that see what a server sent."""


class Prices(NamedTuple):
    """Of a million tokens, in any currency."""

    input: float
    output: float


@dataclass
class _Read:
    """How much was sent and received, in one unit."""

    input: int = 0
    output: int = 0


@dataclass
class _Written:
    """The answers to a task's requests."""

    answers: int = 0
    cut: int = 0
    """Those that reached ``max_gen_toks``."""


class Meter(Between):
    """Counts what a backend is asked and answers."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.meter = self
        self._requests = 0
        self._seconds = 0.0
        self._characters, self._tokens, self._told = _Read(), _Read(), _Read()
        self._untold = 0
        self._written: dict[str, _Written] = {}
        tokenizer = vars(self.lm).get("tokenizer")  # a property may download one
        self._tokenizer = tokenizer if callable(tokenizer) else None

    def answer(self, kind: str, requests: Sequence[Instance], ask: Ask) -> Answers:
        """The backend's answers, timed and counted."""
        start = time.perf_counter()
        with self._listening():
            answers = ask(requests)
        self._seconds += time.perf_counter() - start
        self._requests += len(requests)
        texts = [_text(kind, request) for request in requests]
        written = [str(answer) for answer in answers] if kind == "generate_until" else []
        for read, lengths in ((self._characters, _characters), (self._tokens, self._count)):
            read.input += sum(lengths(texts))
            read.output += sum(lengths(written))
        for request, length in zip(
            requests, self._count(written), strict=False
        ):  # none are counted without a tokenizer
            limit = new_tokens(request) or getattr(self.lm, "max_gen_toks", None)
            if limit is not None:
                own = self._written.setdefault(str(request.task_name), _Written())
                own.answers += 1
                own.cut += length >= limit
        return answers

    def usage(self) -> dict[str, Any]:
        """The block of the results: numbers, their unit and who counted."""
        if self._told.input and not self._untold:
            read, unit, by = self._told, "tokens", "server"
        elif self._tokenizer is not None:
            read, unit, by = self._tokens, "tokens", "tokenizer"
        else:
            read, unit, by = self._characters, "characters", "characters"
        block: dict[str, Any] = {"requests": self._requests, "seconds": round(self._seconds, 3)}
        block |= {"input": read.input, "output": read.output, "unit": unit, "counted_by": by}
        if self._written:
            block["cut"] = {task: asdict(own) for task, own in self._written.items()}
        processes = getattr(self.lm, "world_size", 1)
        return block if processes == 1 else {**block, "one_of_processes": processes}

    def _count(self, texts: Sequence[str]) -> Iterator[int]:
        """The tokens of each text; equal texts are read once."""
        if self._tokenizer is None:
            return
        different = list(dict.fromkeys(texts))
        sizes: dict[str, int] = {}
        for first in range(0, len(different), _AT_ONCE):
            some = different[first : first + _AT_ONCE]
            sizes |= zip(some, map(len, self._tokenizer(some, add_special_tokens=False)["input_ids"]), strict=True)
        yield from (sizes[text] for text in texts)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Take the counts that a server sends with its answers."""
        methods = {name: getattr(self.lm, name) for name in _COUNTED if hasattr(self.lm, name)}

        def heard(method: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(method)
            def parse(outputs: Any, *arguments: Any, **options: Any) -> Any:
                for output in outputs if isinstance(outputs, list) else [outputs]:
                    self._hear(output)
                return method(outputs, *arguments, **options)

            return parse

        for name, method in methods.items():
            setattr(self.lm, name, heard(method))
        try:
            yield
        finally:
            for name in methods:
                vars(self.lm).pop(name, None)

    def _hear(self, output: object) -> None:
        told = output.get("usage") if isinstance(output, dict) else None
        read, written = (
            told.get(f"{side}_tokens") if isinstance(told, dict) else None for side in ("prompt", "completion")
        )
        if isinstance(read, int) and isinstance(written, int) and min(read, written) >= 0:
            self._told.input += read
            self._told.output += written
        else:
            self._untold += 1


def new_tokens(request: Instance) -> int | None:
    """The most tokens that a generating request may be answered with; None if it does not say."""
    if request.request_type != "generate_until":
        return None
    return next((int(request.args[1][key]) for key in _LENGTH_KEYS if key in request.args[1]), None)


def _text(kind: str, request: Instance) -> str:
    """All text that a model reads for a request."""
    parts = request.args[:2] if kind == "loglikelihood" else request.args[:1]
    return "".join(part if isinstance(part, str) else str(getattr(part, "prompt", part)) for part in parts)


def _characters(texts: Sequence[str]) -> Iterator[int]:
    yield from map(len, texts)


def evaluate(original: Callable[..., Any], lm: Any, task_dict: Any, **options: Any) -> Any:
    """lm-eval's ``evaluate``, whose results say what the run took."""
    meter = getattr(lm, "meter", None)
    if meter is None:
        lm = meter = Meter(lm)
    results = original(lm=lm, task_dict=task_dict, **options)
    if results is not None:
        results[KEY] = meter.usage()
    return results


@contextmanager
def priced(prices: Prices) -> Iterator[None]:
    """Make every lm-eval run say what its tokens cost."""
    from lm_eval import evaluator

    inner = evaluator.evaluate

    @functools.wraps(inner)
    def with_cost(*arguments: Any, **options: Any) -> Any:
        results = inner(*arguments, **options)
        if results is not None and results[KEY]["unit"] == "tokens":
            results[KEY] |= {"cost": cost(results[KEY], prices), "prices": prices._asdict()}
        return results

    evaluator.evaluate = with_cost
    try:
        yield
    finally:
        evaluator.evaluate = inner


def cost(used: Mapping[str, Any], prices: Prices) -> float:
    """What tokens cost, in the currency of the prices.

    >>> cost({"input": 2_000_000, "output": 500_000}, Prices(0.15, 0.6))
    0.6
    """
    return float(round((used["input"] * prices.input + used["output"] * prices.output) / 1e6, 6))
