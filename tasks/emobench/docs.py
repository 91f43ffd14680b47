"""Docs of EmoBench: the records of EiBench-R's reader in either language, with instructions in that language."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Literal, get_args

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.scoring.options import hashed_choice
from harness_ext.tasks.eibench import docs as eibench
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


@reads("data", "option_order")
def load(
    question: Question,
    language: Language,
    form: Form = "json",
    option_order: Order = "file",
    data: Literal["real", "sample"] = "real",
    **others: object,
) -> dict[str, Dataset]:
    """One doc an item, 200 for each question and language, in file order.

    Args:
        question: ``understanding`` (emotion and cause), one of its halves ``emotion`` and ``cause``, or
            ``application``.
        language: ``en`` or ``zh``; the leaves state it in their metadata.
        form: whether the answer is asked for as JSON or as a letter.
        option_order: ``hashed`` sorts the options of a question by ``sha256("<doc id>:<k>")``.
        data: ``sample`` takes the bundled items, which are no benchmark data.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file is missing.
    """
    check_arguments(
        "emobench",
        question=(question, get_args(Question)),
        language=(language, get_args(Language)),
        option_order=(option_order, get_args(Order)),
        data=(data, DATA),
    )
    part = _PARTS[question]
    if data == "sample":
        rows = [row for row in load_sample("emobench") if (row["part"], row["language"]) == (part.upper(), language)]
    else:
        rows = items(part.upper(), language)
    texts = instructions(question, form, language)
    leaf, aspect = f"emobench_{part}_{language}", "expression" if part == "ea" else "cognition"
    docs = []
    for record in records(question, rows, option_order):
        number = hashed_choice(leaf, record.id, len(texts))
        docs.append(eibench.doc_of(record, leaf, aspect, (number, texts[number]), record.labels))
    return {"test": Dataset.from_list(docs)}
