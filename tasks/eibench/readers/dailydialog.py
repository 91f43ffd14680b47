"""DailyDialog: emotion of an utterance in an everyday conversation; four of five utterances have none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness_ext.data import fetch
from harness_ext.errors import DataError
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_FILE_SPLIT: Mapping[Split, str] = MappingProxyType({"test": "test", "dev": "validation"})
_LABELS = ("none", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""In the order of the file's codes 0 … 6."""


def _lines(file: str) -> list[str]:
    return fetch("dailydialog", file).read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _read(split: Split) -> list[Record]:
    name = _FILE_SPLIT[split]
    texts, codes = _lines(f"dialogues_{name}.txt"), _lines(f"dialogues_emotion_{name}.txt")
    records = []
    for line, (text, emotions) in enumerate(zip(texts, codes, strict=True)):
        # every utterance is followed by the mark, so that the last piece is empty
        turns = [turn.strip() for turn in text.split("__eou__")[:-1]]
        labels = [_LABELS[int(code)] for code in emotions.split()]
        if len(turns) != len(labels):
            raise DataError(
                f"dailydialog {name} line {line}: {len(turns)} utterances but {len(labels)} emotions. "
                "Fetch the pinned files again."
            )
        dialogue = [Utterance("AB"[i % 2], turn) for i, turn in enumerate(turns)]
        records += [
            label_record({}, f"{name}_{line}_{i}", window(dialogue, i), label, f"{name}_{line}")
            for i, label in enumerate(labels)
        ]
    return records


PARTS = (
    Part(
        "dailydialog",
        "perception",
        "dailydialog",
        _read,
        ("micro_f1_excl", "acc", "macro_f1", "weighted_f1"),
        _LABELS,
        aliases={
            "no emotion": "none",
            "neutral": "none",
            "angry": "anger",
            "disgusted": "disgust",
            "fearful": "fear",
            "afraid": "fear",
            "scared": "fear",
            "happy": "happiness",
            "joy": "happiness",
            "joyful": "happiness",
            "sad": "sadness",
            "surprised": "surprise",
        },
    ),
)
