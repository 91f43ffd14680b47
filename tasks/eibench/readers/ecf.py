"""Emotion-Cause-in-Friends: all pairs of an emotional utterance and an utterance that caused it (text part).

A block is ``<id> <n>``, a line of pairs (empty in 17 test dialogues), then n lines
``number | speaker | emotion | text | time``. A cause may come later than the emotion.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from harness_ext.data.rows import read_lines
from harness_ext.tasks.eibench.dialogue import Utterance, numbered
from harness_ext.tasks.eibench.parts import Part, Record, Split

_PAIR = re.compile(r"\((\d+),(\d+)\)")


class Dialogue(NamedTuple):
    """One dialogue: its number, utterances, their emotions, and the pairs (emotion utterance, cause utterance)."""

    id: str
    utterances: list[Utterance]
    emotions: list[str]
    pairs: list[tuple[int, int]]


def read_dialogues(split: Split) -> list[Dialogue]:
    """All dialogues of a split, in file order."""
    lines = iter(read_lines("ecf", f"{split}.txt"))
    dialogues = []
    for head in lines:
        if not head.strip():
            continue
        id, size = head.split()
        pairs = sorted({(int(emotion), int(cause)) for emotion, cause in _PAIR.findall(next(lines))})
        turns = [next(lines).split(" | ", 4) for _ in range(int(size))]
        dialogues.append(
            Dialogue(id, [Utterance(turn[1], turn[3]) for turn in turns], [turn[2].strip() for turn in turns], pairs)
        )
    return dialogues


def _read(split: Split) -> list[Record]:
    return [
        Record(
            id=dialogue.id,
            input=numbered(dialogue.utterances),
            target=",".join(f"{emotion}-{cause}" for emotion, cause in dialogue.pairs),
            gold=[list(pair) for pair in dialogue.pairs],
            answer=", ".join(f"({emotion},{cause})" for emotion, cause in dialogue.pairs) or "none",
            meta={"utterances": len(dialogue.utterances)},
        )
        for dialogue in read_dialogues(split)
    ]


PARTS = (Part("ecf", "cognition", "ecf", _read, ("pair_f1", "precision", "recall")),)
