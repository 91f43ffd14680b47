"""``--task_twin letters``: multiple-choice tasks asked as questions, for servers that give no likelihoods.

A twin lists the options behind letters and lets the model write the letter. It measures something else than the
likelihoods of the options, so task, groups and metric have names of their own (``arc_easy_letters``, ``acc_letters``)
and never share a column, or a group's mean, with the task that they come from.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from string import ascii_uppercase
from typing import Any

from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask, Task

from harness_ext.errors import InputError
from harness_ext.scoring.affect import parse_option
from harness_ext.scoring.answers import of_answer

log = logging.getLogger(__name__)

MARK = "_letters"
"""Behind the names of twins, of the groups that hold them and of their metric."""
METRICS = ("acc_letters", "parse_failure", "reasoning_cut")

_ASK = "Answer with the letter of one option.\nAnswer:"
_ASKED = re.compile(r"\s*\b(?:answer|antwort|réponse|respuesta|答案|回答)\s*[:：]\s*\Z", re.IGNORECASE)
"""How many prompts end: there the options go before it."""


class _OfTask:
    """A function of a task's docs that lm-eval takes for one of YAML: copied as itself, recorded as what it reads."""

    def __init__(self, task: ConfigurableTask, field: str, own: object = None) -> None:
        self._task, self._field = task, field
        self._own = own
        """What demonstrations take in place of the task's field, if anything."""

    def __deepcopy__(self, _: object) -> _OfTask:
        return self  # lm-eval copies configurations, and would copy the data

    def __str__(self) -> str:
        read = self._own or getattr(self._task.config, self._field)
        return f"letters: {self._task.config.serialize_function(read)}"


class _Question(_OfTask):
    def __call__(self, doc: Mapping[str, Any]) -> str:
        question = self._task.doc_to_text(doc, self._own)
        if not isinstance(question, str):
            raise InputError(
                f"{self._task.task_name} puts each option into its question, so letters cannot stand for them; "
                "leave the task out"
            )
        question = _ASKED.sub("", question).rstrip()
        options = choices(self._task, doc)
        listed = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
        return "\n".join([question, *([] if _are_letters(options) else listed), _ASK])


class _Letter(_OfTask):
    def __call__(self, doc: Mapping[str, Any]) -> str:
        return right(self._task, doc, self._own)[0]


class _Score(_OfTask):
    def __call__(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
        scored: dict[str, float] = of_answer(self._score)(doc, results)
        return scored

    def _score(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
        chosen = parse_option(results[0], len(choices(self._task, doc)))
        failed = chosen not in ascii_uppercase
        return {"acc_letters": float(chosen in right(self._task, doc)), "parse_failure": float(failed)}


def choices(task: ConfigurableTask, doc: Mapping[str, Any]) -> list[str]:
    """The options of a doc.

    Raises:
        InputError: there are more than letters.
    """
    options = [str(option).strip() for option in task.doc_to_choice(doc)]
    if len(options) > len(ascii_uppercase):
        raise InputError(
            f"{task.task_name} has a question with {len(options)} options, more than letters; leave it out"
        )
    return options


def _are_letters(options: Sequence[str]) -> bool:
    """Whether the options are letters already, whose meaning stands in the question.

    >>> _are_letters(["A", "B"]), _are_letters(["(A)", "(B)"]), _are_letters(["blue", "green"])
    (True, True, False)
    """
    return [re.sub(r"\W", "", option) for option in options] == list(ascii_uppercase[: len(options)])


def right(task: ConfigurableTask, doc: Mapping[str, Any], own: object = None) -> list[str]:
    """The letters of the right options, one or several.

    Raises:
        InputError: the doc's target is none of its options.
    """
    target, options = task.doc_to_target(doc, own), choices(task, doc)
    found = []
    for one in target if isinstance(target, list) else [target]:
        at = (
            one if isinstance(one, int) else next((at for at, own in enumerate(options) if own == str(one).strip()), -1)
        )
        if not 0 <= at < len(options):
            raise InputError(f"{task.task_name}: the target {one!r} is none of the options {options}; leave it out")
        found.append(ascii_uppercase[at])
    return found


def twin(task: ConfigurableTask) -> ConfigurableTask:
    """The same docs, demonstrations and version with generated letters."""
    config, shots = task.config, task.fewshot_cfg
    settings = {field.name: getattr(config, field.name) for field in fields(config)}
    metadata = {key: value for key, value in (config.metadata or {}).items() if key != "chance"}
    if "bench" in metadata:
        metadata["bench"] = f"{metadata['bench']}{MARK}"  # its tables know nothing of twins
    settings |= {
        "task": f"{task.task_name}{MARK}",
        "task_alias": f"{config.task_alias}{MARK}" if config.task_alias else None,
        "output_type": "generate_until",
        "custom_dataset": lambda **_: task.dataset,  # read once
        "doc_to_text": _Question(task, "doc_to_text"),
        "doc_to_target": _Letter(task, "doc_to_target"),
        "doc_to_choice": None,
        "process_results": _Score(task, "doc_to_choice"),
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": metric == "acc_letters"} for metric in METRICS
        ],
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 32, "do_sample": False},
        "filter_list": None,
        "gen_prefix": None,
        "repeats": 1,
        "should_decontaminate": False,
        "fewshot_config": replace(
            shots,
            doc_to_text=_Question(task, "doc_to_text", shots.doc_to_text),
            doc_to_target=_Letter(task, "doc_to_target", shots.doc_to_target),
            doc_to_choice=None,
            gen_prefix=None,
        ),
        "metadata": {**metadata, "twin": "letters"},
    }
    found = ConfigurableTask(config=settings)
    found.config.custom_dataset = config.custom_dataset
    return found


def _with_twins(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """What lm-eval's ``TaskManager.load`` returns, with twins in place of multiple-choice tasks.

    Raises:
        InputError: there is none, or one cannot have a twin.
    """
    of_choice = {name: task for name, task in loaded["tasks"].items() if task.OUTPUT_TYPE == "multiple_choice"}
    if not of_choice:
        raise InputError("--task_twin letters: none of the tasks is a multiple-choice task; run them without it")
    if odd := [name for name, task in of_choice.items() if not isinstance(task, ConfigurableTask)]:
        raise InputError(f"--task_twin letters: {odd[0]} is a Python class with prompts of its own; leave it out")
    made: dict[str, Task] = {name: twin(task) for name, task in of_choice.items()}
    log.info("%d tasks are asked for letters in place of likelihoods", len(made))
    groups: dict[str, Group] = {}

    def group_twin(group: Group) -> Group:
        """The group of the twins; itself where it has none below it."""
        if not any(task.task_name in made for task in group.get_all_tasks()):
            return group
        name = f"{group.name}{MARK}"
        if name not in groups:
            old = group.aggregate_metric_list or []
            metrics = [replace(old[0], metric=metric, filter_list=None) for metric in METRICS] if old else None
            groups[name] = found = Group(name, None, metrics, group.metadata)
            for child in group:
                found.add(group_twin(child) if isinstance(child, Group) else made.get(child.task_name, child))
        return groups[name]

    new_groups = [group_twin(group) for group in loaded.get("groups", {}).values()]
    tasks = [made.get(name, task) for name, task in loaded["tasks"].items()]
    return {
        "tasks": {task.task_name: task for task in tasks},
        "groups": {group.name: group for group in new_groups},
        "group_map": {group.name: group.child_names for group in new_groups},
    }


@contextmanager
def instead_of_likelihoods() -> Iterator[None]:
    """Make every lm-eval run meanwhile ask for letters."""
    from lm_eval.tasks import TaskManager

    original = TaskManager.load

    def load(self: Any, task_list: Any) -> Any:
        return _with_twins(original(self, task_list))

    TaskManager.load = load
    try:
        yield
    finally:
        TaskManager.load = original
