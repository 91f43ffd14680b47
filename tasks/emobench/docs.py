"""Docs of EmoBench: the records of EiBench-R's reader in either language, with instructions in that language."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.reasoning import with_markers
from harness_ext.errors import InputError
from harness_ext.tasks.eibench import docs as eibench
from harness_ext.tasks.eibench.parts import Record
from harness_ext.tasks.eibench.readers.emobench import Language, Order, Question, items, records

Form = Literal["json", "letter"]

# Question -> the part of a leaf's name, and the instructions of EiBench-R that ask it for JSON or for a letter.
_PARTS: dict[Question, str] = {"understanding": "eu", "emotion": "eu", "cause": "eu", "application": "ea"}
_ENGLISH: dict[tuple[Question, Form], str] = {
    ("understanding", "json"): "emobench_eu",
    ("emotion", "letter"): "emobench_eu_emotion",
    ("cause", "letter"): "emobench_eu_cause",
    ("application", "json"): "emobench_ea",
    ("application", "letter"): "emobench_ea_ll",
}


@cache
def instructions(question: Question, form: Form, language: Language) -> list[str]:
    """The three paraphrases of what is asked.

    >>> len(instructions("cause", "letter", "zh"))
    3
    """
    name = _ENGLISH[question, form]
    if language == "en":
        wording = eibench.wording(name)
        texts: list[str] = wording["instructions"] if isinstance(wording, dict) else wording
    else:
        file = resources.files("harness_ext.tasks.emobench") / "instructions_zh.json"
        texts = json.loads(file.read_text(encoding="utf-8"))[name]
    return texts


def _doc(record: Record, leaf: str, aspect: str, texts: list[str]) -> dict[str, Any]:
    number = int(hashlib.sha256(f"{leaf}:{record.id}".encode()).hexdigest()[:8], 16) % len(texts)
    return {
        "id": record.id,
        "aspect": aspect,
        "task": leaf,
        "instruction_id": number,
        "instruction": texts[number],
        "input": record.input,
        "target": record.target,
        "gold": record.gold,
        "labels": list(record.labels),
        "refs": list(record.refs),
        "meta": {"answer": record.answer, **record.meta},
    }


@with_markers
def load(
    question: Question,
    language: Language,
    form: Form = "json",
    option_order: Order = "file",
    data: Literal["real", "sample"] = "real",
    **_: object,
) -> dict[str, Dataset]:
    """One doc an item, 200 for each question and language, in file order.

    Args:
        question: ``understanding`` (emotion and cause), one of its halves ``emotion`` and ``cause``, or
            ``application``.
        language: ``en`` or ``zh``; the leaves state it in their metadata.
        form: whether the answer is asked for as JSON or as a letter.
        option_order: ``hashed`` sorts the options of a question by ``sha256("<doc id>:<k>")``.
        data: ``sample`` takes the bundled items, which are no benchmark data.
        _: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file is missing.
    """
    for name, value, values in (
        ("question", question, get_args(Question)),
        ("language", language, get_args(Language)),
        ("option_order", option_order, get_args(Order)),
        ("data", data, ("real", "sample")),
    ):
        if value not in values:
            raise InputError(f"emobench: {name} is {value!r}; give {' or '.join(map(repr, values))}.")
    part = _PARTS[question]
    if data == "sample":
        rows = [row for row in load_sample("emobench") if (row["part"], row["language"]) == (part.upper(), language)]
    else:
        rows = items(part.upper(), language)
    texts = instructions(question, form, language)
    leaf, aspect = f"emobench_{part}_{language}", "expression" if part == "ea" else "cognition"
    found = records(question, rows, option_order)
    return {"test": Dataset.from_list([_doc(record, leaf, aspect, texts) for record in found])}
