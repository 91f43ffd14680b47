"""The metadata key ``reasoning_markers``: how a model marks its reasoning, where that is not one of the common ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from harness_ext.errors import InputError

MARKERS = "reasoning_markers"


def with_markers(load: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A loader of docs that writes the markers into every doc, where the run gives some; scoring reads them there.

    Raises (the loader):
        InputError: they are not an opening and a closing marker.

    >>> with_markers(lambda **_: {})(reasoning_markers="</ponder>")
    Traceback (most recent call last):
    harness_ext.errors.InputError: reasoning_markers is '</ponder>'; give two texts: ["<ponder>", "</ponder>"].
    """

    @wraps(load)
    def loaded(*args: Any, reasoning_markers: object = None, **kwargs: Any) -> dict[str, Any]:
        if reasoning_markers is None:
            return load(*args, **kwargs)
        if not (
            isinstance(reasoning_markers, list)
            and len(reasoning_markers) == 2
            and all(isinstance(marker, str) and marker.strip() for marker in reasoning_markers)
        ):
            raise InputError(f'{MARKERS} is {reasoning_markers!r}; give two texts: ["<ponder>", "</ponder>"].')
        splits = load(*args, **kwargs)
        return {name: docs.add_column(MARKERS, [reasoning_markers] * len(docs)) for name, docs in splits.items()}

    return loaded
