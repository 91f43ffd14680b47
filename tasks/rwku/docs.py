"""Docs of RWKU: blanks, questions and attacks about people, in the order of the people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import load_card, load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_json

Part = Literal["forget_l1", "forget_l2", "forget_l3", "neighbor_l1", "neighbor_l2"]

_BLANK = "Which words belong into the blank (___)? Give them and nothing else."
_BRIEF = "Answer briefly, with a name or a few words."
_OWN_FRAME = "incontext learning"
_NO_LEAD_IN = ("affirmative suffix", _OWN_FRAME)


def _type(told: str) -> str:
    """The kind of a query; the languages of cross-lingual ones are spelt in several ways.

    >>> _type("cross-lingual (French)"), _type("cross lingual"), _type("role play")
    ('cross lingual', 'cross lingual', 'role play')
    """
    return "cross lingual" if told.replace("-", " ").startswith("cross lingual") else told


def read(part: Part) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a level with their ids, by the number of the person.

    Raises:
        DataError: a file is missing.
    """
    kind, _, level = part.partition("_l")
    names = load_card("rwku").splits[f"{kind}_level{level}"]
    ordered = sorted(names, key=lambda name: int(name.partition("_")[0]))
    return [
        (f"{name.partition('_')[0]}_{number}", row)
        for name in ordered
        for number, row in enumerate(read_json("rwku", name))
    ]


def _doc(part: Part, id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    kind = _type(row["type"])
    instruction = _BLANK if part.endswith("l1") else _BRIEF
    return {
        "id": f"{part}_{id}",
        "subject": row["subject"],
        "type": kind,
        "query": row["query"],
        "text": row["query"] if kind == _OWN_FRAME else f"{instruction}\n{row['query']}",
        "lead_in": "" if kind in _NO_LEAD_IN else "Answer:",
        "answer": row["answer"],
    }


@reads("data")
def load(part: Part, data: Literal["real", "sample"] = "real", **others: object) -> dict[str, Dataset]:
    """One doc a query.

    Args:
        part: forget or neighbor, and the level.
        data: ``sample`` takes the bundled queries about invented people.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file is missing.
    """
    check_arguments("rwku", part=(part, get_args(Part)), data=(data, DATA))
    if data == "sample":
        own = [record for record in load_sample("rwku") if record["part"] == part]
        rows = [(f"sample_{number}", record) for number, record in enumerate(own)]
    else:
        rows = read(part)
    return {"test": Dataset.from_list([_doc(part, id, row) for id, row in rows])}
