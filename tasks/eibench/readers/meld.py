"""MELD: emotion of an utterance in the television series Friends (text only)."""

from __future__ import annotations

from itertools import groupby

from harness_ext.data.rows import read_csv
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record, other_words


def _read(split: Split) -> list[Record]:
    records = []
    for dialogue_id, group in groupby(read_csv("meld", f"{split}_sent_emo.csv"), key=lambda row: row["Dialogue_ID"]):
        turns = list(group)
        dialogue = [Utterance(turn["Speaker"], turn["Utterance"]) for turn in turns]
        for i, turn in enumerate(turns):
            id, cluster = f"{split}_{dialogue_id}_{turn['Utterance_ID']}", f"{split}_{dialogue_id}"
            records.append(label_record({}, id, window(dialogue, i), turn["Emotion"], cluster))
    return records


_LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
PARTS = (
    Part(
        "meld",
        "perception",
        "meld",
        _read,
        ("weighted_f1", "acc", "macro_f1"),
        _LABELS,
        aliases=other_words(_LABELS) | {"no emotion": "neutral"},
    ),
)
