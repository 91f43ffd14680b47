"""The released items of ToMBench, one language at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from harness_ext.data import load_card
from harness_ext.data.rows import read_json_lines
from harness_ext.errors import DataError

Language = Literal["en", "zh"]
Part = Literal["emotion", "all"]

LETTERS = "ABCD"

EMOTION_FILES = (
    "Discrepant Emotions.jsonl", "Emotion Regulation.jsonl", "Hidden Emotions.jsonl", "Moral Emotions.jsonl",
    "Strange Story Task.jsonl", "Unexpected Outcome Test.jsonl",
)  # fmt: skip
"""The files that hold emotion items, in the order of all files: by name."""

_ABILITY, _ANSWER = "能力\nABILITY", "答案\nANSWER"
_FIELDS: Mapping[str, tuple[str, str, str]] = {"en": ("STORY", "QUESTION", "OPTION-"), "zh": ("故事", "问题", "选项")}
_OWN_LETTER = re.compile(r"^\s*[A-D]\s*[.．、:：]\s*")


class Item(NamedTuple):
    """One question."""

    id: str
    """``<file stem>_<line>``, lines from 0."""
    ability: str
    """``family: ability``, as in the file."""
    story: str
    question: str
    options: tuple[str, ...]
    """Two or four texts without letters of their own."""
    answer: int
    """Index of the right option."""

    @property
    def task(self) -> str:
        """The file the item stands in, which is what the benchmark calls a task."""
        return self.id.rpartition("_")[0]


def item_of(raw: Mapping[str, Any], id: str, language: Language) -> Item:
    """An item from one line of a file.

    Options C and D are NaN where there are only two; options may carry a letter of their own, and the answer blanks.

    Raises:
        DataError: the answer is not one of the options.

    >>> raw = {"能力\\nABILITY": "Emotion: Mixed emotions ", "答案\\nANSWER": "B. ", "STORY": "S.", "QUESTION": "Q?",
    ...        "OPTION-A": "A. Glad", "OPTION-B": "B、Sad", "OPTION-C": float("nan"), "OPTION-D": float("nan")}
    >>> item_of(raw, "File_0", "en").options, item_of(raw, "File_0", "en").answer
    (('Glad', 'Sad'), 1)
    """
    story, question, option = _FIELDS[language]
    texts = (raw[f"{option}{letter}"] for letter in LETTERS)
    options = tuple(_OWN_LETTER.sub("", text).strip() for text in texts if isinstance(text, str))
    letter = raw[_ANSWER].strip()[:1]
    if letter not in LETTERS[: len(options)] or not letter:
        raise DataError(f"ToMBench item {id}: the answer {raw[_ANSWER]!r} is none of {len(options)} options.")
    return Item(id, raw[_ABILITY].strip(), raw[story], raw[question], options, LETTERS.index(letter))


def read(part: Part, language: Language) -> Iterator[Item]:
    """The items of a part, files by name.

    Raises:
        DataError: a file is missing or an item is broken.
    """
    files = EMOTION_FILES if part == "emotion" else sorted(entry.name for entry in load_card("tombench").files)
    for name in files:
        stem = name.removesuffix(".jsonl")
        for number, raw in enumerate(read_json_lines("tombench", name)):
            item = item_of(raw, f"{stem}_{number}", language)
            if part == "all" or item.ability.startswith("Emotion"):
                yield item
