"""Runs that go on where they were stopped, a task at a time, whatever the backend.

lm-eval sends the requests of all tasks together and writes one results file when the last is answered. A `Keeper`
stands between: it hands the backend one task after the other and writes the answers of each, once they are all there,
into the file of the model's identity (:mod:`harness_ext.models.runs.cache`). The same command later finds them, asks
for the rest, and lm-eval sees all answers at once: groups and the results file are whole, and no two models, settings
or prompts share an answer.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from harness_ext.errors import InputError
from harness_ext.models.runs.answers import is_log_likelihood
from harness_ext.models.runs.between import Answers, Ask, Between
from harness_ext.models.runs.cache import RunCache, request_key
from harness_ext.models.runs.identity import identity
from harness_ext.models.runs.usage import Meter

log = logging.getLogger(__name__)

_FORMS: Mapping[str, Any] = {
    "generate_until": str, "loglikelihood": tuple[float, bool], "loglikelihood_rolling": float,
}  # fmt: skip


class Keeper(Between):
    """Asks a backend for one task at a time, and for nothing that was answered before.

    Args:
        inner: the backend.
        cache: where answers are kept.
    """

    def __init__(self, inner: Any, cache: RunCache) -> None:
        super().__init__(inner)
        self._cache = cache
        self._seen: Counter[str] = Counter()

    def answer(self, kind: str, requests: Sequence[Instance], ask: Ask) -> Answers:
        """What is kept of each task, and the backend's answers to the rest."""
        keys = [self._key(kind, request) for request in requests]
        tasks: dict[str, list[int]] = {}
        for at, request in enumerate(requests):
            tasks.setdefault(str(request.task_name), []).append(at)
        found: dict[int, Any] = {}
        for task, places in tasks.items():
            kept = self._cache.get([keys[at] for at in places], _FORMS[kind])
            found |= {at: kept[keys[at]] for at in places if keys[at] in kept}
            missing = [at for at in places if at not in found]
            if len(missing) < len(places):
                log.warning("%s: %d of %d answers are kept from before", task, len(found.keys() & places), len(places))
            for at, answer in zip(missing, ask([requests[at] for at in missing]) if missing else [], strict=True):
                found[at] = answer
                if kind == "generate_until" or is_log_likelihood(answer):  # what is no answer stops the run
                    self._cache.put(keys[at], answer)
            self._cache.commit()
        return [found[at] for at in range(len(requests))]

    def _key(self, kind: str, request: Instance) -> str:
        """The request by all that is sent; of equal ones each has its own answer."""
        key = request_key(kind, _plain(request.args))
        self._seen[key] += 1
        return key if self._seen[key] == 1 else request_key(key, [self._seen[key]])


def _plain(value: Any) -> Any:
    """What a request holds as JSON, pictures and sounds by their hashes."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    content = value if isinstance(value, bytes) else getattr(value, "tobytes", bytes)()
    if not content:
        raise InputError(f"--resume: a {type(value).__name__} in a request cannot be told from another; run without it")
    about = [str(getattr(value, name, "")) for name in ("mode", "size", "dtype", "shape")]
    return [type(value).__name__, *about, hashlib.sha256(content).hexdigest()]


def _identity(lm: Any) -> dict[str, Any]:
    """Whose answers are kept: the backend's identity and the seed of what it draws."""
    backend = getattr(lm, "lm", lm)  # lm-eval's cache wraps the backend
    own: Mapping[str, Any] = backend.identity() if hasattr(backend, "identity") else identity(backend)
    torch = sys.modules.get("torch")
    return {**own, "seed": torch.initial_seed() if torch else None}


@contextmanager
def resuming(folder: Path) -> Iterator[None]:
    """Make every lm-eval run keep its answers in a folder, and take from there what it was answered before."""
    from lm_eval import evaluator

    inner = evaluator.evaluate

    @functools.wraps(inner)
    def evaluate(lm: Any, task_dict: Any, **options: Any) -> Any:
        cache = RunCache(folder, _identity(lm))
        try:
            # only what is still asked of the backend is counted
            return inner(lm=Keeper(Meter(lm), cache), task_dict=task_dict, **options)
        finally:
            cache.close()

    evaluator.evaluate = evaluate
    try:
        yield
    finally:
        evaluator.evaluate = inner
