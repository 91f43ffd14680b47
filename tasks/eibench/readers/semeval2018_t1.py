"""SemEval-2018 Task 1, English tweets: emotion sets (E-c), valence (V-reg) and emotion intensity (EI-reg)."""

from __future__ import annotations

from functools import partial

from harness_ext.data.rows import read_lines
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_set_record, real_record

_FILE_SPLIT = {"test": "test-gold", "dev": "dev"}
EMOTIONS = (
    "anger", "anticipation", "disgust", "fear", "joy", "love", "optimism", "pessimism", "sadness", "surprise", "trust",
)  # fmt: skip
"""In the order of the E-c header."""


def _rows(file: str) -> list[list[str]]:
    return [line.split("\t") for line in read_lines("semeval2018_t1", file)[1:]]


def _emotions(split: Split) -> list[Record]:
    return [
        label_set_record(id, text, [e for e, flag in zip(EMOTIONS, flags, strict=True) if flag == "1"])
        for id, text, *flags in _rows(f"E-c-En-{_FILE_SPLIT[split]}.txt")
    ]


def _intensity(stem: str, split: Split) -> list[Record]:
    # The test files end in 16,937 filler tweets whose id says "mystery" and whose gold is 0.
    return [
        real_record(id, text, float(value))
        for id, text, _, value in _rows(f"{stem}-{_FILE_SPLIT[split]}.txt")
        if "mystery" not in id
    ]


_REAL = ("pearson", "spearman", "mae")
PARTS = (
    Part("semeval_ec", "perception", "semeval2018_t1", _emotions, ("jaccard", "micro_f1", "macro_f1"), EMOTIONS),
    Part("semeval_vreg", "perception", "semeval2018_t1", partial(_intensity, "Valence-reg-En"), _REAL),
    *(
        Part(
            f"semeval_eireg_{emotion}",
            "extension",
            "semeval2018_t1",
            partial(_intensity, f"EI-reg-En-{emotion}"),
            _REAL,
        )
        for emotion in ("anger", "fear", "joy", "sadness")
    ),
)
