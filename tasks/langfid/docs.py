"""Docs of language fidelity: Alpaca instructions in seven languages, translated by the authors of Lens."""

from __future__ import annotations

from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.detection import check_detector
from harness_ext.data.rows import read_json
from harness_ext.scoring.lid import DEFAULT

Language = Literal["ar", "bn", "en", "ja", "ko", "sw", "zh"]

FILE = "language_pull_data_alpaca_safe_200/train.json"
BENIGN = 100
"""The first instances; what follows are harmful requests, which nothing here reads."""


def read(language: Language) -> list[str]:
    """The benign instructions in one language, as they are; the same position is the same instruction in all.

    Raises:
        DataError: the file is missing.
    """
    return [instance[f"input_{language}"] for instance in read_json("lens", FILE)["Instances"][:BENIGN]]


@reads("data", "lid")
def load(
    language: Language,
    lid: str = DEFAULT,
    data: Literal["real", "sample"] = "real",
    recorded: dict[str, Any] | None = None,
    **others: object,
) -> dict[str, Dataset]:
    """One doc an instruction.

    Args:
        language: of the instruction, and of the answer that is wanted.
        lid: the detector.
        data: ``sample`` takes the bundled instructions, which are no benchmark data.
        recorded: what the results file shall say of the detector.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value, or the detector is not installed.
        DataError: the file is missing.
    """
    check_arguments("langfid", language=(language, get_args(Language)), data=(data, DATA))
    check_detector("langfid", lid, language, recorded)
    prompts = [row[language] for row in load_sample("langfid")] if data == "sample" else read(language)
    return {
        "test": Dataset.from_list(
            [{"id": row, "prompt": text, "language": language, "lid": lid} for row, text in enumerate(prompts)]
        )
    }
