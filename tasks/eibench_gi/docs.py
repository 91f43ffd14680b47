"""Docs of the proxy tasks: an upstream instruction and input, with the answers to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_json
from harness_ext.errors import DataError, InputError

Doc = dict[str, Any]


class Part(NamedTuple):
    """One proxy task."""

    file: str
    """Name of the file in the card ``gi_proxy``."""
    values: tuple[str, ...] = ()
    """Every gold answer there is; empty for free answers."""
    listed: bool = False
    """The input names the values itself, so the prompt need not."""


_LETTERS = ("A", "B", "C", "D", "E")
PARTS: Mapping[str, Part] = {
    "boolq": Part("boolq/test.json", ("True", "False")),
    "rte": Part("rte/test.json", ("entailment", "contradiction")),
    "cb": Part("cb/test.json", ("entailment", "contradiction", "neutral")),
    "copa": Part("copa/test.json", _LETTERS[:2], listed=True),
    "wic": Part("wic/test.json", ("True", "False")),
    "commonsenseqa": Part("task073_commonsenseqa_answer_generation/test.json", _LETTERS, listed=True),
    "sciq": Part("task591_sciq_answer_generation/test.json"),
    "quoref": Part("task002_quoref_answer_generation/test.json"),
    "sst2": Part("sst2/test.json", ("Good", "Bad")),
    "emotion875": Part(
        "task875_emotion_classification/test.json", ("joy", "love", "anger", "fear", "sadness", "surprise")
    ),
}


def read(part: str) -> list[Doc]:
    """All docs of a part, in file order; ``gold`` is the list of accepted answers, ``id`` the row.

    Raises:
        InputError: there is no such part.
        DataError: the file is missing, or an answer is none of the part's values.
    """
    if part not in PARTS:
        raise InputError(f"eibench_gi has no part {part!r}; it has {', '.join(PARTS)}.")
    known = PARTS[part]
    content = read_json("gi_proxy", known.file)
    definition = "\n".join(content["Definition"]).strip()  # copa has none
    docs = []
    for row, instance in enumerate(content["Instances"]):
        output = instance["output"]
        gold = [output] if isinstance(output, str) else list(output)
        if known.values and not set(gold) <= set(known.values):
            raise DataError(f"{known.file} row {row}: {gold} is none of {known.values}. Fetch the pinned file again.")
        docs.append(
            {"id": f"{part}_{row}", "instruction": definition, "input": instance["input"].strip(), "gold": gold}
        )
    return docs


@reads("data")
def load(part: str, data: Literal["real", "sample"] = "real", **others: object) -> dict[str, Dataset]:
    """One doc an instance.

    Args:
        part: a key of :data:`PARTS`.
        data: ``sample`` takes the bundled instances, which are no benchmark data.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: the file is missing or not as published.
    """
    check_arguments(f"eibench_gi_{part}", data=(data, DATA))
    if data == "sample":
        docs = [record for record in load_sample("eibench_gi") if record["id"].rpartition("_")[0] == f"sample_{part}"]
    else:
        docs = read(part)
    known = PARTS[part]
    return {"test": Dataset.from_list([doc | {"values": list(known.values), "listed": known.listed} for doc in docs])}


def question(doc: Mapping[str, Any]) -> str:
    """Instruction, input, the answers to choose from where the input does not name them, and ``Output:``.

    Upstream's instructions do not say which words are expected ("Good" or "positive"?), so the line is ours.

    >>> print(question({"instruction": "Judge.", "input": "Fine film.", "values": ["Good", "Bad"], "listed": False}))
    Judge.
    <BLANKLINE>
    Fine film.
    Options: Good, Bad
    Output:
    """
    lines = [doc["input"]]
    if doc["values"] and not doc["listed"]:
        lines.append(f"Options: {', '.join(doc['values'])}")
    start = [doc["instruction"], ""] if doc["instruction"] else []
    return "\n".join([*start, *lines, "Output:"])


def target(doc: Mapping[str, Any]) -> str:
    """The first accepted answer.

    >>> target({"gold": ["Smetana.", "The composer Smetana"]})
    'Smetana.'
    """
    return str(doc["gold"][0])


def choice_number(doc: Mapping[str, Any]) -> int:
    """Index of the gold answer among the values.

    >>> choice_number({"gold": ["Bad"], "values": ["Good", "Bad"]})
    1
    """
    return list(doc["values"]).index(doc["gold"][0])
