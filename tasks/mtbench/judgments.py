"""What a judge said before: stored judgments in FastChat's form, each question and turn once.

Judgments that failed are counted and named with question and turn; they are in no mean.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness_ext.errors import DataError
from harness_ext.files import FileError, json_lines
from harness_ext.scoring.lid import DEFAULT, UNKNOWN, language_of_answer

INVALID = -1.0
"""The score of a judgment in which no rating was found."""
NOT_PENALISED = ("138", "140")
"""Questions of KoMT-Bench that ask for another language."""
_RATINGS = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_LOWEST, _HIGHEST = 1.0, 10.0

Place = tuple[str, int]
"""Question and turn, the first being 1."""


def rating(judgment: str) -> float:
    """The rating in a judge's text: the first in double brackets, else in single ones, else -1.

    >>> rating("Good, but short. Rating: [[7]]"), rating("[8.5]"), rating("ERROR: the context is too long")
    (7.0, 8.5, -1.0)
    """
    for pattern in _RATINGS:
        if found := pattern.search(judgment):
            return float(found[1])
    return INVALID


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")

    question_id: int | str
    model: str
    judge: Any = ""
    score: float
    turn: int = Field(ge=1)
    tstamp: float = 0.0


class Judgments(NamedTuple):
    """The judgments of one model."""

    model: str
    judge: str
    scores: Mapping[Place, float]
    """Valid ones, each question and turn once."""
    invalid: Sequence[Place]
    """Judgments without a rating, in file order."""
    duplicates: int
    """Rows that a later one replaced."""
    every: Sequence[tuple[Place, float]]
    """All valid rows, in file order."""

    def turn(self, number: int | None = None, *, compat: bool = False) -> float:
        """Mean score of a turn, or of all; as the authors count, over all rows. NaN where nothing was judged."""
        rows = self.every if compat else [*self.scores.items()]
        own = [score for (_, turn), score in rows if number in (None, turn)]
        return statistics.fmean(own) if own else math.nan

    def missing(self, questions: Sequence[str], turns: int = 2) -> list[Place]:
        """Questions and turns without a valid score.

        >>> Judgments("m", "j", {("81", 1): 9.0}, [], 0, []).missing(["81"])
        [('81', 2)]
        """
        return [(id, turn) for turn in range(1, turns + 1) for id in questions if (id, turn) not in self.scores]


def read(file: Path) -> list[Judgments]:
    """The judgments of each model in a file; of one question and turn the latest, and of those the last.

    Raises:
        DataError: the file is broken, or a row is no judgment.
    """
    rows: dict[tuple[str, str], list[_Row]] = {}
    try:
        for number, line in json_lines(file):
            row = _Row.model_validate(line)
            if row.score != INVALID and not _LOWEST <= row.score <= _HIGHEST:
                raise DataError(
                    f"{file.name} line {number}: the score {row.score:g} is none from 1 to 10. Leave it out."
                )
            judge = row.judge[0] if isinstance(row.judge, list) and row.judge else row.judge
            rows.setdefault((row.model, str(judge)), []).append(row)
    except (FileError, ValidationError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise DataError(
            f"{file.name} is no file of judgments ({said}). Give question_id, model, score, turn."
        ) from error
    return [_of_one(model, judge, own) for (model, judge), own in rows.items()]


def _of_one(model: str, judge: str, rows: Sequence[_Row]) -> Judgments:
    valid = [row for row in rows if row.score != INVALID]
    latest = {
        (str(row.question_id), row.turn): row.score
        for row in sorted(valid, key=lambda row: row.tstamp)  # stable: of equal times the later in the file
    }
    every = [((str(row.question_id), row.turn), row.score) for row in valid]
    invalid = [(str(row.question_id), row.turn) for row in rows if row.score == INVALID]
    return Judgments(model, judge, latest, invalid, len(valid) - len(latest), every)


def penalised(
    judgments: Judgments, answers: Mapping[str, Sequence[str]], language: str = "ko", by: str = DEFAULT
) -> tuple[Judgments, list[Place]]:
    """KoMT-Bench's penalty: the square root of a score whose answer is in another language, and where that is so.

    Answers whose language cannot be told keep their score, as do :data:`NOT_PENALISED`.

    Args:
        judgments: of one model.
        answers: the answers that were judged, by question and turn.
        language: the one that is wanted.
        by: name of a detector.
    """
    changed = [
        (id, turn)
        for id, turn in judgments.scores
        if id not in NOT_PENALISED
        and len(answers.get(id, ())) >= turn
        and language_of_answer(answers[id][turn - 1], by) not in (language, UNKNOWN)
    ]
    scores = {place: math.sqrt(score) if place in changed else score for place, score in judgments.scores.items()}
    every = [(place, math.sqrt(score) if place in changed else score) for place, score in judgments.every]
    return judgments._replace(scores=scores, every=every), changed
