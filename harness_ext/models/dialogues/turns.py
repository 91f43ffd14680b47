"""What a dialogue is: the turns of a doc, the text of a conversation, and the transcript that lm-eval stores.

A doc carries its user messages in the field ``turns``; how a task says so and what a backend makes of it is described
in ``docs/dialogues.md``. Nothing here runs a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from harness_ext.errors import InputError
from harness_ext.files import parse_json

Messages: TypeAlias = list[dict[str, str]]
"""``{"role": "system" | "user" | "assistant", "content": …}``, oldest first."""

USER, ASSISTANT = "User:", "Assistant:"
"""How roles are marked where no chat template is applied."""
NEXT_USER = f"\n{USER}"
"""Stops an answer in that form: without a template nothing else tells a model that its turn is over."""

_SLOT = re.compile(r"\{\{answer_(\d+)\}\}")


class Turn(BaseModel):
    """One user message, and how the answer to it ends if not as the task's ``generation_kwargs`` say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = Field(min_length=1)
    until: list[str] | None = None
    max_gen_toks: PositiveInt | None = None

    def kwargs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The task's generation settings with this turn's own in their place.

        >>> Turn(user="Why?", max_gen_toks=8).kwargs({"until": ["."], "max_gen_toks": 64})
        {'until': ['.'], 'max_gen_toks': 8}
        """
        return {**given, **self.model_dump(exclude={"user"}, exclude_none=True)}


_TURNS = TypeAdapter(list[Turn])


def turns_of(doc: Any, where: str) -> list[Turn]:
    """The turns of a doc.

    Args:
        doc: has ``turns``, a list of texts or of objects ``{user, until, max_gen_toks}``.
        where: the doc's name for messages.

    Raises:
        InputError: there are no turns, one of them is empty, or one has a slot for an answer that is not given before.

    >>> [turn.user for turn in turns_of({"turns": ["Name a town.", "Is {{answer_1}} a capital?"]}, "toy doc 0")]
    ['Name a town.', 'Is {{answer_1}} a capital?']
    """
    found = doc.get("turns") if isinstance(doc, Mapping) else None
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise InputError(f"{where}: a dialogue has 'turns', a list of user messages; this doc has {_brief(found)}")
    try:
        turns = _TURNS.validate_python([{"user": turn} if isinstance(turn, str) else turn for turn in found])
    except ValidationError as error:
        first = error.errors()[0]
        number, *path = first["loc"]
        raise InputError(
            f"{where}: turn {int(number) + 1}, {'.'.join(map(str, path)) or 'whole'}: {first['msg'].lower()}; a turn "
            "is a text, or an object with 'user' and, if need be, 'until' and 'max_gen_toks'"
        ) from None
    for number, turn in enumerate(turns, start=1):
        for slot in _SLOT.finditer(turn.user):
            if not 1 <= int(slot[1]) < number:
                there = f"answers 1 to {number - 1} are" if number > 1 else "no answer is"
                raise InputError(f"{where}: turn {number} has a slot {slot[0]}, but {there} given before it")
    return turns


def fill(message: str, answers: Sequence[str]) -> str:
    """A user message with its slots ``{{answer_1}}``, ``{{answer_2}}``, … filled; other braces are text.

    Answers are put in as they are and never looked at for slots themselves.

    >>> fill("You said {{answer_1}}. {{why}}?", ["{{answer_1}}"])
    'You said {{answer_1}}. {{why}}?'
    """
    return _SLOT.sub(lambda slot: answers[int(slot[1]) - 1], message)


def conversation(opening: Messages, turns: Sequence[Turn], answers: Sequence[str]) -> Messages:
    """The messages that ask for the next answer.

    Args:
        opening: messages up to and with the first user message.
        turns: of the doc.
        answers: those given so far; each is part of the conversation, word by word.

    >>> turns = [Turn(user="Name a town."), Turn(user="Why?")]
    >>> [message["role"] for message in conversation([{"role": "user", "content": "Name a town."}], turns, ["Oslo"])]
    ['user', 'assistant', 'user']
    """
    messages = list(opening)
    for number, answer in enumerate(answers, start=1):
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": fill(turns[number].user, answers[:number])})
    return messages


def plain_text(messages: Messages) -> str:
    r"""A conversation as text, for models without a chat template; it ends where the next answer begins.

    >>> plain_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a town."}])
    'Be brief.\n\nUser: Name a town.\n\nAssistant:'
    >>> asked = [{"role": "user", "content": "A?"}, {"role": "assistant", "content": " B."}]
    >>> plain_text([*asked, {"role": "user", "content": "C?"}])
    'User: A?\n\nAssistant: B.\n\nUser: C?\n\nAssistant:'
    """
    text = ""
    for message in messages:
        if message["role"] == "assistant":
            text += f"{ASSISTANT}{message['content']}\n\n"  # an answer brings its own space
        else:
            text += f"{USER} " * (message["role"] == "user") + message["content"].rstrip("\n") + "\n\n"
    return text + ASSISTANT


def with_stop(kwargs: Mapping[str, Any], stop: str) -> dict[str, Any]:
    """Generation settings with one more stop sequence.

    >>> with_stop({"until": ".", "do_sample": False}, "!")
    {'until': ['.', '!'], 'do_sample': False}
    """
    until = kwargs.get("until") or []
    return {**kwargs, "until": [*([until] if isinstance(until, str) else until), stop]}


def transcript(answers: Iterable[str]) -> str:
    """All answers of a dialogue as the one text that lm-eval keeps of a request.

    >>> transcript(["Oslo", "It is cold."])
    '["Oslo", "It is cold."]'
    """
    return json.dumps(list(answers), ensure_ascii=False)


def answers_of(text: str) -> list[str]:
    """The answers in a `transcript`.

    Raises:
        InputError: it is none, so the turns were not played.

    >>> answers_of('["Oslo", "It is cold."]')
    ['Oslo', 'It is cold.']
    """
    try:
        found = parse_json(text)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(answer, str) for answer in found):
        raise InputError(
            f"{_brief(text)} is no transcript: the turns of this task were not played. Use `harness-ext run`, or leave "
            "HARNESS_EXT_AUTOLOAD unset (docs/dialogues.md)"
        )
    return found


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
