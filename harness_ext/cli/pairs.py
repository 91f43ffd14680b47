"""``harness-ext pairs``: prompts with right answers for training, as a task itself renders them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from harness_ext.cli.saying import write
from harness_ext.errors import InputError


class _Row(NamedTuple):
    prompt: str
    answer: str
    id: Any
    task: str


def pairs(
    task: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="Tasks, groups or tags of lm-eval.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="JSONL file to write.", show_default=False)],
    split: Annotated[
        str, typer.Option(help="train, validation or test, or the name of any split that the task's data has.")
    ] = "train",
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help='As lm-eval\'s --metadata, such as \'{"data": "sample"}\'.', show_default=False
        ),
    ] = None,
    include_path: Annotated[
        Path | None, typer.Option(help="Folder of more tasks, as lm-eval's --include_path.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Docs of each task.", show_default="all")] = None,
    allow_evaluated: Annotated[
        bool,
        typer.Option(
            "--allow-evaluated", help="Write what the task is evaluated on: it then measures nothing any more."
        ),
    ] = False,
) -> None:
    """Write the docs of tasks as rows to train on: prompt, answer, id, task.

    Prompts are the task's own, with its description, as the model reads them without few-shot examples; chat templates
    are left to the training. Answers are what a few-shot example of the task would show: of a multiple-choice task the
    right choice, of several right answers the first. The split that a task is evaluated on is refused, and rows of
    another one whose prompt one of these tasks is evaluated on word for word are left out.

    Examples:

    - `harness-ext pairs eibench_tweet_irony --split dev --out irony.jsonl`
    - `harness-ext pairs eibench_meld eibench_cee --split dev --limit 50 --out both.jsonl`
    - `harness-ext pairs eibench_ed_emotion_ll --split dev --metadata '{"data": "sample"}' --out sample.jsonl`

    Exit codes: 2 wrong input, 3 data missing or broken.
    """
    import hashlib
    import json

    tasks = leaves(task, metadata, include_path)
    sources = [_Split(own, split, allow_evaluated) for own in tasks]
    evaluated = set() if allow_evaluated else {_digest(prompt) for source in sources for prompt in source.evaluated()}
    found = [row for source in sources for row in source.rows(limit)]
    rows = [row for row in found if row.prompt.strip() and row.answer.strip() and _digest(row.prompt) not in evaluated]
    left_out = len(found) - len(rows)
    if not rows:
        raise InputError(
            f"{' '.join(task)} has no row to train on: {left_out} docs have no prompt, no answer, or a prompt that is "
            "evaluated."
        )
    content = "".join(f"{json.dumps(row._asdict(), ensure_ascii=False, default=str)}\n" for row in rows).encode()
    write(out, content, "Free some space, or give another --out.")
    digest = hashlib.sha256(content).hexdigest()
    typer.echo(f"{out}: {len(rows):,} rows of {' '.join(task)}, split {split}, sha256 {digest}")
    if left_out:
        typer.echo(
            f"left out: {left_out:,} without prompt or answer, or with a prompt that is evaluated word for word",
            err=True,
        )


def leaves(names: list[str], metadata: str | None, include_path: Path | None) -> list[Any]:
    """The leaves of tasks, groups or tags."""
    import logging

    from harness_ext import _autoload
    from harness_ext.cli.arguments import metadata_of, tasks_not_found
    from harness_ext.models.runs import switches

    given = metadata_of(metadata)
    _autoload.install()
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # every task has a line to say about --metadata
    manager = TaskManager(metadata=given, include_path=include_path and str(include_path))
    if unknown := [name for name in names if name not in manager.all_tasks]:
        raise InputError(tasks_not_found(unknown, manager.all_tasks))
    switches.refuse_unread(given.keys(), list(switches.loaders(names, manager.task_index)))
    return list(manager.load(names)["tasks"].values())


class _Split:
    """The docs of one split of one task, and their prompts and answers."""

    def __init__(self, task: Any, split: str, allow_evaluated: bool) -> None:
        self._task, self._name = task, task.config.task
        roles = {"train": "training_split", "validation": "validation_split", "test": "test_split"}
        self._split = getattr(task.config, roles.get(split, ""), None) or split
        self._evaluated = task.config.test_split or task.config.validation_split
        others = " or ".join(sorted(set(task.dataset) - {self._evaluated}))
        way_out = (
            f"{f'Give --split {others}, or' if others else 'It has no other: give'} --split {self._evaluated} "
            "--allow-evaluated, and do not score the trained model on it."
        )
        if self._split not in task.dataset:
            raise InputError(f"{self._name} has no split {split}, and is evaluated on {self._evaluated}. {way_out}")
        if self._split == self._evaluated and not allow_evaluated:
            raise InputError(f"{self._name} is evaluated on its split {self._split}. {way_out}")

    def evaluated(self) -> Iterator[str]:
        """Prompts of the docs that the task is evaluated on."""
        return (self._prompt(doc) for doc in self._docs(self._evaluated, None))

    def rows(self, limit: int | None) -> Iterator[_Row]:
        """The rows of the split, in its order."""
        for number, doc in enumerate(self._docs(self._split, limit)):
            yield _Row(self._prompt(doc), self._answer(doc), doc.get("id", number), self._name)

    def _docs(self, split: str, limit: int | None) -> Iterator[Any]:
        from tqdm import tqdm

        docs = self._task.dataset[split]
        if self._task.config.process_docs is not None:
            docs = self._task.config.process_docs(docs)
        count = min(len(docs), limit or len(docs))
        yield from tqdm(islice(docs, count), f"{self._name}: {split}", count, unit="doc", disable=None)

    def _prompt(self, doc: Any) -> str:
        if self._task.multiple_input or doc.get("turns") or self._task.config.doc_to_image:
            raise InputError(f"{self._name} asks with a dialogue, an image or one text a choice: no single prompt.")
        return str(self._task.fewshot_context(doc, 0, gen_prefix=self._task.doc_to_prefix(doc)))

    def _answer(self, doc: Any) -> str:
        """What lm-eval's few-shot examples show."""
        target = self._task.doc_to_target(doc)
        if isinstance(target, list):
            target = target[0] if target else ""
        if self._task.config.doc_to_choice is not None and isinstance(target, int):
            choices = self._task.doc_to_choice(doc)
            target = choices[target] if 0 <= target < len(choices) else ""  # lm-eval calls an unknown answer -100
        if not isinstance(target, str):
            raise InputError(
                f"{self._name}: the target of a doc is {target!r}, which is no text that a model could write."
            )
        return target


def _digest(prompt: str) -> bytes:
    import hashlib

    return hashlib.sha256(prompt.encode()).digest()
