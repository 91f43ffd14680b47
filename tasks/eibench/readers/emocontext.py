"""EmoContext (SemEval-2019 Task 3): emotion of the last of three turns between a person and a chat bot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness_ext.data import fetch
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_FILES: Mapping[Split, str] = MappingProxyType({"test": "test.txt", "dev": "valid.txt"})


def _read(split: Split) -> list[Record]:
    text = fetch("emocontext", _FILES[split]).read_bytes().decode("utf-8")
    records = []
    for line in text.removesuffix("\n").split("\n")[1:]:
        id, *turns, label = line.rstrip("\r").split("\t")
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
