"""EmoContext (SemEval-2019 Task 3): emotion of the last of three turns between a person and a chat bot."""

from __future__ import annotations

from harness_ext.data.rows import read_lines
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_FILES = {"test": "test.txt", "dev": "valid.txt"}


def _read(split: Split) -> list[Record]:
    records = []
    for line in read_lines("emocontext", _FILES[split])[1:]:
        id, *turns, label = line.split("\t")
        dialogue = [Utterance("ABA"[i], turn) for i, turn in enumerate(turns)]
        records.append(label_record({}, id, window(dialogue, len(dialogue) - 1), label))
    return records


PARTS = (
    Part(
        "emocontext",
        "perception",
        "emocontext",
        _read,
        ("micro_f1_excl", "acc", "macro_f1", "weighted_f1"),
        ("others", "happy", "sad", "angry"),
        aliases={
            "other": "others",
            "none": "others",
            "neutral": "others",
            "happiness": "happy",
            "joy": "happy",
            "sadness": "sad",
            "anger": "angry",
        },
    ),
)
