"""The filter by which a task says that its docs are dialogues, and which turn is scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from lm_eval.api.filter import Filter
from lm_eval.api.task import Task

from harness_ext.errors import InputError
from harness_ext.models.dialogues.turns import answers_of

NAME = "take_turn"


class TakeTurn(Filter):  # type: ignore[misc]
    """Reduces each transcript to one answer, or lays it out.

    Args:
        turn: counted from 1; ``last`` where nothing is said; ``all`` for the list of all answers.

    Raises:
        InputError: there is no such turn.
    """

    def __init__(self, turn: int | Literal["last", "all"] = "last") -> None:
        if turn not in ("last", "all") and not (isinstance(turn, int) and turn > 0):
            raise InputError(f"filter {NAME}: turn is {turn!r}; give a number from 1, 'last' or 'all'")
        self.turn = turn

    def apply(self, resps: Iterable[Sequence[str]], docs: Sequence[Any]) -> list[list[str | list[str]]]:
        """One answer, or list of answers, for each repeat of each request.

        >>> TakeTurn().apply([['["first", "second"]']], [{}]), TakeTurn(turn=1).apply([['["first", "second"]']], [{}])
        ([['second']], [['first']])
        """
        return [[self._pick(answers_of(text)) for text in repeats] for repeats in resps]

    def _pick(self, answers: list[str]) -> str | list[str]:
        if self.turn == "all":
            return answers
        number = len(answers) if self.turn == "last" else self.turn
        if number > len(answers):
            raise InputError(f"filter {NAME}: turn {number} is asked for, a dialogue has {len(answers)} turns")
        return answers[number - 1]


def has_dialogues(task: Task) -> bool:
    """Whether a task's docs are dialogues: one of its filters takes a turn."""
    ensembles = getattr(task, "_filters", [])
    return any(getattr(part, "func", part) is TakeTurn for ensemble in ensembles for part in ensemble.filters)
