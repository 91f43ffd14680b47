"""The order in which servers and engines are asked: by what requests begin with, so that their caches of prefixes gain.

lm-eval sorts by length, which puts prompts with the same beginning far apart. Backends that pad their batches (``hf``)
need that; vLLM, SGLang and servers pad nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from lm_eval.models.utils import Collator


class ByBeginning(Collator):  # type: ignore[misc]
    """lm-eval's ``Collator`` with requests in the order of their tokens, or of their texts where it has no tokens.

    >>> requests = [("b", {}), ("a long one", {}), ("a", {})]
    >>> order = ByBeginning(requests, sort_fn=lambda request: -len(request[0]))
    >>> next(order.get_batched(n=0))
    [('a', {}), ('a long one', {}), ('b', {})]
    >>> order.get_original([1, 2, 3])
    [3, 2, 1]
    """

    def __init__(self, arr: Sequence[Any], sort_fn: Callable[[Any], Any], *arguments: Any, **options: Any) -> None:
        def beginning(request: Any) -> Any:
            key = sort_fn(request)  # the length, and for most of lm-eval's backends what is as long
            return key[1:] if isinstance(key, tuple) else str(getattr(request[0], "prompt", request[0]))

        super().__init__(arr, beginning, *arguments, **options)


def order_by_beginning(backend: ModuleType) -> None:
    """Let the backends of one of lm-eval's modules ask in this order."""
    backend.Collator = ByBeginning  # type: ignore[attr-defined]
