"""A backend that stands between lm-eval and another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance

Answers = list[Any]
Ask = Callable[[Sequence[Instance]], Answers]


class Between:
    """For everything but requests, the backend it is made from.

    Args:
        inner: an lm-eval backend, lm-eval's cache around one, or another of these.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.lm = getattr(inner, "lm", inner)
        """The backend itself, under the name that lm-eval's cache gives it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def answer(self, kind: str, requests: Sequence[Instance], ask: Ask) -> Answers:
        """The answers to requests of one kind, in their order; ``ask`` is the inner backend's."""
        return ask(requests)

    def generate_until(self, requests: Sequence[Instance]) -> Answers:
        """See lm-eval's ``LM``."""
        return self.answer("generate_until", requests, self._inner.generate_until)

    def loglikelihood(self, requests: Sequence[Instance]) -> Answers:
        """See lm-eval's ``LM``."""
        return self.answer("loglikelihood", requests, self._inner.loglikelihood)

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> Answers:
        """See lm-eval's ``LM``."""
        return self.answer("loglikelihood_rolling", requests, self._inner.loglikelihood_rolling)
