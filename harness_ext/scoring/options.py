"""The options of a question: an order fixed by a hash, and the likeliest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def hashed_order(id: str, n: int) -> list[int]:
    """The n options of a doc in the order of ``sha256("<doc id>:<k>")``, the same on every machine.

    >>> hashed_order("Hidden Emotions_0", 4)
    [2, 0, 1, 3]
    """
    return sorted(range(n), key=lambda k: hashlib.sha256(f"{id}:{k}".encode()).hexdigest())


def hashed_choice(salt: str, id: str, n: int) -> int:
    """One of n numbers from 0, by the hash of an id with a salt: which paraphrase a doc is asked with.

    >>> hashed_choice("eibench_cee", "tr_9708_4", 3)
    1
    """
    return int(hashlib.sha256(f"{salt}:{id}".encode()).hexdigest()[:8], 16) % n


def likeliest(results: Sequence[tuple[float, bool]], lengths: Sequence[int] | None = None) -> int:
    """Index of the option with the largest log-likelihood, the first of equal ones.

    Args:
        results: log-likelihood of each option, and whether it is what greedy decoding gives.
        lengths: what each log-likelihood is divided by, if by anything.

    >>> likeliest([(-4.0, False), (-3.0, False)]), likeliest([(-4.0, False), (-3.0, False)], lengths=[4, 2])
    (1, 0)
    """
    likelihoods = np.array([likelihood for likelihood, _ in results])
    return int(np.argmax(likelihoods if lengths is None else likelihoods / np.array(lengths)))
