"""Stored answers of MT-Bench as answers for the backend ``replay``.

``python -m harness_ext.tasks.mtbench.replay mtbench_lb_ja gpt-3.5-turbo.jsonl answers.jsonl`` writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.errors import DataError
from harness_ext.files import FileError, json_lines
from harness_ext.tasks.mtbench.questions import EDITIONS, questions


class Answers(NamedTuple):
    """Rows for ``replay``, and the questions that have no answer."""

    rows: list[dict[str, Any]]
    missing: list[str]


def answers(task: str, file: Path) -> Answers:
    """The answers in a file of FastChat's form, by question and turn; those to other questions are left out.

    Args:
        task: a leaf of two turns, such as ``mtbench_lb_ja``.
        file: JSON lines with ``question_id`` and ``choices``, of which the first is taken.

    Raises:
        DataError: the file is broken, or answers a question twice.
    """
    edition = task.removeprefix("mtbench_")
    if edition not in EDITIONS:
        raise DataError(f"there is no task {task}. Give one of {', '.join(f'mtbench_{name}' for name in EDITIONS)}.")
    given = turns_of(file)
    ids = [question.id for question in questions(edition)]
    rows = [
        {"task": task, "id": id, "turn": turn, "response": text}
        for id in ids
        for turn, text in enumerate(given.get(id, ()))
    ]
    return Answers(rows, [id for id in ids if id not in given])


def turns_of(file: Path) -> dict[str, Sequence[str]]:
    """The answers of each question, turn by turn.

    Raises:
        DataError: the file is broken, or answers a question twice.
    """
    found: dict[str, Sequence[str]] = {}
    try:
        for number, row in json_lines(file):
            id, turns = str(row["question_id"]), row["choices"][0]["turns"]
            if found.setdefault(id, turns) is not turns:
                raise DataError(f"{file.name} line {number}: question {id} is answered twice. Leave one out.")
    except (FileError, LookupError, TypeError) as error:
        raise DataError(f"{file.name} is no file of answers ({error}). Give one with question_id, choices.") from error
    return found


if __name__ == "__main__":
    found = answers(sys.argv[1], Path(sys.argv[2]))
    Path(sys.argv[3]).write_text("".join(json.dumps(row) + "\n" for row in found.rows), encoding="utf-8")
    print(f"{len(found.rows)} answers; questions without one: {', '.join(found.missing) or 'none'}")
