"""Examples that all docs of a leaf share: `hf-prefix` then runs them once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from lm_eval.api.samplers import ContextSampler

from harness_ext.errors import InputError


class Spread(ContextSampler):  # type: ignore[misc]
    """Takes examples at equal distances from the whole split, as neighbours are often turns of one dialogue.

    Each has an answer that none before it has, while the split has such: behind three examples of one answer a small
    model says nothing else.
    """

    def sample(
        self, n: int, eval_doc: dict[str, Any] | None = None, df: Sequence[dict[str, Any]] | None = None, **_: Any
    ) -> Sequence[dict[str, Any]]:
        """The examples; a doc that would be its own example gets another one instead.

        Raises:
            InputError: there are not so many.

        >>> [doc["id"] for doc in Spread([{"id": number} for number in range(9)]).sample(3)]
        [0, 3, 6]
        >>> [doc["id"] for doc in Spread([{"id": number, "target": number > 4} for number in range(9)]).sample(2)]
        [0, 5]
        """
        pool = list(df or self.df)
        others = [place for place, doc in enumerate(pool) if doc != eval_doc]
        if n > len(others):
            raise InputError(f"--num_fewshot is {n}, but a task has {len(others)} examples. Give a smaller number.")
        places: list[int] = []
        answers: list[Any] = []
        for number in range(n):
            start = bisect_left(others, len(pool) * number // n)
            free = [place for place in (*others[start:], *others[:start]) if place not in places]
            place = next((place for place in free if pool[place].get("target") not in answers), free[0])
            places.append(place)
            answers.append(pool[place].get("target"))
        return [pool[place] for place in places]
