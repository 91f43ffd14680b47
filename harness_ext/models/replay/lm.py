"""The ``replay`` backend: answers that already exist, scored by the tasks as if a model had just given them.

``lm_eval --model replay --model_args path=answers.jsonl --tasks ...`` reads API logs, other people's outputs, the
outputs of a method, or the ``samples_*.jsonl`` files of an earlier lm-eval run. Rows and rules: ``docs/replay.md``.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import lm_eval.models  # noqa: F401 - lm-eval fills its registry only while it is empty: its own backends go first
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import model_registry
from lm_eval.utils import hash_string

from harness_ext.errors import InputError
from harness_ext.files import sha256_of
from harness_ext.models.dialogues.turns import answers_of
from harness_ext.models.replay.answers import Answer, Key, doc_digest, files, load, own_id

log = logging.getLogger(__name__)

API_ERROR = "OPENAI API ERROR"
"""How released API logs begin an answer that is no answer (MBTIBench, ``mbtibench/llm.py``)."""

_SHOWN = 3

_T = TypeVar("_T")


class Replay(LM):  # type: ignore[misc]
    """Gives stored answers instead of running a model; images and sounds are ignored.

    Args:
        path: a ``*.jsonl`` or ``*.jsonl.gz`` file, or a folder of them.
        model: name of the model that gave the answers, for the results file and the tables.
        batch_size: accepted because lm-eval passes it; without effect, as are ``max_batch_size`` and ``device``.

    Raises:
        InputError: an answer is missing, contradictory, an API's error message, or was given to another prompt.
    """

    MULTIMODAL = True
    tokenizer_name = "replay"

    def __init__(
        self,
        path: str,
        model: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path).expanduser()
        self.model = model
        self._answers = load(self.path)

    def get_model_info(self) -> dict[str, Any]:
        """What the results file says about these answers: files with their sha256, and the number of answers."""
        return {
            "replay_files": {file.name: sha256_of(file) for file in files(self.path)},
            "replay_answers": sum(len(answers) for answers in self._answers.values()),
            "replay_model": self.model,
        }

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as JSON, which is what lm-eval's chat API backends record as their prompt."""
        return json.dumps(chat_history, ensure_ascii=False)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The stored text of each request; ``until`` and ``max_gen_toks`` were the recorded model's business."""

        def text(answer: Answer, request: Instance) -> str:
            if not isinstance(answer.value, str):
                raise InputError(f"{answer.where}: task {request.task_name} generates: the row needs 'response'")
            return _of_turn(answer.value, answer.where, request) if answer.from_samples else answer.value

        texts = self._replay(requests, text, text=True)
        errors = [
            (request, value) for request, value in zip(requests, texts, strict=True) if value.startswith(API_ERROR)
        ]
        if errors:
            docs = _some(f"{request.task_name} doc {_name(request)}" for request, _ in errors)
            raise InputError(
                f"{self.path}: {len(errors)} responses are API errors, not answers ({docs}): {errors[0][1][:80]!r}; "
                "ask the API again and replace these rows"
            )
        return texts

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """The stored log-likelihood of each continuation, in the order of the doc's choices."""
        unrecorded: Counter[str] = Counter()
        width: Counter[tuple[str | None, int | None]] = Counter()
        for request in {id(request): request for request in requests}.values():
            width[request.task_name, request.doc_id] += 1

        def pair(answer: Answer, request: Instance) -> tuple[float, bool]:
            wanted = width[request.task_name, request.doc_id]
            if isinstance(answer.value, str) or len(answer.value) != wanted:
                has = "a text" if isinstance(answer.value, str) else f"{len(answer.value)} log-likelihoods"
                raise InputError(
                    f"{answer.where}: task {request.task_name}, doc {_name(request)} asks for {wanted} "
                    f"log-likelihoods, the row has {has}"
                )
            likelihood, greedy = answer.value[request.idx]
            if greedy is None and wanted == 1:
                unrecorded[str(request.task_name)] += 1
            return likelihood, bool(greedy)

        pairs = self._replay(requests, pair, text=False)
        for task, count in unrecorded.items():
            log.warning("replay: %d rows of %s have no 'is_greedy', taken as false: its acc means nothing", count, task)
        return pairs

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The stored log-likelihood of each whole text."""

        def number(answer: Answer, request: Instance) -> float:
            try:  # lm-eval's samples hold this number as a text
                if isinstance(answer.value, str):
                    return float(answer.value)
                ((likelihood, _),) = answer.value
                return likelihood
            except (TypeError, ValueError) as error:
                raise InputError(f"{answer.where}: task {request.task_name} asks for one log-likelihood") from error

        return self._replay(requests, number, text=False)

    def _replay(self, requests: list[Instance], value: Callable[[Answer, Instance], _T], *, text: bool) -> list[_T]:
        """Look every request up, complain about everything that is wrong, and only then answer."""
        found: list[tuple[Answer | None, Instance]] = []
        used: defaultdict[str, set[Key]] = defaultdict(set)
        docs: dict[tuple[str, Key], int | None] = {}
        asked: Counter[int] = Counter()  # lm-eval hands the same object over once for each repeat
        for request in requests:
            task = str(request.task_name)
            key = self._key(request, asked[id(request)])
            asked[id(request)] += 1
            found.append((self._answers.get(task, {}).get(key), request))
            if docs.setdefault((task, key), request.doc_id) != request.doc_id:
                raise InputError(f"task {task} has several docs with id {key.doc!r}: give 'doc_id' instead of 'id'")
            used[task].add(key)
        self._refuse_missing(request for answer, request in found if answer is None)
        present = [(answer, request) for answer, request in found if answer is not None]
        self._compare_hashes(present)
        answers = [value(answer, request) for answer, request in present]
        self._warn_unused(used, getattr(requests[0], "turn", None) if requests else None, text=text)
        return answers

    def _key(self, request: Instance, repeat: int) -> Key:
        answers = self._answers.get(str(request.task_name), {})
        own, turn = own_id(request.doc), getattr(request, "turn", 0)
        repeat = getattr(request, "repeat", repeat)
        by_id, by_index = Key(str(own), turn, repeat), Key(int(request.doc_id or 0), turn, repeat)
        whole = [key for key in (by_id._replace(turn=0), by_index._replace(turn=0)) if key in answers]
        if turn and whole and answers[whole[0]].from_samples:  # lm-eval keeps a dialogue as one transcript
            return whole[0]
        return by_index if own is None or (by_id not in answers and by_index in answers) else by_id

    def _refuse_missing(self, missing: Iterable[Instance]) -> None:
        by_task: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for request in missing:
            by_task[str(request.task_name)][_name(request)] = None
        if not by_task:
            return
        tasks = "; ".join(
            f"{task}: {len(docs)} docs ({_some(docs)})"
            + (
                ""
                if task in self._answers
                else f", no row has this task, the rows have {_some(self._answers) or 'none'}"
            )
            for task, docs in by_task.items()
        )
        raise InputError(
            f"{self.path}: answers are missing, nothing was scored. {tasks}. Add rows with these ids (and as many "
            "responses as the task has repeats), or choose the answered docs with --samples or --limit"
        )

    def _compare_hashes(self, present: list[tuple[Answer, Instance]]) -> None:
        other_prompt: dict[str, Answer] = {}
        for answer, request in present:
            if answer.doc_hash and answer.doc_hash != doc_digest(request.doc):
                raise InputError(
                    f"{answer.where}: recorded for another doc than {request.task_name} doc {_name(request)}; the data "
                    "changed since, or --samples was not sorted"
                )
            prompt = request.args[0]
            later = answer.from_samples and bool(getattr(request, "turn", 0))  # a sample has the first prompt's hash
            if request.idx == 0 and not later and answer.prompt_hash and answer.prompt_hash != hash_string(str(prompt)):
                other_prompt[answer.where] = answer
        strict = [answer.where for answer in other_prompt.values() if not answer.from_samples]
        if strict:
            raise InputError(
                f"{len(strict)} answers were given to another prompt ({_some(strict)}): 'prompt_hash' is not the "
                "sha256 of this run's prompt; replay with the same prompt settings, or remove the key to score them "
                "anyway"
            )
        if other_prompt:
            log.warning(
                "replay: %d answers were recorded with another prompt than this run builds (%s): the scores belong to "
                "the prompt of the recorded run",
                len(other_prompt),
                _some(other_prompt),
            )

    def _warn_unused(self, used: dict[str, set[Key]], turn: int | None, *, text: bool) -> None:
        unused = {
            task: sum(
                isinstance(answer.value, str) == text
                for key, answer in answers.items()
                if key not in used[task] and turn in (None, key.turn)  # a dialogue asks turn by turn
            )
            for task, answers in self._answers.items()
            if task in used
        }
        if any(unused.values()):
            tasks = ", ".join(f"{task} {count}" for task, count in unused.items() if count)
            log.warning(
                "replay: %d stored answers are not asked for and were not scored (%s)", sum(unused.values()), tasks
            )


def _name(request: Instance) -> str:
    own, turn = own_id(request.doc), getattr(request, "turn", None)
    name = f"doc_id {request.doc_id}" if own is None else repr(own)
    return name if turn is None else f"{name} turn {turn}"


def _of_turn(text: str, where: str, request: Instance) -> str:
    """The part of a recorded response that answers a request: of a dialogue's transcript, one turn."""
    turn = getattr(request, "turn", None)
    if turn is None:
        return text
    try:
        answers = answers_of(text)
    except InputError as error:
        raise InputError(f"{where}: task {request.task_name} is a dialogue; {error}") from error
    if turn >= len(answers):
        raise InputError(f"{where}: {len(answers)} turns were recorded, task {request.task_name} asks for turn {turn}")
    return str(answers[turn])


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")


if "replay" not in model_registry:  # an entry point may have put a placeholder there already
    model_registry.register("replay", target=Replay)
