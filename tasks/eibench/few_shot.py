"""Examples that all docs of a leaf share: `hf-prefix` then runs them once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.samplers import ContextSampler

from harness_ext.errors import InputError


class Spread(ContextSampler):  # type: ignore[misc]
    """Takes examples at equal distances from the whole split, as neighbours are often turns of one dialogue."""

    def sample(
        self, n: int, eval_doc: dict[str, Any] | None = None, df: Sequence[dict[str, Any]] | None = None, **_: Any
    ) -> Sequence[dict[str, Any]]:
        """The examples; a doc that would be its own example gets the one after it instead.

        Raises:
            InputError: there are not so many.

        >>> [doc["id"] for doc in Spread([{"id": number} for number in range(9)]).sample(3)]
        [0, 3, 6]
        """
        pool = list(df or self.df)
        others = [place for place, doc in enumerate(pool) if doc != eval_doc]
        if n > len(others):
            raise InputError(f"--num_fewshot is {n}, but a task has {len(others)} examples. Give a smaller number.")
        places = [len(pool) * number // n for number in range(n)]
        for number, place in enumerate(places):
            if place not in others:
                places[number] = next(one for one in [*others[place:], *others] if one not in places)
        return [pool[place] for place in places]
