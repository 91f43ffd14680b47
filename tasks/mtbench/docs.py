"""Docs of MT-Bench: dialogues of two turns, or the first turn alone."""

from __future__ import annotations

from typing import Any, Literal

from datasets import Dataset

from harness_ext.data import load_sample
from harness_ext.data.choices import DATA, check_arguments, reads
from harness_ext.data.detection import check_detector
from harness_ext.scoring.lid import DEFAULT
from harness_ext.tasks.mtbench.questions import EDITIONS, Question, questions, source_of_references


def _sample(language: str) -> list[Question]:
    rows = (row for row in load_sample("mtbench") if row["language"] == language)
    return [Question(f"sample-{n}", row["category"], row["turns"], row["reference"]) for n, row in enumerate(rows)]


@reads("data", "lid", "references")
def load(
    edition: str,
    language: str,
    lid: str = DEFAULT,
    references: str | None = None,
    data: Literal["real", "sample"] = "real",
    recorded: dict[str, Any] | None = None,
    **others: object,
) -> dict[str, Dataset]:
    """One doc a question; a task that asks the first turn alone has the same docs.

    Args:
        edition: one of :data:`~harness_ext.tasks.mtbench.questions.EDITIONS`.
        language: of the questions, and of the answers that are wanted.
        lid: the detector.
        references: which file's right answers a judge is shown, where there are two that contradict each other.
        data: ``sample`` takes the bundled questions, which are no benchmark data.
        recorded: what the results file shall say of detector and references.
        others: the other keys of lm-eval's metadata.

    Raises:
        InputError: an argument has no such value, or the detector is not installed.
        DataError: a file is missing.
    """
    check_arguments("mtbench", edition=(edition, tuple(EDITIONS)), data=(data, DATA))
    check_detector("mtbench", lid, language, recorded)
    source = source_of_references(edition, references)
    if recorded is not None and source and data == "real":
        recorded["references"] = source
    asked = _sample(language) if data == "sample" else questions(edition, references)
    return {
        "test": Dataset.from_list(
            [{**one._asdict(), "language": language, "lid": lid, "reference_source": source} for one in asked]
        )
    }
