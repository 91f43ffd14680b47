"""The filter of tasks whose judge is configured: it asks the judge that each doc names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness_ext.judges.judge import Item
from harness_ext.judges.loading import load_judge


def configured(resps: Iterable[Sequence[str]], docs: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Verdicts of the judge in the docs' field ``judge``, one for each response of each doc.

    Raises:
        InputError: there is no such judge, or it cannot be asked.
    """
    pairs = [(list(own), doc) for own, doc in zip(resps, docs, strict=True)]
    verdicts: dict[str, list[str]] = {}
    for spec in dict.fromkeys(doc["judge"] for _, doc in pairs):
        asked = load_judge(spec)
        items = [Item(doc["prompt"], response, doc) for own, doc in pairs if doc["judge"] == spec for response in own]
        verdicts[spec] = asked.judge(items)
    given = {spec: iter(own) for spec, own in verdicts.items()}
    return [[next(given[doc["judge"]]) for _ in own] for own, doc in pairs]
