"""GoEmotions: the emotions of a Reddit comment, a set of 28 labels in which ``neutral`` is one."""

from __future__ import annotations

from harness_ext.data.rows import read_lines
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_set_record

LABELS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
"""In the order of the released ``labels.txt``."""


def _read(split: Split) -> list[Record]:
    rows = [line.split("\t") for line in read_lines("goemotions", f"{split}.tsv")]
    return [label_set_record(id, text, [LABELS[int(n)] for n in numbers.split(",")]) for text, numbers, id in rows]


PARTS = (Part("goemotions", "perception", "goemotions", _read, ("macro_f1", "micro_f1", "jaccard"), LABELS),)
