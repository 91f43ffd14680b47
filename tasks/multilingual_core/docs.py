"""Docs for lm-eval's own ``mgsm_direct_*``, ``xcopa_*`` and ``xwinograd_*``, from the files of the cards.

Prompts and scores stay lm-eval's, and so do its defects: the question of XCOPA is what the file says, and the last
character of a premise is dropped. ``fixed_xcopa`` mends both.
"""

from __future__ import annotations

from typing import Any, Literal

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_lines
from harness_ext.errors import DataError
from harness_ext.tasks.lens_nlu import readers

Data = Literal["real", "sample"]
Splits = dict[str, Dataset]


@reads("data")
def mgsm(lang: str, data: Data = "real", **others: object) -> Splits:
    """250 word problems with a whole number as answer.

    Args:
        lang: one of bn, en, ja, sw and zh.
        data: ``sample`` takes the bundled problems, which are no benchmark data.
        others: lm-eval's metadata.

    Raises:
        DataError: the file is missing or a row is not built as expected.
    """
    check_arguments("multilingual_core", lang=(lang, ("bn", "en", "ja", "sw", "zh")), data=(data, DATA))
    if data == "sample":
        rows = [(row["question"], row["answer"]) for row in load_sample("multilingual_core") if row["language"] == lang]
    else:
        rows = problems(lang)
    empty = {"answer": None, "equation_solution": None}  # lm-eval's prompt asks whether there is a worked answer
    return {"test": Dataset.from_list([{"question": text, "answer_number": number} | empty for text, number in rows])}


def problems(lang: str) -> list[tuple[str, int]]:
    """Questions and answers, whose thousands may be set apart by commas.

    Raises:
        DataError: the file is missing or a row is not built as expected.
    """
    found = []
    for number, line in enumerate(read_lines("mgsm", f"mgsm_{lang}.tsv"), start=1):
        question, _, answer = line.rpartition("\t")
        try:
            found.append((question, int(answer.replace(",", ""))))
        except ValueError:
            raise DataError(f"mgsm_{lang}.tsv line {number}: no whole number. Fetch the pinned file again.") from None
    return found


@reads("data")
def xcopa(lang: str, data: Data = "real", **others: object) -> Splits:
    """500 premises with two candidates for cause or effect, as the files have them.

    Args:
        lang: one of the languages of XCOPA.
        data: ``sample`` takes records of ours, which are no benchmark data.
        others: lm-eval's metadata.

    Raises:
        DataError: the file is missing.
    """
    check_arguments("multilingual_core", lang=(lang, readers.XCOPA_LANGUAGES), data=(data, DATA))
    if data == "sample":
        rows = [row for row in load_sample("fixed_xcopa") if row["language"] == lang]
    else:
        rows = readers.xcopa(lang, corrected=False)
    return {"test": Dataset.from_list(rows)}


@reads("data")
def xwinograd(lang: Literal["en", "jp"], data: Data = "real", **others: object) -> Splits:
    """Sentences with a gap and two candidates.

    Args:
        lang: en or jp.
        data: ``sample`` takes records of ours, which are no benchmark data.
        others: lm-eval's metadata.

    Raises:
        DataError: the file is missing.
    """
    check_arguments("multilingual_core", lang=(lang, ("en", "jp")), data=(data, DATA))
    rows: list[dict[str, Any]]
    if data == "sample":
        language = "ja" if lang == "jp" else lang
        sample = (row for row in load_sample("lens_nlu") if (row["family"], row["language"]) == ("xwinograd", language))
        rows = [row["fields"] | {"label": row["label"]} for row in sample]
    else:
        rows = readers.xwinograd(lang)
    return {"test": Dataset.from_list([row | {"answer": str(row["label"] + 1)} for row in rows])}
