"""MIME's stored outputs on EmpatheticDialogues: contexts and references as that model saw them, and its answers.

The text is tokenised, lower-cased and has its contractions expanded, so references differ from the corpus: these docs
are for scoring the outputs stored beside them (and models whose outputs were prepared in the same way), as a check of
our metrics on a real model. No EiBench-R average contains them.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from harness_ext.data.rows import read_text
from harness_ext.errors import DataError
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record
from harness_ext.tasks.eibench.readers.empathetic_dialogues import EMOTIONS

_BLOCK = re.compile(
    r"emotion:(?P<emotion>\S+)\tvader-score: \S+\tpredicted_emotion: (?P<predicted>\S+)\n"
    r"Context:(?P<context>.*)\nTopk:(?P<topk>.*)\nBeam:(?P<beam>.*)\nGreedy:(?P<greedy>.*)\nRef:(?P<reference>.*)\s*\Z"
)


class Turn(NamedTuple):
    """One reply turn with the model's predicted emotion and its reply in three decodings."""

    emotion: str
    predicted: str
    context: list[str]
    topk: str
    beam: str
    greedy: str
    reference: str


def read_turns() -> list[Turn]:
    """All turns of the file, in file order.

    Raises:
        DataError: the file is missing, or a block is not as described.
    """
    text = read_text("mime_outputs", "output.txt")
    blocks = re.split(r"^-{70}\n?", text, flags=re.MULTILINE)
    turns = []
    for number, block in enumerate(block for block in blocks if block.strip()):
        # the first block also carries a comment and the corpus' own scores
        match = _BLOCK.search(block)
        if match is None:
            raise DataError(f"mime_outputs: block {number} of output.txt is not readable. Fetch the pinned file again.")
        found = {name: value.strip() for name, value in match.groupdict().items()}
        turns.append(Turn(**{**found, "context": ast.literal_eval(found["context"])}))
    return turns


def _input(turn: Turn) -> str:
    dialogue = [Utterance("Speaker" if i % 2 == 0 else "Listener", text) for i, text in enumerate(turn.context)]
    return window(dialogue, len(dialogue) - 1, previous=len(dialogue))


def _emotion(split: Split) -> list[Record]:
    return [label_record({}, str(i), _input(turn), turn.emotion) for i, turn in enumerate(read_turns())]


def _response(split: Split) -> list[Record]:
    return [
        Record(str(i), _input(t), target=t.reference, gold=t.reference, answer=t.reference, refs=(t.reference,))
        for i, t in enumerate(read_turns())
    ]


PARTS = (
    Part(
        "mime_emotion",
        "extension",
        "mime_outputs",
        _emotion,
        ("acc", "macro_f1", "weighted_f1"),
        EMOTIONS,
        splits=("test",),
    ),
    Part(
        "mime_response",
        "extension",
        "mime_outputs",
        _response,
        ("rougeL", "bleu_13a", "bleu_none", "dist_1", "dist_2"),
        splits=("test",),
    ),
)
