"""A judge behind an OpenAI-compatible server rates each turn of a dialogue from 1 to 10, with FastChat's prompts.

The prompts are a file of the user's, JSON lines with ``name``, ``system_prompt`` and ``prompt_template``. Question,
answers and right answers are shown whole: a judgment that does not fit is no judgment. Each judgment is written down as
it comes, in FastChat's form, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, json_lines
from harness_ext.judges.endpoint import Endpoint, TooLongError
from harness_ext.tasks.mtbench.judgments import INVALID, Place, rating
from harness_ext.tasks.mtbench.questions import NEED_REFERENCE

MAX_TOKENS = 2048
"""Longest judgment, as the authors set it."""
_SLOT = re.compile(r"\{(question|answer|ref_answer|question_[12]|answer_[12]|ref_answer_[12])\}")


class Template(NamedTuple):
    """One prompt of a judge."""

    system: str
    text: str


class Dialogue(NamedTuple):
    """A question, the answers to it, and right ones where there are some."""

    id: str
    category: str
    turns: Sequence[str]
    answers: Sequence[str]
    reference: Sequence[str]


class Asked(NamedTuple):
    """What a judge is asked about one turn."""

    place: Place
    prompt: str
    messages: list[dict[str, str]]


class Plan(NamedTuple):
    """All that a judge will be asked, and the turns that it cannot be asked about."""

    asked: list[Asked]
    missing: dict[str, list[Place]]
    """By reason."""
    without_reference: list[Place]
    """Judged by the general prompt, because there is no right answer."""

    def said(self) -> list[str]:
        """A sentence for each reason, turn by turn."""
        found = []
        for reason, places in self.missing.items():
            found += [
                f"turn {turn}: {n} missing, {reason}" for turn, n in sorted(Counter(t for _, t in places).items())
            ]
        if self.without_reference:
            found.append(f"{len(self.without_reference)} turns have no right answer and take the general prompt")
        return found


def read_templates(file: Path) -> dict[str, Template]:
    """The prompts of a file by name.

    Raises:
        InputError: the file is no file of prompts, or has none for single answers.
    """
    try:
        rows = [row for _, row in json_lines(file)]
        found = {row["name"]: Template(str(row["system_prompt"]), str(row["prompt_template"])) for row in rows}
    except (FileError, LookupError, TypeError) as error:
        raise InputError(
            f"{file} is no file of judge prompts ({error}). Give FastChat's judge_prompts.jsonl."
        ) from error
    if "single-v1" not in found:
        raise InputError(f"{file} has no prompt 'single-v1', only {', '.join(found) or 'nothing'}.")
    return found


def plan(templates: Mapping[str, Template], dialogues: Sequence[Dialogue]) -> Plan:
    """What is asked about each turn; a second turn is never shown with the prompt for a first one."""
    asked, missing, without = [], {}, []  # type: list[Asked], dict[str, list[Place]], list[Place]
    for own in dialogues:
        for turn in (1, 2)[: len(own.answers)]:
            place = (own.id, turn)
            needs = own.category in NEED_REFERENCE
            math = needs and len(own.reference) >= turn
            name = f"single{'-math' if math else ''}-v1{'-multi-turn' if turn == 2 else ''}"
            if not own.answers[turn - 1].strip():
                missing.setdefault("no answer", []).append(place)
            elif name not in templates:
                reason = "no multi-turn prompt" if turn == 2 else f"no prompt {name}"
                missing.setdefault(reason, []).append(place)
            else:
                if needs and not math:
                    without.append(place)
                asked.append(Asked(place, name, _messages(templates[name], own, turn)))
    return Plan(asked, missing, without)


def _messages(template: Template, own: Dialogue, turn: int) -> list[dict[str, str]]:
    """The prompt with its blanks filled in one pass; what is filled in is not looked at again."""
    values = {"question": own.turns[turn - 1], "answer": own.answers[turn - 1]}
    for number, texts in (("question", own.turns), ("answer", own.answers), ("ref_answer", own.reference)):
        values |= {f"{number}_{at}": text for at, text in enumerate(texts, start=1)}
    text = _SLOT.sub(lambda slot: values.get(slot[1], ""), template.text)
    return [{"role": "system", "content": template.system}, {"role": "user", "content": text}]


def judge(
    asked: Sequence[Asked], model: str, judge_model: str, endpoint: Endpoint, file: Path, *, concurrency: int = 8
) -> None:
    """Ask about each turn that the file does not hold yet, and write each judgment down as it comes.

    A judgment without a rating, and one whose question is too long for the judge, has the score -1.

    Raises:
        InputError: the server refuses or fails for good, or the file cannot be written; what was judged is kept.
        DataError: the file is broken.
    """
    known = {(str(row["question_id"]), int(row["turn"])) for row in _kept(file)}
    open_ = [one for one in asked if one.place not in known]
    failure: InputError | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out, ThreadPoolExecutor(concurrency) as pool:
            futures = {pool.submit(_written, one, judge_model, endpoint): one for one in open_}
            for future in as_completed(futures):
                try:
                    row = _row(futures[future], future.result(), model, judge_model)
                except CancelledError:
                    continue
                except InputError as error:
                    failure = failure or error
                    continue
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                out.flush()
    except OSError as error:
        endpoint.stop()
        raise InputError(f"{file} cannot be written ({error.strerror}). Give another --out.") from error
    if failure:
        raise failure


def _row(one: Asked, text: str | None, model: str, judge_model: str) -> dict[str, Any]:
    id, turn = one.place
    score = INVALID if text is None else rating(text)
    about = {"question_id": id, "model": model, "judge": [judge_model, one.prompt], "turn": turn}
    return about | {"judgment": text or "", "score": score if 1 <= score <= 10 else INVALID, "tstamp": time.time()}


def _kept(file: Path) -> Iterator[Mapping[str, Any]]:
    if file.is_file():
        try:
            yield from (row for _, row in json_lines(file))
        except (FileError, LookupError) as error:
            raise DataError(f"{file}: {error}. Delete its last line and run again.") from error


def _written(one: Asked, model: str, endpoint: Endpoint) -> str | None:
    body = {"model": model, "messages": one.messages, "temperature": 0, "max_tokens": MAX_TOKENS}
    try:
        return endpoint.written("/chat/completions", body)
    except TooLongError:
        return None
