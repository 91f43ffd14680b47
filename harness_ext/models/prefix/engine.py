"""A model on a machine: what it may take there, and what it did."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from accelerate.utils import convert_file_size_to_int

from harness_ext.errors import InputError
from harness_ext.models.prefix.cache import Traits
from harness_ext.models.prefix.head import GAIN, Head

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one forward pass and all caches together may take."""

    contexts: int
    """Prompts without a common beginning in one forward pass."""
    cache_bytes: float
    """All caches alive at a time."""
    logit_bytes: float
    """The logits of one forward pass."""
    batch_tokens: int
    """Tokens of a forward pass of several rows: more make no token cheaper."""
    row_tokens: int
    """Tokens of a forward pass of one row; longer ones run in pieces."""
    rows: int
    """Rows that are decoded together because they share a beginning."""
    min_saving: int
    """Tokens that a forward pass of its own must save: about what the pass itself costs."""


def limits_on(device: Any, *, contexts: int, cache_bytes: int) -> Limits:
    """Limits that suit a kind of device."""
    if torch.device(device).type == "cpu":
        return Limits(contexts, cache_bytes, 256 * _MIB, batch_tokens=512, row_tokens=2048, rows=16, min_saving=32)
    return Limits(contexts, cache_bytes, 2048 * _MIB, batch_tokens=16384, row_tokens=16384, rows=64, min_saving=256)


def default_budget(device: Any) -> int:
    """Bytes for caches when nothing else is said: a quarter of the free memory, on CPU at most 1 GiB."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 4
    return min(int(psutil.virtual_memory().available) // 4, 1024 * _MIB)


def budget(given: int | str) -> int:
    """A size in bytes, from a number or a text.

    Raises:
        InputError: it is not a positive size.

    >>> budget("1MiB")
    1048576
    """
    try:
        found = int(convert_file_size_to_int(given))
    except ValueError:
        found = 0
    if found <= 0:
        raise InputError(f"kv_budget={given}: not a size; give bytes or a text like 2GiB")
    return found


@dataclass
class Work:
    """What was run so far."""

    calls: int = 0
    tokens: int = 0
    """Tokens that went through the model, padding included."""
    padding: int = 0

    def count(self, tokens: int, real: int) -> None:
        """Count a forward pass over so many tokens, ``real`` of which are no padding."""
        self.calls += 1
        self.tokens += tokens
        self.padding += tokens - real


@dataclass(frozen=True)
class Engine:
    """A transformers model ready to be called.

    ``traits`` is what its caches allow; encoder-decoder models have none. ``autocast`` makes the context that forward
    passes run in.
    """

    model: Any
    tokenizer: Any
    device: Any
    limits: Limits
    autocast: Callable[[], AbstractContextManager[Any]]
    traits: Traits | None = None
    head: Head = field(default_factory=Head)
    work: Work = field(default_factory=Work)

    @property
    def position_bytes(self) -> int:
        """Bytes of the logits of one position, as the model gives them and in single precision."""
        return 8 * self.vocabulary

    @property
    def vocabulary(self) -> int:
        """Tokens that the model knows."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @contextmanager
    def running(self) -> Iterator[None]:
        """What every forward pass runs in."""
        with torch.no_grad(), self.autocast(), self.head.rounded():
            yield

    @contextmanager
    def choosing(self, rows: int) -> Iterator[list[Any]]:
        """What a forward pass runs in that is asked only for the likeliest token of each row; see `Head.choosing`."""
        with torch.no_grad(), self.autocast(), self.head.choosing(self.model, rows) as chosen:
            yield chosen

    def logits(self, real: int, **arguments: Any) -> Any:
        """Logits of one call of the model, ``real`` of whose input tokens are no padding."""
        tokens = arguments["input_ids" if "input_ids" in arguments else "decoder_input_ids"]
        with self.running():
            logits = self.model(**arguments).logits
        self.work.count(tokens.numel(), real)
        return logits

    def selects_logits(self) -> bool:
        """Whether the model can be told which positions to compute logits for."""
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return "logits_to_keep" in inspect.signature(base.forward).parameters


def rows_by_trying(engine: Engine, most: int) -> int:
    """How many rows, up to ``most``, a step of decoding takes best: fewer where more make no row cheaper.

    1, 2, 4, … rows are tried, as far as the memory goes.
    """
    seconds: dict[int, float] = {}
    rows = 1
    while rows <= most:
        ids = torch.ones((rows, 1), dtype=torch.long, device=engine.device)
        given = {"input_ids": ids} if engine.traits else {"input_ids": ids, "decoder_input_ids": ids}
        try:
            seconds[rows] = min(_seconds(engine, given) for _ in range(2))
        except torch.OutOfMemoryError:
            break
        rows *= 2
    return cheapest(seconds)


def cheapest(seconds: Mapping[int, float]) -> int:
    """The smallest number of rows that take about as little time each as any.

    >>> cheapest({1: 1.0, 2: 2.6, 4: 2.0, 8: 3.9, 16: 8.0})
    4
    """
    least = min((taken / rows for rows, taken in seconds.items()), default=0.0)
    return min((rows for rows, taken in seconds.items() if GAIN * taken / rows <= least), default=1)


def _seconds(engine: Engine, given: dict[str, Any]) -> float:
    on_cpu = torch.device(engine.device).type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter  # what other processes do is not seen in the first
    began = clock()
    with engine.running():
        engine.model(**given, use_cache=False).logits[:1].argmax().item()  # waits until it is there
    return clock() - began
