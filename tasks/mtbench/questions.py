"""Questions, reference answers and where they stand, for each edition of MT-Bench.

What is wrong with the files is said on their cards and mended here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness_ext.data.rows import read_json_lines
from harness_ext.errors import InputError

NEED_REFERENCE = ("math", "reasoning", "coding")
"""Categories whose judge is shown a right answer."""
QUESTION_FILE, GPT4 = "question", "gpt-4"
"""Where a reference comes from: the questions themselves, or GPT-4's answers."""


class Edition(NamedTuple):
    """One edition of the benchmark."""

    card: str
    questions: str
    references: Mapping[str, str] = {}
    """Files of reference answers by their name; the first is taken where nothing else is asked for."""


class Question(NamedTuple):
    """One question of two turns."""

    id: str
    category: str
    turns: list[str]
    reference: list[str]
    """Right answers turn by turn; empty where the file has none."""


_LIGHTBLUE = ("de", "fr", "id", "ja", "pl", "ru", "vi", "zh")
EDITIONS: Mapping[str, Edition] = {
    "en": Edition(
        "mtbench_en", "mt_bench/question.jsonl", {GPT4: "reference_answer/gpt-4.jsonl", QUESTION_FILE: QUESTION_FILE}
    ),
    "zh": Edition("mtbench_zh", "mt-bench-zh/question.jsonl", {QUESTION_FILE: QUESTION_FILE}),
    "ja": Edition("mtbench_ja", "question_full.jsonl"),
    "ko": Edition(
        "mtbench_ko",
        "mt_bench/question_ko.jsonl",
        {GPT4: "reference_answer_ko/gpt-4.jsonl", QUESTION_FILE: QUESTION_FILE},
    ),
    **{
        f"lb_{language}": Edition("mtbench_lb", f"{language}_mt_bench/question.jsonl", {QUESTION_FILE: QUESTION_FILE})
        for language in _LIGHTBLUE
    },
}


def source_of_references(edition: str, references: str | None) -> str:
    """The file that a judge's right answers come from, empty where there is none.

    Raises:
        InputError: the edition has no such file.

    >>> source_of_references("en", None), source_of_references("ja", None)
    ('gpt-4', '')
    """
    known = EDITIONS[edition].references
    if references is None:
        return next(iter(known), "")
    if references not in known:
        raise InputError(
            f"mtbench_{edition}: references is {references!r}; give {' or '.join(map(repr, known)) or 'none'}."
        )
    return references


def questions(edition: str, references: str | None = None) -> list[Question]:
    """The questions of a edition, in file order.

    Args:
        edition: one of :data:`EDITIONS`.
        references: ``question`` or ``gpt-4``; the edition's usual file where nothing is said.

    Raises:
        InputError: the edition has no such reference answers.
        DataError: a file is missing.
    """
    own = EDITIONS[edition]
    rows = read_json_lines(own.card, own.questions)
    source = source_of_references(edition, references)
    told = {str(row["question_id"]): [*(row.get("reference") or [])] for row in rows}
    if source == GPT4:
        answers = read_json_lines(own.card, own.references[GPT4])
        told = {str(row["question_id"]): row["choices"][0]["turns"] for row in answers}
    return [_question(row, told) for row in rows]


def _question(row: Mapping[str, Any], references: Mapping[str, list[str]]) -> Question:
    id, category = str(row["question_id"]), row["category"].removeprefix("zh_")
    needed = references.get(id, []) if category in NEED_REFERENCE else []
    return Question(id, category, row["turns"], [str(one) for one in needed])
