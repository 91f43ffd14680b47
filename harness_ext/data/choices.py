"""What a loader of docs may be asked for: a value that an argument has not is refused, and so is a misspelt switch.

lm-eval hands a loader one set of keywords: the user's ``--metadata``, all model arguments and what the task file says.
Which of them the user meant for the task cannot be told, so a key that means nothing to it is let through, unless it is
nearly the name of one of its switches.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from harness_ext.errors import InputError

DATA = ("real", "sample")
"""Values of ``data``: the benchmark's own, or the records bundled with the package."""

_NEAR = 0.7
"""Similarity from which a key is a misspelt switch: ``dat`` and ``data`` have 0.86, ``delta`` and ``data`` 0.67."""
_TASK_FILES = {"affect", "bench", "chance", "direction", "language", "part", "recorded", "source", "variant", "version"}
"""Keys of the metadata of task files, which are nobody's spelling of anything."""


def check_arguments(
    where: str, others: Iterable[str], switches: Collection[str], **chosen: tuple[object, Collection[object]]
) -> None:
    """Refuse arguments of a loader that would make a run do something else than what was asked.

    Args:
        where: the loader's benchmark or leaf, for the message.
        others: the keywords that mean nothing to the loader.
        switches: the keys of ``--metadata`` that do.
        chosen: for each argument with listed values the value and that list.

    Raises:
        InputError: an argument has no such value, or a key is nearly the name of a switch.

    >>> check_arguments("toy", {"pretrained": "gpt2"}, ["data"], data=("sample", DATA))
    >>> check_arguments("toy", {"dat": "sample"}, ["data"])
    Traceback (most recent call last):
    harness_ext.errors.InputError: toy: --metadata has no key 'dat'; did you mean 'data'?
    """
    for name, (value, values) in chosen.items():
        if value not in values:
            raise InputError(f"{where}: {name} is {value!r}; give {' or '.join(map(repr, values))}.")
    for key in others:
        if key not in _TASK_FILES and key not in switches:
            for near in difflib.get_close_matches(key.lower(), switches, n=1, cutoff=_NEAR):
                raise InputError(f"{where}: --metadata has no key {key!r}; did you mean {near!r}?")
