"""EmpatheticDialogues: text from one repository, the original split from another, joined by situation.

The split files hold no conversation id. Their rows are ordered by conversation number, which leaves exactly one
assignment of rows to the dialogues with the same emotion and situation.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from harness_ext.data import fetch
from harness_ext.errors import DataError
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_BY_NUMBER = [
    "surprised", "excited", "annoyed", "proud", "angry", "sad", "grateful", "lonely", "impressed", "afraid",
    "disgusted", "confident", "terrified", "hopeful", "anxious", "disappointed", "joyful", "prepared", "guilty",
    "furious", "nostalgic", "jealous", "anticipating", "embarrassed", "content", "devastated", "sentimental",
    "caring", "trusting", "ashamed", "apprehensive", "faithful",
]  # fmt: skip
"""Emotion number 1 … 32 in the split files."""
EMOTIONS = tuple(sorted(_BY_NUMBER))
_WITHOUT_DIALOGUE = {"test": 2546, "dev": 2769}
"""The one row of each split file (from 0, its last) whose dialogue the text repository lacks."""


class Dialogue(NamedTuple):
    """A conversation about one emotional situation; the first turn is the speaker's."""

    id: str
    emotion: str
    situation: str
    turns: list[Utterance]

    @property
    def number(self) -> int:
        """The conversation number, by which the released files are ordered."""
        return int(self.id.rpartition("conv:")[2])


class SplitDialogues(NamedTuple):
    """The dialogues of the original split, each list ordered by conversation number."""

    test: list[Dialogue]
    dev: list[Dialogue]
    train: list[Dialogue]


def _rows(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))[1:]


def read_dialogues(files: dict[str, Path]) -> list[Dialogue]:
    """All dialogues of the per-emotion files, without the nine copies whose id ends in `` (1)``."""
    dialogues: dict[str, Dialogue] = {}
    for emotion, file in files.items():
        for id, kind, actor, text in _rows(file):
            if id.endswith(" (1)"):
                continue
            if kind == "situation":
                dialogues[id] = Dialogue(id, emotion, text, [])
            else:
                dialogues[id].turns.append(Utterance(actor.capitalize(), text))
    return list(dialogues.values())


def assign(
    rows: Sequence[tuple[str, str]], dialogues: Sequence[Dialogue], without_dialogue: int | None = None
) -> list[Dialogue]:
    """The dialogue of each row of a split file.

    Args:
        rows: (emotion, situation) of each row, ordered by conversation number.
        dialogues: all dialogues.
        without_dialogue: index of the row that is known to have none.

    Raises:
        DataError: another row has no dialogue after the one of the row before.
    """
    numbers: defaultdict[tuple[str, str], list[Dialogue]] = defaultdict(list)
    for dialogue in dialogues:
        numbers[dialogue.emotion, dialogue.situation.strip()].append(dialogue)
    found: list[Dialogue] = []
    for index, (emotion, situation) in enumerate(rows):
        last = found[-1].number if found else -1
        later = [d for d in numbers[emotion, situation.strip()] if d.number > last]
        if later:
            found.append(min(later, key=lambda d: d.number))
        elif index != without_dialogue:
            raise DataError(
                f"empathetic_dialogues: row {index} of the split file ({emotion}) has no dialogue. "
                "Fetch the pinned files again."
            )
    return found


@lru_cache(maxsize=1)
def _joined(files: tuple[tuple[str, Path], ...], test: Path, dev: Path) -> SplitDialogues:
    dialogues = read_dialogues(dict(files))

    def taken(file: Path, split: str) -> list[Dialogue]:
        rows = [(_BY_NUMBER[int(number) - 1], situation) for number, situation in _rows(file)]
        return assign(rows, dialogues, _WITHOUT_DIALOGUE[split])

    in_test, in_dev = taken(test, "test"), taken(dev, "dev")
    used = {dialogue.id for dialogue in (*in_test, *in_dev)}
    return SplitDialogues(in_test, in_dev, sorted((d for d in dialogues if d.id not in used), key=lambda d: d.number))


def split_dialogues() -> SplitDialogues:
    """Test, dev and train dialogues of EmpatheticDialogues' original split.

    Raises:
        DataError: a file is missing, or the split does not fit the text.
    """
    files = tuple((emotion, fetch("empathetic_dialogues", f"{emotion}.csv")) for emotion in EMOTIONS)
    return _joined(files, *(fetch("empathetic_dialogues", f"{split}.csv") for split in ("test", "dev")))


def _of(split: Split) -> list[Dialogue]:
    dialogues = split_dialogues()
    return dialogues.test if split == "test" else dialogues.dev


def _emotion(split: Split) -> list[Record]:
    return [label_record({}, d.id, d.situation, d.emotion, cluster=d.id) for d in _of(split)]


def _response(split: Split) -> list[Record]:
    return [
        Record(
            id=f"{dialogue.id}#{index}",
            input=window(dialogue.turns, index - 1, previous=len(dialogue.turns)),
            target=turn.text,
            gold=turn.text,
            answer=turn.text,
            refs=(turn.text,),
            cluster=dialogue.id,
            meta={"emotion": dialogue.emotion},
        )
        for dialogue in _of(split)
        for index, turn in enumerate(dialogue.turns)
        if turn.speaker == "Listener"
    ]


PARTS = (
    Part("ed_emotion", "perception", "empathetic_dialogues", _emotion, ("acc", "macro_f1", "weighted_f1"), EMOTIONS),
    Part("ed_response", "expression", "empathetic_dialogues", _response, ("rougeL", "bleu_13a", "dist_1", "dist_2")),
)
