"""ISEAR: which of seven emotions somebody felt in the situation they describe; there is no split, all is test."""

from __future__ import annotations

import re

from harness_ext.data.rows import read_lines
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record, other_words

# what is left of the line breaks in the original forms
_LINE_WRAP = re.compile(r"\s*á\s*")


def _read(split: Split) -> list[Record]:
    header, *rows = (line.split("|") for line in read_lines("isear", "isear.csv"))
    situation, label, key = (header.index(name) for name in ("SIT", "Field1", "MYKEY"))
    return [
        label_record({}, row[key], _LINE_WRAP.sub(" ", row[situation]).strip(), row[label])
        for row in rows
        if "no response" not in row[situation].lower()
    ]


_LABELS = ("joy", "fear", "anger", "sadness", "disgust", "shame", "guilt")
PARTS = (
    Part(
        "isear",
        "perception",
        "isear",
        _read,
        ("macro_f1", "acc", "weighted_f1"),
        _LABELS,
        aliases=other_words(_LABELS),
        splits=("test",),
    ),
)
