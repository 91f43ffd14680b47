"""Docs of SECEU: a scenario, four emotions, and what people answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import fetch, load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.tasks.seceu.word_files import Item, Norm, check, chinese_items, english_items, norm, text_of

Language = Literal["en", "zh"]

_FILES: Mapping[str, str] = {"en": "SECEU_40items_English.docx", "zh": "SECEU_40items_Chinese.docx"}
_READERS = {"en": english_items, "zh": chinese_items}


def read(language: Language) -> tuple[list[Item], Norm]:
    """The 40 released scenarios and the human norm, in item order.

    Raises:
        DataError: a file is missing or not built as expected.
    """
    items = _READERS[language](text_of(fetch("seceu", _FILES[language])))
    human = norm(text_of(fetch("seceu", "SECEU_norm.docx")))
    check(items, human)
    return items, human


def _records(language: Language, data: str) -> list[dict[str, Any]]:
    if data == "sample":
        return [record for record in load_sample("seceu") if record["language"] == language]
    items, human = read(language)
    return [
        {
            "id": f"{language}_{number}",
            "language": language,
            "story": item.story,
            "options": list(item.options),
            "standard": standard,
            "template": template,
        }
        for number, (item, standard, template) in enumerate(zip(items, *human, strict=True), start=1)
    ]


def target(doc: Mapping[str, Any]) -> str:
    """People's mean points, as an answer would give them.

    >>> target({"standard": [3.56, 3.09, 1.78, 1.57]})
    '3.56, 3.09, 1.78, 1.57'
    """
    return ", ".join(f"{points:g}" for points in doc["standard"])


@reads("data")
def load(language: Language, data: Literal["real", "sample"] = "real", **others: object) -> dict[str, Dataset]:
    """One doc a scenario.

    Args:
        language: ``en`` or ``zh``.
        data: ``sample`` takes the bundled scenarios, whose "human" points are invented.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file is missing or not built as expected.
    """
    check_arguments("seceu", language=(language, get_args(Language)), data=(data, DATA))
    return {"test": Dataset.from_list(_records(language, data))}
