"""Plays dialogues over any lm-eval backend: turn by turn, all dialogues of a turn in one batch.

lm-eval sends a doc to the model once. For tasks with dialogues (:mod:`harness_ext.models.dialogues.filter`) `evaluate`
puts a `Player` between lm-eval and the backend: it sends the first turn of every dialogue, then the second with the
answer in the history, and so on, and hands lm-eval a transcript of all answers as the response. How the hook gets here
is described in ``harness_ext/_autoload.py``, what users see in ``docs/dialogues.md``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import Task

from harness_ext.errors import HarnessExtError, InputError
from harness_ext.models.dialogues.filter import has_dialogues
from harness_ext.models.dialogues.store import Unfinished, prompt_text, recording, request_text, unfinished
from harness_ext.models.dialogues.turns import (
    NEXT_USER,
    Messages,
    Turn,
    conversation,
    fill,
    plain_text,
    transcript,
    turns_of,
    with_stop,
)
from harness_ext.models.runs.answers import leaves
from harness_ext.models.runs.asking import connection_errors, reason, server
from harness_ext.models.runs.cache import digest
from harness_ext.scoring.answers import MARKERS, answer_of

log = logging.getLogger(__name__)


@dataclass
class TurnRequest(Instance):  # type: ignore[misc]
    """One turn of a dialogue; backends that do not know of turns see an ordinary request."""

    turn: int = 0
    """From 0."""
    repeat: int = 0
    key: str = ""
    """What the answer is kept under until the run has finished."""


@dataclass
class Dialogue:
    """A dialogue in progress."""

    request: Instance
    repeat: int
    turns: Sequence[Turn]
    opening: Messages
    """Messages up to and with the first user message, as lm-eval built them."""
    answers: list[str] = field(default_factory=list)

    @property
    def history(self) -> list[str]:
        """The answers as later turns see them: without reasoning, and empty where it has no end."""
        return [answer_of(text, self.request.doc.get(MARKERS)).text for text in self.answers]


@dataclass(frozen=True)
class Layout:
    """How this run turns messages into prompts: the options of lm-eval's ``evaluate`` that have a say in it."""

    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = False
    system_instruction: str | None = None


def evaluate(original: Callable[..., Any], lm: Any, task_dict: Any, **options: Any) -> Any:
    """lm-eval's ``evaluate``, with the dialogues among the tasks played.

    Raises:
        InputError: a dialogue cannot be played as it is written; nothing has been asked then.
    """
    tasks = {task.task_name: task for task in leaves(task_dict.get("tasks", task_dict)) if has_dialogues(task)}
    if not tasks:
        return original(lm=lm, task_dict=task_dict, **options)
    for task in tasks.values():
        _check(task)
    layout = Layout(
        bool(options.get("apply_chat_template")),
        bool(options.get("fewshot_as_multiturn")),
        options.get("system_instruction"),
    )
    player = Player(lm, tasks, layout, unfinished(getattr(lm, "lm", lm)))  # lm-eval's cache wraps the backend
    results = original(lm=player, task_dict=task_dict, **options)
    player.finish()
    return results


class Player:
    """A backend that plays dialogues; for everything else it is the backend it is made from.

    Args:
        lm: an lm-eval backend, or lm-eval's cache around one.
        tasks: those with dialogues, by name.
        layout: how prompts are made.
        store: where answers are kept until `finish`.
    """

    def __init__(
        self, lm: Any, tasks: Mapping[str, Task], layout: Layout = Layout(), store: Unfinished | None = None
    ) -> None:
        self._lm = lm
        self._backend = getattr(lm, "lm", lm)
        self._tasks = tasks
        self._layout = layout
        self._store = store
        self._asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lm, name)

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """One text for each request: an answer, or the transcript of a dialogue.

        Raises:
            InputError: a server does not answer as it should; or see `evaluate`.
        """
        dialogues: dict[int, Dialogue] = {}
        seen: Counter[int] = Counter()  # lm-eval hands the same object over once for each repeat
        for index, request in enumerate(requests):
            if request.task_name in self._tasks:
                dialogues[index] = self._open(request, seen[id(request)])
                seen[id(request)] += 1
        single = [request for index, request in enumerate(requests) if index not in dialogues]
        answers = iter(self._lm.generate_until(single) if single else [])
        self._play_all(list(dialogues.values()))
        return [
            transcript(dialogues[index].answers) if index in dialogues else next(answers)
            for index in range(len(requests))
        ]

    def finish(self) -> None:
        """The run has its results: what was kept in case it would not is dropped."""
        if self._store is not None:
            self._store.forget(self._asked)

    def _open(self, request: Instance, repeat: int) -> Dialogue:
        where = f"task {request.task_name}, doc {request.doc_id}"
        turns = turns_of(request.doc, where)
        task = self._tasks[str(request.task_name)]
        opening: Messages = task.fewshot_context(
            request.doc,
            0,
            system_instruction=self._layout.system_instruction,
            apply_chat_template=True,
            fewshot_as_multiturn=self._layout.fewshot_as_multiturn,
            chat_template=lambda messages, **_: messages,  # lm-eval's own messages, before any template
        )
        first = self._prompt(opening)
        if opening[-1]["content"].strip() != fill(turns[0].user, []).strip():
            raise InputError(f"{where}: doc_to_text is not the first of the doc's turns; give it as the first turn")
        if not self._layout.apply_chat_template:
            request.arguments = (first, *request.args[1:])  # samples tell what was asked
        elif prompt_text(first) != prompt_text(request.args[0]):
            raise InputError(
                f"{where}: lm-eval's prompt is not the chat template applied to the first turn; run without "
                "--cache_requests"
            )
        return Dialogue(request, repeat, turns, opening)

    def _prompt(self, messages: Messages) -> Any:
        return self._lm.apply_chat_template(messages) if self._layout.apply_chat_template else plain_text(messages)

    def _play_all(self, dialogues: list[Dialogue]) -> None:
        """Play dialogues: all together, or as many at a time as a backend can keep what it has read of."""
        hold: Callable[[Sequence[str]], int] | None = getattr(self._backend, "hold_dialogues", None)
        if hold is None:
            self._play(dialogues)
            return
        ordered = sorted(dialogues, key=_whole_text)  # like beginnings together
        texts = [_whole_text(dialogue) for dialogue in ordered]
        first = 0
        while first < len(ordered):
            stop = first + (hold(texts[first:]) or len(ordered))
            self._play(ordered[first:stop])
            first = stop
        hold([])

    def _play(self, dialogues: Sequence[Dialogue]) -> None:
        """Play these dialogues to their end, turn by turn."""
        most = max((len(dialogue.turns) for dialogue in dialogues), default=0)
        for turn in range(most):
            asked = [dialogue for dialogue in dialogues if turn < len(dialogue.turns)]
            log.info("Turn %d of %d: %d dialogues", turn + 1, most, len(asked))
            for dialogue, answer in zip(asked, self._ask([self._next(one) for one in asked]), strict=True):
                dialogue.answers.append(answer)

    def _next(self, dialogue: Dialogue) -> TurnRequest:
        """The request for a dialogue's next answer."""
        request, turn = dialogue.request, len(dialogue.answers)
        kwargs = dialogue.turns[turn].kwargs(request.args[1])
        if not self._layout.apply_chat_template:
            kwargs = with_stop(kwargs, NEXT_USER)
        prompt = self._prompt(conversation(dialogue.opening, dialogue.turns, dialogue.history))
        place = [request.task_name, request.doc_id, dialogue.repeat, turn]
        return TurnRequest(
            "generate_until",
            request.doc,
            (prompt, kwargs, *request.args[2:]),
            request.idx,
            (request.task_name, request.doc_id, 1),
            turn=turn,
            repeat=dialogue.repeat,
            key=digest([*place, request_text((prompt, kwargs))]),
        )

    def _ask(self, requests: list[TurnRequest]) -> list[str]:
        """Answers to requests of one turn: those of an unfinished run, and the backend's for the rest."""
        keys = [request.key for request in requests]
        self._asked += keys
        answers: dict[str, str] = {} if self._store is None else self._store.get(keys, str)
        missing = [request for request in requests if request.key not in answers]
        if answers:
            log.warning("%d of %d answers are there from a run that did not finish", len(answers), len(requests))
        if missing:
            answers |= zip([request.key for request in missing], self._send(missing), strict=True)
        return [answers[key] for key in keys]

    def _send(self, requests: list[TurnRequest]) -> list[str]:
        with recording(self._backend, self._store) as recorder:
            if recorder is not None:
                for request in requests:
                    recorder.wait_for(request_text(request.args), request.key)
            try:
                answers: list[str] = self._lm.generate_until(requests)
            except HarnessExtError:
                raise
            except Exception as error:
                kept = 0 if self._store is None else len(self._store.get(self._asked, str))
                log.error(
                    "turn %d failed; %d answers are kept, the same command goes on from there",
                    *(requests[0].turn + 1, kept),
                )
                if isinstance(error, connection_errors()):
                    raise InputError(
                        f"{server(self._backend)}: turn {requests[0].turn + 1} was not answered "
                        f"({reason(error)}). {kept} answers are kept: see to the server, then run the same command "
                        "again"
                    ) from error
                raise
        if self._store is not None:  # not every backend tells of each answer
            for request, answer in zip(requests, answers, strict=True):
                self._store.put(request.key, answer)
            self._store.commit()
        return answers


def _check(task: Task) -> None:
    """Refuse what cannot be played, before anything is asked."""
    if task.OUTPUT_TYPE != "generate_until":
        raise InputError(f"task {task.task_name}: a dialogue is generated; its output_type is {task.OUTPUT_TYPE}")
    if task.config.num_fewshot or task.config.gen_prefix:
        raise InputError(
            f"task {task.task_name}: a dialogue has neither few-shot examples nor a gen_prefix; write examples into "
            "its turns"
        )
    for index, doc in enumerate(task.eval_docs):
        turns_of(doc, f"task {task.task_name}, doc {index}")


def _whole_text(dialogue: Dialogue) -> str:
    """All that is said to the model, which is most of a dialogue where answers are short."""
    said = [message["content"] for message in dialogue.opening] + [turn.user for turn in dialogue.turns[1:]]
    return "\n\n".join(said)
