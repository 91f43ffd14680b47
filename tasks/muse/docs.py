"""Docs of MUSE News: questions that news articles answer, and worked examples."""

from __future__ import annotations

from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_json

Part = Literal["forget", "retain"]
_FILES = {"forget": "knowmem/forget_qa", "retain": "knowmem/retain2_qa"}


def _sampled(part: Part, use: str) -> list[dict[str, Any]]:
    return [record for record in load_sample("muse") if record["part"] == part and record["use"] == use]


@reads("data")
def load(part: Part, data: Literal["real", "sample"] = "real", **others: object) -> dict[str, Dataset]:
    """One doc a question, and the ten examples that stand before each.

    Args:
        part: what is to be forgotten or kept.
        data: ``sample`` takes the bundled questions about invented places.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: a file is missing.
    """
    check_arguments("muse", part=(part, get_args(Part)), data=(data, DATA))
    if data == "sample":
        rows, examples = _sampled(part, "question"), _sampled(part, "example")
    else:
        rows, examples = (read_json("muse_news", f"{_FILES[part]}{ending}.json") for ending in ("", "_icl"))
    return {name: _docs(own, f"{part}_{name}") for name, own in (("test", rows), ("examples", examples))}


def _docs(rows: list[dict[str, Any]], prefix: str) -> Dataset:
    return Dataset.from_list(
        [{"id": f"{prefix}_{n}", "question": row["question"], "answer": row["answer"]} for n, row in enumerate(rows)]
    )
