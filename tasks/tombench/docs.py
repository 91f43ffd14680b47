"""Docs of ToMBench: a story, a question and lettered options, in file order or in an order fixed by a hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.scoring.options import hashed_order
from harness_ext.tasks.tombench.items import LETTERS, Item, Language, Part, read


def _doc(item: Item, language: Language, option_order: str | None) -> dict[str, Any]:
    n = len(item.options)
    order = hashed_order(item.id, n) if option_order == "hashed" else list(range(n))
    return {
        "id": item.id,
        "language": language,
        "task": item.task,
        "ability": item.ability,
        "story": item.story,
        "question": item.question,
        "options": [item.options[k] for k in order],
        "order": order,
        "answer": LETTERS[order.index(item.answer)],
    }


def _sample(part: str, language: str) -> Iterator[Item]:
    for record in load_sample("tombench"):
        if part == "all" or record["ability"].startswith("Emotion"):
            text = record[language]
            options = tuple(text["options"])
            yield Item(
                record["id"],
                record["ability"],
                text["story"],
                text["question"],
                options,
                LETTERS.index(record["answer"]),
            )


@reads("data", "option_order")
def load(
    items: Part,
    language: Language,
    option_order: Literal["file", "hashed"] | None = None,
    data: Literal["real", "sample"] = "real",
    **others: object,
) -> dict[str, Dataset]:
    """One doc an item.

    Args:
        items: ``emotion`` or ``all``.
        language: ``en`` or ``zh``.
        option_order: ``file`` (default) or ``hashed``, see :func:`harness_ext.scoring.options.hashed_order`.
        data: ``sample`` takes the bundled items, which are no benchmark data.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file is missing or an item is broken.
    """
    check_arguments(
        "tombench",
        items=(items, get_args(Part)),
        language=(language, get_args(Language)),
        option_order=(option_order or "file", ("file", "hashed")),
        data=(data, DATA),
    )
    found = _sample(items, language) if data == "sample" else read(items, language)
    return {"test": Dataset.from_list([_doc(item, language, option_order) for item in found])}


def choices(doc: Mapping[str, Any]) -> list[str]:
    """The letters of the doc's options.

    >>> choices({"options": ["Glad", "Sad"]})
    ['A', 'B']
    """
    return list(LETTERS[: len(doc["options"])])


def choice_number(doc: Mapping[str, Any]) -> int:
    """Index of the right letter among :func:`choices`.

    >>> choice_number({"answer": "C"})
    2
    """
    return LETTERS.index(doc["answer"])
