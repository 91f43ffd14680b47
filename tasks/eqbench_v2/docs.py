"""Docs of EQ-Bench v2: the released questions, whole and without their instructions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from datasets import Dataset

from harness_ext import files
from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.rows import read_json
from harness_ext.errors import DataError
from harness_ext.scoring.eqbench import Language

_FILES: dict[Language, str] = {
    "en": "eq_bench_v2_questions_171.json",
    "de": "eq_bench_v2_questions_171_de.json",
}
_EMOTIONS = range(1, 5)
_END_OF_DIALOGUE = re.compile(r"\n\[[^\]\n]*\]\s*\n")


class Question(NamedTuple):
    """One question: the upstream prompt, what is left of it without instructions, and the reference."""

    id: str
    prompt: str
    situation: str
    """The dialogue and the words that ask about its end."""
    reference: dict[str, float]
    """Emotion -> intensity from 0 to 10."""


def reference_of(raw: Mapping[str, Any]) -> dict[str, float]:
    """Emotion -> intensity of an upstream ``reference_answer_fullscale``, whose scores are texts or numbers.

    >>> reference_of({f"emotion{i}": name for i, name in enumerate("abcd", 1)}
    ...              | {f"emotion{i}_score": score for i, score in enumerate((0, "6", 0, "7"), 1)})
    {'a': 0.0, 'b': 6.0, 'c': 0.0, 'd': 7.0}
    """
    return {raw[f"emotion{i}"]: float(raw[f"emotion{i}_score"]) for i in _EMOTIONS}


def situation_of(prompt: str, names: Iterable[str]) -> str:
    r"""The dialogue and the question about it, without instructions and without the list of emotions.

    The prompt's first paragraph is an instruction, the dialogue ends in a line in brackets, and the list of emotions
    ends the question.

    Raises:
        ValueError: the prompt is not built like that.

    >>> situation_of("\nPredict:\n\nA: Hi.\n[End]\n\nNow A feels...\nJoy\nFear\n\nGive scores", ["Joy", "Fear"])
    'A: Hi.\n\nNow A feels...'
    """
    _, instructed, rest = prompt.strip().partition("\n\n")
    question, listed, _ = rest.partition("\n" + "\n".join(names) + "\n")
    end = _END_OF_DIALOGUE.search(question)
    if not (instructed and listed and end):
        raise ValueError("no dialogue between the first blank line and the list of emotions")
    return f"{question[: end.start()].strip()}\n\n{question[end.end() :].strip()}"


def question_of(id: str, raw: Mapping[str, Any]) -> Question:
    """A question from its upstream record.

    Raises:
        DataError: the prompt is not built as expected.
    """
    reference = reference_of(raw["reference_answer_fullscale"])
    try:
        situation = situation_of(raw["prompt"], reference)
    except ValueError as error:
        raise DataError(f"EQ-Bench question {id}: {error}. Fetch the pinned file again.") from error
    return Question(id, raw["prompt"], situation, reference)


def read(language: Language) -> list[Question]:
    """The released questions, in file order.

    Raises:
        DataError: the file is missing or not built as expected.
    """
    content = read_json("eqbench", _FILES[language])
    return [question_of(id, raw) for id, raw in content.items()]


def _sample(language: Language) -> list[Question]:
    records = [record for record in load_sample("eqbench_v2") if record["language"] == language]
    return [question_of(record["id"], record) for record in records]


@reads("data")
def load(language: Language, data: Literal["real", "sample"] = "real", **others: object) -> dict[str, Dataset]:
    """One doc a question.

    Args:
        language: ``en`` or ``de``.
        data: ``sample`` takes the bundled questions, which are no benchmark data.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value.
        DataError: the file of the language is missing.
    """
    check_arguments("eqbench_v2", language=(language, get_args(Language)), data=(data, DATA))
    docs = [
        {
            "id": question.id,
            "language": language,
            "prompt": question.prompt,
            "situation": question.situation,
            "emotions": list(question.reference),
            "reference": list(question.reference.values()),
        }
        for question in (_sample(language) if data == "sample" else read(language))
    ]
    return {"test": Dataset.from_list(docs)}


def target(doc: Mapping[str, Any]) -> str:
    r"""The reference as four lines of scores, which both forms read as an answer.

    >>> target({"emotions": ["Joy", "Fear"], "reference": [3.0, 0.5]})
    'Joy: 3\nFear: 0.5'
    """
    return "\n".join(f"{name}: {value:g}" for name, value in zip(doc["emotions"], doc["reference"], strict=True))


def stored_answers(path: Path, task: str = "eqbench_v2_en") -> Iterator[dict[str, str]]:
    """Rows for the ``replay`` backend from a result file that EQ-Bench itself wrote (first iteration).

    Args:
        path: ``<model>_eqbench_v2_results.json``.
        task: the task that shall score them.

    Raises:
        DataError: the file has no raw answers.
    """
    try:
        answers = dict(next(iter(files.read_json(path)["raw_results"].values()))["raw_inference"])
    except (ValueError, KeyError, StopIteration, AttributeError, TypeError) as error:
        said = f" ({error})" if isinstance(error, files.FileError) else ""
        raise DataError(
            f"{path}: no raw_results with raw_inference{said}, so no answers to score. Give a result file of EQ-Bench "
            "v2."
        ) from error
    for id, response in answers.items():
        yield {"task": task, "id": id, "response": response}
