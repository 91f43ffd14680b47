"""The emotion-consistency diagnostic for ``ed_response``: its classifier learns from the train situations."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from harness_ext.replies.emotion_consistency import train
from harness_ext.tasks.eibench.readers.empathetic_dialogues import Dialogue, split_dialogues


def training_dialogues() -> list[Dialogue]:
    """The train dialogues of EmpatheticDialogues without the 15 whose situation also occurs in dev or test.

    Raises:
        DataError: a file is missing.
    """
    found = split_dialogues()
    held_out = {dialogue.situation for dialogue in (*found.dev, *found.test)}
    return [dialogue for dialogue in found.train if dialogue.situation not in held_out]


@lru_cache(maxsize=1)
def classifier() -> Any:
    """The classifier of :func:`harness_ext.replies.emotion_consistency.train` on the train situations (some 10 s).

    Raises:
        DataError: a file is missing.
    """
    dialogues = training_dialogues()
    return train([dialogue.situation for dialogue in dialogues], [dialogue.emotion for dialogue in dialogues])
