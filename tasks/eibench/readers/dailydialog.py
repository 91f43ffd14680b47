"""DailyDialog: emotion of an utterance in an everyday conversation; four of five utterances have none."""

from __future__ import annotations

from harness_ext.data.rows import read_lines
from harness_ext.errors import DataError
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record, other_words

_FILE_SPLIT = {"test": "test", "dev": "validation"}
_LABELS = ("none", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""In the order of the file's codes 0 … 6."""


def _read(split: Split) -> list[Record]:
    name = _FILE_SPLIT[split]
    texts, codes = (read_lines("dailydialog", f"dialogues_{kind}{name}.txt") for kind in ("", "emotion_"))
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
        aliases=other_words(_LABELS) | {"no emotion": "none", "neutral": "none"},
    ),
)
