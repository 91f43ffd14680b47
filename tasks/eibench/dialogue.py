"""Dialogues as text: a window that ends at one utterance, or all utterances with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Utterance(NamedTuple):
    """One turn."""

    speaker: str
    text: str


def window(dialogue: Sequence[Utterance], index: int, previous: int = 5) -> str:
    r"""The utterance at ``index`` (from 0) as ``Speaker: text`` with up to ``previous`` utterances before it.

    >>> window([Utterance("A", "Hi."), Utterance("B", "Hello."), Utterance("A", "Bye.")], 1, previous=1)
    'A: Hi.\nB: Hello.'
    """
    return "\n".join(f"{u.speaker}: {u.text}" for u in dialogue[max(0, index - previous) : index + 1])


def numbered(dialogue: Sequence[Utterance]) -> str:
    r"""All utterances as ``1. Speaker: text``.

    >>> numbered([Utterance("A", "Hi."), Utterance("B", "Hello.")])
    '1. A: Hi.\n2. B: Hello.'
    """
    return "\n".join(f"{number}. {u.speaker}: {u.text}" for number, u in enumerate(dialogue, start=1))
