"""Records of the understanding tasks in file order, from files and, where no pinned copy exists, from the hub.

What is wrong with the files is said on their cards and mended here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from harness_ext.data import load_card
from harness_ext.data.rows import read_json_lines, read_lines, read_text
from harness_ext.errors import DataError

Record = dict[str, Any]
"""The raw fields, and ``label``, the number of the right option from 0."""

XCOPA_LANGUAGES = ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")
_SUBJECTS = """
Accounting Agricultural-Sciences Aviation-Engineering-and-Maintenance Biology Chemical-Engineering Chemistry
Civil-Engineering Computer-Science Construction Criminal-Law Ecology Economics Education Electrical-Engineering
Electronics-Engineering Energy-Management Environmental-Science Fashion Food-Processing
Gas-Technology-and-Engineering Geomatics Health Industrial-Engineer Information-Technology
Interior-Architecture-and-Design Law Machine-Design-and-Manufacturing Management Maritime-Engineering Marketing
Materials-Engineering Mechanical-Engineering Nondestructive-Testing Patent Political-Science-and-Sociology
Psychology Public-Safety Railway-and-Automotive-Engineering Real-Estate Refrigerating-Machinery Social-Welfare
Taxation Telecommunications-and-Wireless-Technology Korean-History Math
"""
KMMLU_SUBJECTS = tuple(_SUBJECTS.split())
"""Configurations of the hub's copy, 45; in the order in which its card lists them."""
_LETTERS = "ABCD"


def xcopa(language: str, *, split: Literal["val", "test"] = "test", corrected: bool = True) -> list[Record]:
    """Premise, two choices, and which of them is the cause or the effect.

    Args:
        language: one of :data:`XCOPA_LANGUAGES`.
        split: of the 100 or the 500.
        corrected: take ``question`` from Chinese, by ``idx``; false leaves what the file says, which is wrong in five
            languages.

    Raises:
        DataError: a file is missing, or its rows are not those of Chinese.
    """
    rows = read_json_lines("xcopa", f"{language}/{split}.{language}.jsonl")
    if not corrected:
        return rows
    right = {row["idx"]: row for row in read_json_lines("xcopa", f"zh/{split}.zh.jsonl")}
    if any(right.get(row["idx"], {}).get("label") != row["label"] for row in rows):
        raise DataError(f"xcopa: {language} and zh have other rows in {split}. Fetch the pinned files again.")
    return [row | {"question": right[row["idx"]]["question"]} for row in rows]


def xwinograd(language: Literal["en", "jp"]) -> list[Record]:
    """A sentence in which ``_`` stands for a pronoun, and the two that it may mean, in file order.

    Raises:
        DataError: the file is missing or a row is not built as expected.
    """
    rows = []
    for number, line in enumerate(read_lines("xwinograd", "dataset.tsv"), start=1):
        code, _, _, sentence, tokens, pronoun, candidates = line.split("\t")
        if code == language:
            spans = aligned(sentence, json.loads(tokens))
            (_, (first, end), _), options = json.loads(pronoun), json.loads(candidates)
            if spans is None or len(options) != 2 or sum(option[3] for option in options) != 1:
                raise DataError(f"dataset.tsv line {number}: not a Winograd schema. Fetch the pinned file again.")
            blank = f"{sentence[: spans[first][0]]}_{sentence[spans[end - 1][1] :]}"
            label = 0 if options[0][3] else 1
            rows.append({"sentence": blank, "option1": options[0][0], "option2": options[1][0], "label": label})
    return rows


def aligned(sentence: str, tokens: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where each token stands in a sentence, from left to right; NLTK writes a double quote in three ways.

    >>> aligned('He said "no".', ["He", "said", "``", "no", "''", "."])
    [(0, 2), (3, 7), (8, 9), (9, 11), (11, 12), (12, 13)]
    """
    spans, at = [], 0
    for token in tokens:
        while at < len(sentence) and sentence[at].isspace():
            at += 1
        forms = (token, '"', "``", "''") if token in ('"', "``", "''") else (token,)
        found = next((form for form in forms if sentence.startswith(form, at)), None)
        if found is None:
            return None
        spans.append((at, at + len(found)))
        at += len(found)
    return spans


def jmmlu() -> list[Record]:
    """Questions with four options, subject by subject.

    Raises:
        DataError: a file is missing or a row is not built as expected.
    """
    rows = []
    for file in (entry.name for entry in load_card("jmmlu").files):
        text = read_text("jmmlu", file).removeprefix("\ufeff")
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline="")), start=1):
            if len(cells) != 6 or cells[5] not in tuple(_LETTERS):
                raise DataError(f"{file} row {number}: not a question with four options. Fetch the pinned file again.")
            question, *options, answer = cells
            options_by_letter = dict(zip(_LETTERS, options, strict=True))
            rows.append({"question": question, **options_by_letter, "label": _LETTERS.index(answer)})
    return rows


def xstorycloze(language: str) -> list[Record]:
    """Four sentences of a story and two endings, from the hub."""
    rows = _hub("juletxara/xstory_cloze", language, "eval")
    return [{**row, "label": int(row["answer_right_ending"]) - 1} for row in rows]


def m_mmlu(language: str) -> list[Record]:
    """Questions with four options, from the hub."""
    return [{**row, "label": _LETTERS.index(row["answer"])} for row in _hub("alexandrainst/m_mmlu", language, "test")]


def kmmlu() -> list[Record]:
    """Questions with four options, subject by subject, from the hub."""
    rows = (row for subject in KMMLU_SUBJECTS for row in _hub("HAERAE-HUB/KMMLU", subject, "test"))
    return [{**row, "label": int(row["answer"]) - 1} for row in rows]


def hub_xwinograd(language: str) -> list[Record]:
    """The hub's Winograd schemas, of which Chinese has 504 and the raw file 16."""
    return [{**row, "label": int(row["answer"]) - 1} for row in _hub("Muennighoff/xwinograd", language, "test")]


def _hub(name: str, configuration: str, split: str) -> list[Mapping[str, Any]]:
    from datasets import load_dataset

    try:
        return list(load_dataset(name, configuration, split=split))
    except Exception as error:  # any of a dozen types, of three libraries
        first = str(error).partition("\n")[0][:200]
        raise DataError(
            f"{name} ({configuration}, {split}) is not in the hub's cache and cannot be loaded from the hub: {first} "
            'There is no pinned copy of it; leave its task out, or run it on the sample: \'{"data": "sample"}\'.'
        ) from error
