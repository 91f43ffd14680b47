"""EmoBench, English: which emotion a scenario causes and why (EU), and what to do about it (EA).

The same items as ``emobench_eu_en`` and ``emobench_ea_en``, under names of their own because lm-eval runs a leaf only
once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from harness_ext.data import fetch
from harness_ext.tasks.eibench.parts import Part, Record, Split


def items(part: str, language: str) -> list[dict[str, Any]]:
    """The items of ``EU`` or ``EA`` in one language, in file order."""
    lines = fetch("emobench", f"{part}.jsonl").read_text(encoding="utf-8").split("\n")
    rows = (json.loads(line) for line in lines if line.strip())
    return [row for row in rows if row["language"] == language]


def lettered(options: Sequence[str]) -> str:
    r"""Options with their letters, one a line.

    >>> lettered(["Joy", "Fear"])
    'A. Joy\nB. Fear'
    """
    return "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options, strict=False))


def _letter(item: Mapping[str, Any], options: str, label: str) -> str:
    return ascii_uppercase[item[options].index(item[label])]


def _understanding(split: Split) -> list[Record]:
    return [_two_questions(item) for item in items("EU", "en")]


def _two_questions(item: Mapping[str, Any]) -> Record:
    options = item["emotion_choices"], item["cause_choices"]
    letters = _letter(item, "emotion_choices", "emotion_label"), _letter(item, "cause_choices", "cause_label")
    questions = f"What emotion does {item['subject']} most likely feel?", f"Why does {item['subject']} feel this way?"
    asked = [
        f"Question {n}: {q}\n{lettered(o)}" for n, (q, o) in enumerate(zip(questions, options, strict=True), start=1)
    ]
    keys = ["answer_q1", "answer_q2"]
    return Record(
        id=f"en_{item['qid']}",
        input="\n".join([f"Scenario: {item['scenario']}", *asked]),
        target="".join(letters),
        gold="".join(letters),
        answer=json.dumps(dict(zip(keys, letters, strict=True))),
        meta={"keys": keys, "options": [len(choices) for choices in options]},
    )


def _emotion(split: Split) -> list[Record]:
    question = "What emotion does {subject} most likely feel?"
    return [
        _one_question(item, question.format(**item), "emotion_choices", "emotion_label") for item in items("EU", "en")
    ]


def _cause(split: Split) -> list[Record]:
    return [
        _one_question(
            item,
            f"{item['subject']} feels {item['emotion_label'].lower()}. Why?",
            "cause_choices",
            "cause_label",
        )
        for item in items("EU", "en")
    ]


def _application(split: Split) -> list[Record]:
    return [
        _one_question(
            item,
            f"What should {item['subject']} do?"
            if item["question type"] == "Action"
            else f"How should {item['subject']} respond?",
            "choices",
            "label",
        )
        for item in items("EA", "en")
    ]


def _one_question(item: Mapping[str, Any], question: str, choices: str, label: str) -> Record:
    options, letter = item[choices], _letter(item, choices, label)
    return Record(
        id=f"en_{item['qid']}",
        input=f"Scenario: {item['scenario']}\nQuestion: {question}\n{lettered(options)}",
        target=letter,
        gold=letter,
        answer=json.dumps({"answer": letter}),
        labels=tuple(ascii_uppercase[: len(options)]),
        meta={"keys": ["answer"], "options": [len(options)]},
    )


PARTS = (
    Part("emobench_eu", "cognition", "emobench", _understanding, ("joint", "emotion", "cause"), splits=("test",)),
    # the two questions of EU apart, for the likelihood twins; the joint score needs both and is a matter of the results
    Part("emobench_eu_emotion", "cognition", "emobench", _emotion, ("acc",), splits=("test",)),
    Part("emobench_eu_cause", "cognition", "emobench", _cause, ("acc",), splits=("test",)),
    Part("emobench_ea", "expression", "emobench", _application, ("acc",), splits=("test",)),
)
