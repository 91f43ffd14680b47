"""Docs of the understanding tasks: a prompt, the letters that compete, and the number of the right one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.errors import InputError
from harness_ext.tasks.lens_nlu import readers
from harness_ext.tasks.lens_nlu.prompts import ARABIC, AUTHORS_ARABIC, DEFAULT, LATIN, load_pack, prompt
from harness_ext.tasks.lens_nlu.readers import Record

SEED, AUTHORS_N = 112, 1_000
"""How the authors draw rows, and how many."""


class Family(NamedTuple):
    """Tasks of one kind in several languages."""

    languages: tuple[str, ...]
    read: Callable[[str, bool], Sequence[Record]]
    """From the language, and whether to read as the authors do."""
    options: tuple[str, ...]
    """Names of the fields that hold them, in order."""


FAMILIES: Mapping[str, Family] = {
    "xcopa": Family(
        ("zh", "sw"), lambda language, compat: readers.xcopa(language, corrected=not compat), ("choice1", "choice2")
    ),
    "xwinograd": Family(
        ("en", "ja", "zh"),
        lambda language, _: (
            readers.hub_xwinograd("zh") if language == "zh" else readers.xwinograd("jp" if language == "ja" else "en")
        ),
        ("option1", "option2"),
    ),
    "xstorycloze": Family(
        ("en", "zh", "ar", "sw"),
        lambda language, _: readers.xstorycloze(language),
        ("sentence_quiz1", "sentence_quiz2"),
    ),
    "m_mmlu": Family(
        ("en", "zh", "ar", "bn"),
        lambda language, _: readers.m_mmlu(language),
        ("option_a", "option_b", "option_c", "option_d"),
    ),
    "kmmlu": Family(("ko",), lambda *_: readers.kmmlu(), LATIN),
    "jmmlu": Family(("ja",), lambda *_: readers.jmmlu(), LATIN),
}
"""What the protocol asks in which language, and ``jmmlu``, which is ours: it has no knowledge task in Japanese."""


@reads("data", "compat", "letters", "n", "prompt_pack")
def load(
    family: str,
    language: str,
    compat: bool = False,
    letters: Literal["latin", "arabic"] = "latin",
    n: int | None = None,
    prompt_pack: str = DEFAULT,
    data: Literal["real", "sample"] = "real",
    recorded: dict[str, Any] | None = None,
    **others: object,
) -> dict[str, Dataset]:
    """One doc a record.

    Args:
        family: one of :data:`FAMILIES`.
        language: of the record; the instruction is in English.
        compat: ask and count as the authors' code does: four letters compete where there are two options, 1000 rows
            are drawn, XCOPA's question is the file's, Arabic letters replace Latin ones in the whole prompt.
        letters: ``arabic`` labels Arabic options with the first four letters as Arabic counts them.
        n: how many rows are drawn, in the authors' way; all of them where there are fewer.
        prompt_pack: a file with prompts that are not ours.
        data: ``sample`` takes the bundled records, which are no benchmark data.
        recorded: what the results file shall say of the prompts.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value, or the pack is none.
        DataError: a file is missing.
    """
    check_arguments("lens_nlu", family=(family, tuple(FAMILIES)), data=(data, DATA), compat=(compat, (True, False)))
    own = FAMILIES[family]
    check_arguments(
        "lens_nlu",
        language=(language, own.languages),
        letters=(letters, ("latin", "arabic") if language == "ar" else ("latin",)),
    )
    if not (n is None or (isinstance(n, int) and not isinstance(n, bool) and n > 0)):
        raise InputError(f"lens_nlu: n is {n!r}; give a number of rows from 1, or leave it out.")
    loaded = load_pack(prompt_pack)
    if recorded is not None and prompt_pack != DEFAULT:
        recorded |= {"prompt_pack": loaded.label, "deviation": "no_empty_system_turn"}
    if data == "sample":
        rows = [
            row["fields"] | {"label": row["label"]}
            for row in load_sample("lens_nlu")
            if (row["family"], row["language"]) == (family, language)
        ]
    else:
        rows = list(own.read(language, compat))
    chosen = drawn(len(rows), n or (AUTHORS_N if compat else None))
    labels = LATIN
    if language == "ar" and (compat or letters == "arabic"):
        labels = AUTHORS_ARABIC if compat else ARABIC
    docs = []
    for number in chosen:
        row = _joined(rows[number], language) if family == "xstorycloze" and not compat else rows[number]
        docs.append(
            {
                "id": number,
                "text": prompt(loaded.pack, family, language, row, compat=compat, letters=labels),
                "options": list(labels if compat else labels[: len(own.options)]),
                "texts": [str(row[name]) for name in own.options],
                "label": int(row["label"]),
                "language": language,
            }
        )
    return {"test": Dataset.from_list(docs)}


def drawn(size: int, n: int | None) -> list[int]:
    """Numbers of the rows that are asked: all, or ``n`` as the authors draw them.

    >>> drawn(1511, 1000)[:4], sum(drawn(1511, 1000)), drawn(3, 1000)
    ([985, 1364, 1187, 1269], 756697, [0, 1, 2])
    """
    if n is None or size <= n:
        return list(range(size))
    return random.Random(SEED).sample(range(size), n)  # noqa: S311 - others can draw the same


def _joined(row: Mapping[str, Any], language: str) -> Record:
    """A story whose sentences are separated as its language does: the template has nothing between them."""
    blank = "" if language == "zh" else " "
    joined = {f"input_sentence_{number}": f"{row[f'input_sentence_{number}']}{blank}" for number in (1, 2, 3)}
    return {**row, **joined}
