"""TweetEval: emotion, irony, sentiment, and (outside the averages) offensive and hateful tweets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from harness_ext.data.rows import read_lines
from harness_ext.errors import DataError
from harness_ext.tasks.eibench.parts import Aspect, Part, Record, Split, label_record, other_words

_FILE_SPLIT = {"test": "test", "dev": "val"}


def _read(task: str, labels: tuple[str, ...], shown: Mapping[str, str], split: Split) -> list[Record]:
    name = _FILE_SPLIT[split]
    # hate/val_text.txt has an empty tweet, which is a line like any other
    texts, numbers = (read_lines("tweeteval", f"{task}/{name}_{kind}.txt") for kind in ("text", "labels"))
    if len(texts) != len(numbers):
        raise DataError(
            f"tweeteval {task} {split}: {len(texts)} tweets but {len(numbers)} labels. Fetch the pinned files again."
        )
    return [
        label_record(shown, f"{name}_{i}", text, labels[int(number)])
        for i, (text, number) in enumerate(zip(texts, numbers, strict=True))
    ]


def _part(
    task: str,
    aspect: Aspect,
    metrics: tuple[str, ...],
    labels: tuple[str, ...],
    aliases: Mapping[str, str] | None = None,
    shown: Mapping[str, str] | None = None,
) -> Part:
    shown, aliases = shown or {}, other_words(labels) if aliases is None else aliases
    read = partial(_read, task, labels, shown)
    return Part(f"tweet_{task}", aspect, "tweeteval", read, metrics, labels, shown, aliases)


PARTS = (
    _part("emotion", "perception", ("macro_f1", "acc", "weighted_f1"), ("anger", "joy", "optimism", "sadness")),
    _part(
        "irony",
        "perception",
        ("f1_irony", "acc", "macro_f1", "weighted_f1"),
        ("non_irony", "irony"),
        {"non-irony": "non_irony", "non-ironic": "non_irony", "not irony": "non_irony", "no irony": "non_irony"},
        {"non_irony": "not ironic", "irony": "ironic"},
    ),
    _part(
        "sentiment",
        "perception",
        ("macro_recall", "acc", "macro_f1", "weighted_f1"),
        ("negative", "neutral", "positive"),
    ),
    _part(
        "offensive",
        "extension",
        ("macro_f1", "acc", "weighted_f1"),
        ("not-offensive", "offensive"),
        {"inoffensive": "not-offensive"},
        {"not-offensive": "not offensive"},
    ),
    _part(
        "hate",
        "extension",
        ("macro_f1", "acc", "weighted_f1"),
        ("not-hate", "hate"),
        {"not hate": "not-hate", "hate speech": "hate", "not hate speech": "not-hate"},
        {"not-hate": "not hateful", "hate": "hateful"},
    ),
)
