"""A task as lm-eval loads it, on its sample, on its own data or on records that are given for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry, Kind

from harness_ext.checks.files import TaskFile
from harness_ext.checks.network import no_network

Doc = Mapping[str, Any]

DOCS = 16
"""How many docs prompts and scores are looked at on: as many as a sample has at least."""


@dataclass(frozen=True)
class Failure:
    """What a task raised instead of doing what it was asked."""

    file: TaskFile
    doing: str
    error: BaseException

    @property
    def message(self) -> str:
        """What was raised, on one line."""
        return " ".join(str(self.error).split())[:300]


@dataclass
class Loaded:
    """A task with its docs."""

    file: TaskFile
    task: Any
    again: Any
    """The same task, loaded a second time."""
    given: bool
    """Its docs are records given for it, all splits alike."""

    @cached_property
    def docs(self) -> list[Doc]:
        """The first docs that are evaluated."""
        return list(islice(self.task.eval_docs, DOCS))

    @cached_property
    def requests(self) -> list[list[Instance]]:
        """What is asked about each of :attr:`docs`, in lm-eval's order."""
        self.task.set_fewshot_seed(1234)  # lm-eval's default
        found = []
        for number, doc in enumerate(self.docs):
            context = self.task.fewshot_context(
                doc, num_fewshot=self.task.config.num_fewshot or 0, gen_prefix=self.task.doc_to_prefix(doc)
            )
            asked = self.task.construct_requests(doc=doc, ctx=context, metadata=(self.task.config.task, number, 1))
            found.append(asked if isinstance(asked, list) else [asked])
        return found

    @cached_property
    def questions(self) -> list[str]:
        """The text of each of :attr:`docs` without examples; what several contexts ask stands below each other."""
        texts = []
        for doc in self.docs:
            text = self.task.doc_to_text(doc)
            texts.append("\n".join(self.task.doc_to_choice(doc)) if isinstance(text, int) else str(text))
        return texts

    @cached_property
    def targets(self) -> list[str]:
        """The text of the gold answer of each of :attr:`docs`; empty where it has none."""
        return [target_text(self.task, doc) for doc in self.docs]

    @property
    def evaluated(self) -> str:
        """Name of the split that is evaluated."""
        return split_evaluated(self.file)

    @property
    def examples(self) -> str:
        """Name of the split that few-shot examples really come from; empty where they are written in the YAML."""
        return split_of_examples(self.file)


def split_of_examples(file: TaskFile) -> str:
    """The split from which lm-eval takes few-shot examples: the named one, or training, validation, test docs."""
    own = file.config.get("fewshot_config") or {}
    if named := own.get("split") or file.config.get("fewshot_split"):
        return str(named)
    if own.get("samples") is not None:
        return ""
    splits = (file.config.get(f"{name}_split") for name in ("training", "validation", "test"))
    return str(next(filter(None, splits), ""))


def split_evaluated(file: TaskFile) -> str:
    """The split that lm-eval evaluates."""
    return str(file.config.get("test_split") or file.config.get("validation_split") or "")


def gold_indices(task: Any, doc: Doc) -> set[int]:
    """Indices of the right choices of a doc; empty where the target is none of them."""
    choices = task.doc_to_choice(doc)
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    found = set()
    for one in gold if isinstance(gold, list) else [gold]:
        number = choices.index(one) if isinstance(one, str) and one in choices else one
        if isinstance(number, int) and 0 <= number < len(choices):
            found.add(int(number))
    return found


def target_text(task: Any, doc: Doc) -> str:
    """The gold answer as text; the first of several."""
    if task.OUTPUT_TYPE == "multiple_choice" or task.config.doc_to_choice is not None:
        right = gold_indices(task, doc)
        return str(task.doc_to_choice(doc)[min(right)]) if right else ""
    target = task.doc_to_target(doc)
    if isinstance(target, (list, tuple)):
        target = target[0] if target else ""
    return str(target)


def load(file: TaskFile, metadata: Mapping[str, Any], records: Sequence[Doc] | None = None) -> Loaded:
    """Load a task twice.

    Args:
        file: a readable task, no group.
        metadata: what lm-eval's ``--metadata`` would say.
        records: stand in for the docs of every split.

    Raises:
        Exception: whatever the task's loader raises.
    """
    given: dict[str, Any] = {}
    if records is not None:
        given = {"custom_dataset": lambda **_: _same_everywhere(file, records), "dataset_kwargs": {}}
    entry = Entry(name=file.name, kind=Kind.TASK, yaml_path=file.path)
    own = records is not None or "custom_dataset" in file.config

    def once() -> Any:
        if not own:  # a hub's data may be downloaded; what is here is taken from here
            return TaskFactory(meta=dict(metadata)).build(entry, overrides=given, registry={})
        with no_network():
            return TaskFactory(meta=dict(metadata)).build(entry, overrides=given, registry={})

    return Loaded(file, once(), once(), records is not None)


def is_loadable(file: TaskFile) -> bool:
    """Whether it is a task that YAML describes whole."""
    return bool(file.config) and not file.is_group and not file.is_python


def _same_everywhere(file: TaskFile, records: Sequence[Doc]) -> dict[str, Dataset]:
    own = file.config.get("fewshot_config") or {}
    keys = ("training_split", "validation_split", "test_split", "fewshot_split")
    names = {file.config.get(key) for key in keys} | {own.get("split") if isinstance(own, dict) else None}
    docs = Dataset.from_list([dict(record) for record in records])
    return {str(name): docs for name in names - {None}}
