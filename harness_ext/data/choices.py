"""What a loader of docs may be asked for: a value that an argument has not is refused, and so is a misspelt switch.

lm-eval hands a loader one set of keywords: the user's ``--metadata``, all model arguments and what the task file says.
Which of them the user meant for the task cannot be told here, so a key that means nothing to it is let through, unless
it is nearly the name of one of its switches. A run knows which keys are the user's, and refuses those that no task of
it reads (:mod:`harness_ext.models.runs.switches`).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from harness_ext.data.reasoning import MARKERS, with_markers
from harness_ext.errors import InputError

DATA = ("real", "sample")
"""Values of ``data``: the benchmark's own, or the records bundled with the package."""

_NEAR = 0.7
"""Similarity from which a key is a misspelt switch: ``dat`` and ``data`` have 0.86, ``delta`` and ``data`` 0.67."""
_TASK_FILES = {"affect", "bench", "chance", "direction", "language", "part", "recorded", "source", "variant", "version"}
"""Keys of the metadata of task files, which are nobody's spelling of anything."""

Loader = Callable[..., dict[str, Any]]


def reads(*switches: str) -> Callable[[Loader], Loader]:
    """Say of a loader of docs which keys of ``--metadata`` it reads, beside ``reasoning_markers``.

    They stand in its attribute ``switches``, where a run finds them. The loader gets every other keyword, too.

    Raises (the loader):
        InputError: a keyword is nearly the name of a switch.

    >>> @reads("data")
    ... def load(part, data="real", **others):
    ...     return {}
    >>> load("x", pretrained="gpt2"), load.switches
    ({}, ('data', 'reasoning_markers'))
    >>> load("x", dat="sample")
    Traceback (most recent call last):
    harness_ext.errors.InputError: data: --metadata has no key 'dat'; did you mean 'data'?
    """

    def declared(load: Loader) -> Loader:
        known = {*switches, *inspect.signature(load).parameters, *_TASK_FILES, MARKERS}
        read = with_markers(load)
        where = load.__module__.rpartition(".")[0].rpartition(".")[2] or load.__name__

        @wraps(read)
        def loaded(*args: Any, **kwargs: Any) -> dict[str, Any]:
            for key in kwargs.keys() - known:
                for near in difflib.get_close_matches(key.lower(), switches, n=1, cutoff=_NEAR):
                    raise InputError(f"{where}: --metadata has no key {key!r}; did you mean {near!r}?")
            return read(*args, **kwargs)

        loaded.switches = (*switches, MARKERS)  # type: ignore[attr-defined]
        return loaded

    return declared


def check_arguments(where: str, **chosen: tuple[object, Collection[object]]) -> None:
    """Refuse values of a loader's arguments that would make a run do something else than what was asked.

    Args:
        where: the loader's benchmark or leaf, for the message.
        chosen: for each argument with listed values the value and that list.

    Raises:
        InputError: an argument has no such value.

    >>> check_arguments("toy", data=("sample", DATA))
    >>> check_arguments("toy", data=("smaple", DATA))
    Traceback (most recent call last):
    harness_ext.errors.InputError: toy: data is 'smaple'; give 'real' or 'sample'.
    """
    for name, (value, values) in chosen.items():
        if value not in values:
            raise InputError(f"{where}: {name} is {value!r}; give {' or '.join(map(repr, values))}.")
