"""EmoBench: which emotion a scenario causes and why (EU), and what to do about it (EA), in English and Chinese.

EiBench-R takes the English items; the group ``emobench`` takes all of them, as the same records under names of their
own, because lm-eval runs a leaf only once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple

from harness_ext.data.rows import read_json_lines
from harness_ext.scoring.options import hashed_order
from harness_ext.tasks.eibench.parts import Part, Record, Split

Language = Literal["en", "zh"]
Order = Literal["file", "hashed"]
Question = Literal["understanding", "emotion", "cause", "application"]


class Phrases(NamedTuple):
    """The words around an item."""

    scenario: str
    question: str
    numbered: str
    emotion: str
    cause: str
    cause_of: str
    action: str
    response: str
    narrator: Mapping[str, str]
    """Subjects that are no name."""


PHRASES: Mapping[Language, Phrases] = {
    "en": Phrases(
        scenario="Scenario: {}",
        question="Question: {}",
        numbered="Question {}: {}",
        emotion="What emotion does {subject} most likely feel?",
        cause="Why does {subject} feel this way?",
        cause_of="{subject} feels {emotion}. Why?",
        action="What should {subject} do?",
        response="How should {subject} respond?",
        narrator={"I": "the narrator"},
    ),
    "zh": Phrases(
        scenario="情境：{}",
        question="问题：{}",
        numbered="问题{}：{}",
        emotion="{subject}最可能有怎样的情绪？",
        cause="{subject}为什么会有这种情绪？",
        cause_of="{subject}的情绪是“{emotion}”。原因是什么？",
        action="{subject}应该怎么做？",
        response="{subject}应该怎样回应？",
        narrator={},
    ),
}


def items(part: str, language: Language) -> list[dict[str, Any]]:
    """The items of ``EU`` or ``EA`` in one language, in file order."""
    return [row for row in read_json_lines("emobench", f"{part}.jsonl") if row["language"] == language]


def records(question: Question, rows: Iterable[Mapping[str, Any]], order: Order = "file") -> list[Record]:
    """The items as records: ``understanding`` asks for emotion and cause together, the others for one letter.

    ``emotion`` and ``cause`` are the two halves of ``understanding``; the second is told the right emotion.

    Args:
        question: what is asked; the first three need items of EU, the last items of EA.
        rows: the items.
        order: ``hashed`` sorts the options of a question by ``sha256("<doc id>:<k>")``.
    """
    if question == "understanding":
        return [_understanding(item, order) for item in rows]
    return [_one_question(item, _asked(item, question), _options(item, *_ABOUT[question], order)) for item in rows]


def category(item: Mapping[str, Any]) -> dict[str, str]:
    """What results are broken down by: the coarse category of EU, the category and question type of EA."""
    if "coarse_category" in item:
        return {"category": item["coarse_category"]}
    return {"category": item["category"], "question_type": item["question type"]}


def lettered(options: Sequence[str]) -> str:
    r"""Options with their letters, one a line.

    >>> lettered(["Joy", "Fear"])
    'A. Joy\nB. Fear'
    """
    return "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options, strict=False))


class _Options(NamedTuple):
    texts: list[str]
    letter: str


def _id(item: Mapping[str, Any]) -> str:
    return f"{item['language']}_{item['qid']}"


def _options(item: Mapping[str, Any], choices: str, label: str, order: Order) -> _Options:
    texts: list[str] = item[choices]
    if order == "hashed":
        texts = [texts[k] for k in hashed_order(_id(item), len(texts))]
    return _Options(texts, ascii_uppercase[texts.index(item[label])])


def _names(item: Mapping[str, Any]) -> dict[str, str]:
    subject = PHRASES[item["language"]].narrator.get(item["subject"], item["subject"])
    return {"subject": subject, "emotion": str(item.get("emotion_label", "")).lower()}


def _understanding(item: Mapping[str, Any], order: Order) -> Record:
    words = PHRASES[item["language"]]
    halves = [_options(item, *_ABOUT["emotion"], order), _options(item, *_ABOUT["cause"], order)]
    questions = [phrase.format(**_names(item)) for phrase in (words.emotion, words.cause)]
    asked = [
        f"{words.numbered.format(number, question)}\n{lettered(half.texts)}"
        for number, (question, half) in enumerate(zip(questions, halves, strict=True), start=1)
    ]
    keys = ["answer_q1", "answer_q2"]
    letters = "".join(half.letter for half in halves)
    return Record(
        id=_id(item),
        input="\n".join([words.scenario.format(item["scenario"]), *asked]),
        target=letters,
        gold=letters,
        answer=json.dumps(dict(zip(keys, letters, strict=True))),
        meta={"keys": keys, "options": [len(half.texts) for half in halves], **category(item)},
    )


def _one_question(item: Mapping[str, Any], question: str, options: _Options) -> Record:
    words = PHRASES[item["language"]]
    lines = words.scenario.format(item["scenario"]), words.question.format(question.format(**_names(item)))
    return Record(
        id=_id(item),
        input="\n".join([*lines, lettered(options.texts)]),
        target=options.letter,
        gold=options.letter,
        answer=json.dumps({"answer": options.letter}),
        labels=tuple(ascii_uppercase[: len(options.texts)]),
        meta={"keys": ["answer"], "options": [len(options.texts)], **category(item)},
    )


_ABOUT = {
    "emotion": ("emotion_choices", "emotion_label"),
    "cause": ("cause_choices", "cause_label"),
    "application": ("choices", "label"),
}
"""Question of one letter → the fields of its options and of the right one."""


def _asked(item: Mapping[str, Any], question: Question) -> str:
    words = PHRASES[item["language"]]
    if question == "application":
        return words.action if item["question type"] == "Action" else words.response
    return words.emotion if question == "emotion" else words.cause_of


def _read(question: Question, order: Order, split: Split) -> list[Record]:
    return records(question, items("EA" if question == "application" else "EU", "en"), order)


def _part(
    name: str, aspect: Literal["cognition", "expression"], question: Question, metrics: tuple[str, ...] = ("acc",)
) -> Part:
    file, hashed = partial(_read, question, "file"), partial(_read, question, "hashed")
    return Part(name, aspect, "emobench", file, metrics, splits=("test",), reordered=hashed)


PARTS = (
    _part("emobench_eu", "cognition", "understanding", ("joint", "emotion", "cause")),
    # the two questions of EU apart, for the likelihood twins; the joint score needs both and is a matter of the results
    _part("emobench_eu_emotion", "cognition", "emotion"),
    _part("emobench_eu_cause", "cognition", "cause"),
    _part("emobench_ea", "expression", "application"),
)
