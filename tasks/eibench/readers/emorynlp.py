"""EmoryNLP: emotion of an utterance in the television series Friends, the canonical version with 1,328 test utterances.

The reduced copy with 984 utterances that MELD's repository carries is not used.
"""

from __future__ import annotations

from harness_ext.data.rows import read_json
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_FILES = {"test": "emotion-detection-tst.json", "dev": "emotion-detection-dev.json"}


def _read(split: Split) -> list[Record]:
    season = read_json("emorynlp", _FILES[split])
    records = []
    for scene in (scene for episode in season["episodes"] for scene in episode["scenes"]):
        turns = scene["utterances"]
        dialogue = [Utterance(" & ".join(turn["speakers"]), turn["transcript"]) for turn in turns]
        for i, turn in enumerate(turns):
            label = turn["emotion"].lower()
            records.append(label_record({}, turn["utterance_id"], window(dialogue, i), label, scene["scene_id"]))
    return records


PARTS = (
    Part(
        "emorynlp",
        "perception",
        "emorynlp",
        _read,
        ("weighted_f1", "acc", "macro_f1"),
        ("neutral", "joyful", "scared", "peaceful", "powerful", "mad", "sad"),
        aliases={
            "happy": "joyful",
            "joy": "joyful",
            "afraid": "scared",
            "fear": "scared",
            "angry": "mad",
            "anger": "mad",
            "sadness": "sad",
            "calm": "peaceful",
            "no emotion": "neutral",
        },
    ),
)
