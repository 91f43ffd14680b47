"""MELD: emotion of an utterance in the television series Friends (text only)."""

from __future__ import annotations

import csv
from itertools import groupby

from harness_ext.data import fetch
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record


def _read(split: Split) -> list[Record]:
    with fetch("meld", f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    records = []
    for dialogue_id, group in groupby(rows, key=lambda row: row["Dialogue_ID"]):
        turns = list(group)
        dialogue = [Utterance(turn["Speaker"], turn["Utterance"]) for turn in turns]
        for i, turn in enumerate(turns):
            id, cluster = f"{split}_{dialogue_id}_{turn['Utterance_ID']}", f"{split}_{dialogue_id}"
            records.append(label_record({}, id, window(dialogue, i), turn["Emotion"], cluster))
    return records


PARTS = (
    Part(
        "meld",
        "perception",
        "meld",
        _read,
        ("weighted_f1", "acc", "macro_f1"),
        ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
        aliases={
            "happy": "joy",
            "happiness": "joy",
            "joyful": "joy",
            "sad": "sadness",
            "angry": "anger",
            "fearful": "fear",
            "afraid": "fear",
            "scared": "fear",
            "surprised": "surprise",
            "disgusted": "disgust",
            "no emotion": "neutral",
        },
    ),
)
