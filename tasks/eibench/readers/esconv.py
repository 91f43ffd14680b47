"""ESConv in MultiESC's split: what an emotional supporter says next, and which support strategy they choose.

The strategy names and the split are MultiESC's; the original authors' differ and overlap with these, so that a model
trained on one must not be tested on the other. Text is tokenised (``haven ' t``) and scored as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness_ext.data.rows import read_json_lines
from harness_ext.tasks.eibench.dialogue import Utterance, window
from harness_ext.tasks.eibench.parts import Part, Record, Split, label_record

_FILES = {"test": "test.txt", "dev": "valid.txt"}
_SPEAKERS = {"sys": "Supporter", "usr": "Seeker"}
STRATEGIES = (
    "Question", "Restatement or Paraphrasing", "Reflection of feelings", "Self-disclosure",
    "Affirmation and Reassurance", "Providing Suggestions or Information", "Greeting", "Others",
)  # fmt: skip


def supporter_turns(split: Split) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Id, dialogue, what was known before, and the raw turn, for every turn of a supporter."""
    for line, session in enumerate(read_json_lines("esconv", _FILES[split])):
        turns = [Utterance(_SPEAKERS[turn["speaker"]], turn["text"]) for turn in session["dialog"]]
        for i, turn in enumerate(session["dialog"]):
            if turn["speaker"] == "sys":
                before = window(turns, i - 1, previous=4) if i else ""
                situation = f"Situation of the seeker: {session['situation']}"
                yield f"{split}_{line}_{i}", f"{split}_{line}", f"{situation}\n{before}".rstrip(), turn


def _response(split: Split) -> list[Record]:
    return [
        Record(id, before, turn["text"], turn["text"], turn["text"], refs=(turn["text"],), cluster=dialogue)
        for id, dialogue, before, turn in supporter_turns(split)
        if not id.endswith("_0")  # nothing was said yet that a reply could answer
    ]


def _strategy(split: Split) -> list[Record]:
    return [
        label_record({}, id, before, turn["strategy"], dialogue)
        for id, dialogue, before, turn in supporter_turns(split)
    ]


PARTS = (
    Part("esc_response", "expression", "esconv", _response, ("rougeL", "bleu_13a", "dist_1", "dist_2")),
    Part(
        "esc_strategy",
        "expression",
        "esconv",
        _strategy,
        ("macro_f1", "acc", "weighted_f1"),
        STRATEGIES,
        aliases={
            "questions": "Question",
            "restatement": "Restatement or Paraphrasing",
            "paraphrasing": "Restatement or Paraphrasing",
            "self disclosure": "Self-disclosure",
            "affirmation": "Affirmation and Reassurance",
            "reassurance": "Affirmation and Reassurance",
            "providing suggestions": "Providing Suggestions or Information",
            "suggestions": "Providing Suggestions or Information",
            "information": "Providing Suggestions or Information",
            "greetings": "Greeting",
            "other": "Others",
        },
    ),
)
