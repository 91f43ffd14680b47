"""ISEAR: which of seven emotions somebody felt in the situation they describe; there is no split, all is test."""

from __future__ import annotations

import re

from harness_ext.data import fetch
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

# what is left of the line breaks in the original forms
_LINE_WRAP = re.compile(r"\s*á\s*")


def _read(split: Split) -> list[Record]:
    text = fetch("isear", "isear.csv").read_bytes().decode("utf-8")
    header, *rows = (line.rstrip("\r").split("|") for line in text.removesuffix("\n").split("\n"))
    situation, label, key = (header.index(name) for name in ("SIT", "Field1", "MYKEY"))
    return [
        label_record({}, row[key], _LINE_WRAP.sub(" ", row[situation]).strip(), row[label])
        for row in rows
        if "no response" not in row[situation].lower()
    ]


PARTS = (
    Part(
        "isear",
        "perception",
        "isear",
        _read,
        ("macro_f1", "acc", "weighted_f1"),
        ("joy", "fear", "anger", "sadness", "disgust", "shame", "guilt"),
        aliases={
            "happy": "joy",
            "happiness": "joy",
            "joyful": "joy",
            "afraid": "fear",
            "fearful": "fear",
            "scared": "fear",
            "angry": "anger",
            "sad": "sadness",
            "disgusted": "disgust",
            "ashamed": "shame",
            "guilty": "guilt",
        },
        splits=("test",),
    ),
)
