"""Docs of the Language Confusion Benchmark: a prompt, and the language that it wants the answer in.

What is wrong with the files is said in ``data_cards/lcb.md`` and mended here.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from typing import Any, Literal, get_args

from datasets import Dataset

from harness_ext.data import fetch, load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.detection import check_detector
from harness_ext.errors import DataError, InputError
from harness_ext.scoring.lid import DEFAULT
from harness_ext.tasks.lcb.words import TOKENIZERS, SegmenterMissingError, english, segmenter

Setting = Literal["mono", "cross"]

FOLDERS: Mapping[Setting, str] = {"mono": "monolingual", "cross": "crosslingual"}
SUBSETS: Mapping[str, str] = {"complex": "complex_prompts"}
"""Folders that are called otherwise than their subset."""
_CROSS = ("ar", "de", "es", "fr", "hi", "id", "it", "ja", "ko", "pt", "ru", "tr", "vi", "zh")
LANGUAGES: Mapping[tuple[Setting, str], tuple[str, ...]] = {
    ("mono", "okapi"): ("ar", "de", "en", "es", "fr", "id", "it", "pt", "vi", "zh"),
    ("mono", "aya"): ("ar", "en", "pt", "tr", "zh"),
    ("mono", "dolly"): ("ar", "es", "fr", "hi", "ru"),
    ("mono", "native"): ("es", "fr", "ja", "ko"),
    ("cross", "okapi"): _CROSS,
    ("cross", "sharegpt"): _CROSS,
    ("cross", "complex"): _CROSS,
}
"""The leaves: what the archive holds, which is not what its README lists."""
_NAMES = {
    "ar": "Arabic", "de": "German", "es": "Spanish", "fr": "French", "hi": "Hindi", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "pt": "Portuguese", "ru": "Russian", "tr": "Turkish", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip
_MOST_BYTES = 4 << 20
"""Of a member of the archive, unpacked; the largest has 303 kilobytes."""


def read(setting: Setting, subset: str, language: str) -> list[str]:
    """The prompts of one leaf, in file order; an answer's id is the position here.

    Raises:
        DataError: the archive is missing or not built as expected.
    """
    member = f"test_sets/{FOLDERS[setting]}/{SUBSETS.get(subset, subset)}/{language}.csv"
    try:
        with zipfile.ZipFile(fetch("lcb", "test_sets.zip")) as archive:
            if archive.getinfo(member).file_size > _MOST_BYTES:
                raise DataError(f"test_sets.zip: {member} is too large. Fetch the pinned file again.")
            text = archive.read(member).decode("utf-8")
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"test_sets.zip: {member} cannot be read ({error}). Fetch the pinned file again.") from error
    return [row["prompt"] for row in csv.DictReader(io.StringIO(text, newline=""))]


def _sample(setting: Setting, language: str) -> list[str]:
    wanted = "any" if setting == "cross" else language
    prompts = (row["prompt"] for row in load_sample("lcb") if row["language"] == wanted)
    return [prompt.replace("{language}", _NAMES.get(language, "")) for prompt in prompts]


@reads("data", "lid", "compat", "tokenizer")
def load(
    setting: Setting,
    subset: str,
    language: str,
    lid: str = DEFAULT,
    compat: bool = False,
    tokenizer: str = "words",
    data: Literal["real", "sample"] = "real",
    recorded: dict[str, Any] | None = None,
    **others: object,
) -> dict[str, Dataset]:
    """One doc a prompt, 100 a leaf (``complex``: 99).

    Args:
        setting: ``mono`` asks in the language, ``cross`` asks in English for an answer in the language.
        subset: where the prompts come from.
        language: the one that the answer should be in.
        lid: the detector.
        compat: count as the authors do: no language is accepted for another, and a share of nothing is 1.
        tokenizer: ``char`` counts characters of Chinese and Japanese as words.
        data: ``sample`` takes the bundled prompts, which are no benchmark data.
        recorded: what the results file shall say of the detector.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value, or what it needs is not installed.
        DataError: a file is missing.
    """
    check_arguments(
        "lcb",
        setting=(setting, get_args(Setting)),
        language=(language, LANGUAGES.get((setting, subset), ())),
        compat=(compat, (True, False)),
        tokenizer=(tokenizer, TOKENIZERS),
        data=(data, DATA),
    )
    check_detector("lcb", lid, language, recorded)
    try:
        segmenter(language, tokenizer)
    except SegmenterMissingError as error:
        raise InputError(f"lcb: {error}.") from error
    words = "sample" if data == "sample" else "lcb"
    english(words)  # missing words are missed before the model is asked
    prompts = _sample(setting, language) if data == "sample" else read(setting, subset, language)
    about = {"language": language, "lid": lid, "compat": compat, "tokenizer": tokenizer, "words": words}
    return {"test": Dataset.from_list([{"id": row, "prompt": text} | about for row, text in enumerate(prompts)])}
