"""CICERO v2, one of its four question types: how the listener may react emotionally; two or three answers are right."""

from __future__ import annotations

from harness_ext.data.rows import read_json_lines
from harness_ext.tasks.eibench.parts import Part, Record, Split

_QUESTION = "What is the possible emotional reaction of the listener in response to target?"


def _read(split: Split) -> list[Record]:
    return [_record(item) for item in read_json_lines("cicero_v2", "test.json") if item["Question"] == _QUESTION]


def _record(item: dict[str, list[str]]) -> Record:
    options = "\n".join(f"{number}. {text}" for number, text in enumerate(item["Choices"], start=1))
    right = sorted(int(index) for index in item["Correct Answers"])
    dialogue = "\n".join(item["Dialogue"])
    return Record(
        id=str(item["ID"]),
        input=f"{dialogue}\nTarget: {item['Target']}\nPossible reactions of the listener:\n{options}",
        target=",".join(map(str, right)),
        gold=right,
        # the model sees options numbered from 1, the data counts from 0
        answer=", ".join(str(index + 1) for index in right),
        meta={"options": len(item["Choices"])},
    )


PARTS = (Part("cicero_reaction", "cognition", "cicero_v2", _read, ("exact_set", "macro_f1"), splits=("test",)),)
