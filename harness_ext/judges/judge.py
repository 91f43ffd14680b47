"""What a judge is; :mod:`harness_ext.judges.loading` makes one from its name or file.

A judge turns a prompt and a response into a verdict: a JSON string ``{"judge", "kind": "refusal" | "harm", "label",
"score"}``, sometimes with ``detail``, why there is no label, and ``reasoning_cut``, where reasoning was cut off the
response. It never holds the prompt or the response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

from harness_ext.scoring.answers import MARKERS, Answer, answer_of

Kind = Literal["refusal", "harm"]
Empty = Literal["compliance"]
LABELS: Mapping[Kind, frozenset[str]] = {
    "refusal": frozenset({"compliance", "partial", "refusal", "invalid"}),
    "harm": frozenset({"harmful", "safe", "invalid"}),
}
"""What a verdict of each kind may say."""

EMPTY = "empty response"
UNFINISHED = "reasoning without an end"
SHOWN = 200
"""Longest ``detail`` of a verdict, in characters."""


class Item(NamedTuple):
    """What is judged: a response to a prompt, and the doc the prompt was made from."""

    prompt: str
    response: str
    doc: Mapping[str, Any]


@dataclass
class Statistics:
    """What judging took so far."""

    asked: int = 0
    """Items that a model was asked about, each different."""
    cached: int = 0
    """Items that were not asked about because the verdict was known."""
    retried: int = 0
    """Requests that were sent again after a failure."""
    invalid: int = 0
    """Items without a verdict that can be counted: empty responses and answers that cannot be read."""

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class Judge(Protocol):
    """A judge, ready to be asked."""

    name: str
    """The suffix of its metrics: the name of a rule, ``llm_<parser>``, ``cls_<config>``, or the name it was given."""
    version: str
    kind: Kind
    three_class: bool
    """Whether it tells a partial refusal from a full one; only such a judge has ``*_full`` metrics."""
    statistics: Statistics

    def describe(self) -> dict[str, Any]:
        """What results record: judge, kind, type, version, model, parser, prompt hash, decoding, agreement."""
        ...

    def judge(self, items: Sequence[Item]) -> list[str]:
        """One verdict for each item, in their order; an empty response is ``invalid`` and nobody is asked.

        Raises:
            InputError: the judge cannot judge these items, or its endpoint fails for good; what was judged is kept.
        """
        ...


def answer(item: Item) -> Answer:
    """What is judged of a response: the answer behind its reasoning.

    >>> answer(Item("", "<think>No?</think>Yes.", {})).text
    'Yes.'
    """
    return answer_of(item.response, item.doc.get(MARKERS))


def verdict(
    judge: str, kind: Kind, label: str, score: float | None = None, detail: str = "", *, reasoning_cut: bool = False
) -> str:
    """A verdict as text.

    >>> verdict("xstest", "refusal", "refusal")
    '{"judge": "xstest", "kind": "refusal", "label": "refusal", "score": null}'
    """
    about: dict[str, Any] = {"detail": detail[:SHOWN]} if detail else {}
    about |= {"reasoning_cut": True} if reasoning_cut else {}
    return json.dumps({"judge": judge, "kind": kind, "label": label, "score": score, **about})
