"""Docs: that loads agree, that targets exist, and that no doc or example gives the answer to another away."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from harness_ext.checks.files import TaskFile
from harness_ext.checks.findings import Found, check
from harness_ext.checks.loading import Doc, Failure, Loaded, split_evaluated, split_of_examples
from harness_ext.checks.network import NetworkTriedError
from harness_ext.models.dialogues.filter import has_dialogues

_AT_MOST = 5_000
"""Docs of a split that are compared with those of another."""
_OPTION = re.compile(r"\s*(?:^|(?<=\s))[(\[]?[A-Za-z0-9][.):\]]\s+")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@check(
    "failure",
    why="nobody can run the task.",
    mend="Run the loader by itself on the same data and mend what it raises.",
)
def does_not_load(failure: Failure) -> Iterator[Found]:
    """The task loads, and its prompts can be built."""
    if not isinstance(failure.error, NetworkTriedError):
        yield Found(f"{failure.doing} fails: {type(failure.error).__name__}: {failure.message}")


@check(
    "failure",
    why="a run on a machine without network fails, and a run with it depends on what a server says that day.",
    mend="Read pinned files through a data card, and compute metrics with an installed library.",
)
def network(failure: Failure) -> Iterator[Found]:
    """Nothing asks for the network while a task with a loader of its own is loaded or scored."""
    if isinstance(failure.error, NetworkTriedError):
        yield Found(f"{failure.doing} asks for the network")


@check(
    "task",
    why="two runs of the same model are asked different questions and cannot be compared.",
    mend="Sort what comes from sets and folders, and shuffle with random.Random(SEED), never with the global state.",
)
def loads_differ(loaded: Loaded) -> Iterator[Found]:
    """Two loads give the same docs, examples and prompts."""
    for split, one, other in (
        ("evaluated docs", loaded.task.eval_docs, loaded.again.eval_docs),
        ("few-shot examples", loaded.task.fewshot_docs(), loaded.again.fewshot_docs()),
    ):
        if one is not None and _plain(one) != _plain(other):
            yield Found(f"the {split} differ between two loads", "custom_dataset")
            return
    for doc, text in zip(loaded.docs, loaded.questions, strict=True):
        if not loaded.task.multiple_input and str(loaded.task.doc_to_text(doc)) != text:
            yield Found("the same doc gives another prompt when it is rendered again", "doc_to_text")
            return


def _plain(docs: Any) -> list[str]:
    return [_ADDRESS.sub("", repr(_content(doc))) for doc in islice(docs, 1_000)]


def _content(value: Any) -> Any:
    """A doc with the pixels of its pictures in place of the objects that hold them."""
    if isinstance(value, dict):
        return {key: _content(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_content(one) for one in value]
    return hashlib.sha256(value.tobytes()).digest() if hasattr(value, "tobytes") else value


@check(
    "task",
    why="the gold answer is counted as wrong whatever is answered, or lm-eval takes another choice for it.",
    mend="Count choices from 0, and let doc_to_target give an index or one of the choices.",
)
def target_out_of_range(loaded: Loaded) -> Iterator[Found]:
    """The target is one of the choices."""
    task = loaded.task
    if task.OUTPUT_TYPE != "multiple_choice":
        return
    for number, doc in enumerate(loaded.docs):
        choices = task.doc_to_choice(doc)
        gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
        for one in gold if isinstance(gold, list) else [gold]:
            if isinstance(one, int) and not 0 <= one < len(choices):
                yield Found(f"doc {number}: target {one} is none of {len(choices)} choices", "doc_to_target")
                return
            if isinstance(one, str) and one not in choices and task.config.process_results is None:
                yield Found(f"doc {number}: target {one[:60]!r} is none of the choices", "doc_to_target")
                return


@check(
    "file",
    why="the model reads docs that it is asked, perhaps the asked one with its answer: the score is no few-shot score.",
    mend="Name another split as fewshot_split, or set num_fewshot: 0.",
)
def few_shot_from_evaluated_split(file: TaskFile) -> Iterator[Found]:
    """Few-shot examples come from another split than the docs that are evaluated.

    Without ``fewshot_split`` lm-eval takes training, then validation, then test docs. It leaves the asked doc out of
    the examples only where ``fewshot_split`` and ``test_split`` are equal, both absent included.
    """
    evaluated, config = split_evaluated(file), file.config
    shots = config.get("num_fewshot")
    rolling = config.get("output_type") == "loglikelihood_rolling"
    if not evaluated or file.is_group or shots == 0 or rolling or split_of_examples(file) != evaluated:
        return
    named = (config.get("fewshot_config") or {}).get("split") or config.get("fewshot_split")
    key = "fewshot_split" if named else "num_fewshot" if shots else "test_split"
    left_out = named == config.get("test_split")
    if shots:
        own = "" if left_out else "; the asked doc may stand among its own examples"
        yield Found(f"{shots} examples are drawn from {evaluated!r}, which is evaluated{own}", key)
    elif not left_out:
        what = f"with --num_fewshot examples are drawn from {evaluated!r}, which is evaluated, the asked doc too"
        yield Found(what, key)


@check(
    "task",
    why="a model that was shown or trained on the one knows the answer to the other.",
    mend="Drop the doubles from the split that is not evaluated, and say so in the card.",
)
def duplicates_between_splits(loaded: Loaded) -> Iterator[Found]:
    """No doc is also among the training docs or examples, not even with its options in another order."""
    task = loaded.task
    if loaded.given:
        return
    evaluated = {key: number for number, key in enumerate(_keys(loaded, task.eval_docs))}
    config = task.config
    splits: dict[str, Any] = {}
    if config.training_split and config.training_split != loaded.evaluated:
        splits[config.training_split] = task.training_docs()
    if config.validation_split and config.validation_split != loaded.evaluated:
        splits[config.validation_split] = task.validation_docs()
    if loaded.examples not in ("", loaded.evaluated):
        splits[loaded.examples] = task.fewshot_docs()
    for name, docs in splits.items():
        shared = [(evaluated[key], number) for number, key in enumerate(_keys(loaded, docs)) if key in evaluated]
        if shared:
            (first, other), count = shared[0], len(shared)
            what = (
                f"{count} docs of {name!r} are also in {loaded.evaluated!r}, such as doc {other} there and {first} here"
            )
            yield Found(what, "test_split")


def _keys(loaded: Loaded, docs: Any) -> Iterator[tuple[str, ...]]:
    """For each doc what is asked, as lines and choices in an order that does not depend on theirs."""
    for doc in islice(docs, _AT_MOST):
        yield question_key(loaded.task, doc)


def question_key(task: Any, doc: Doc) -> tuple[str, ...]:
    """The pieces of a question, sorted: equal for two docs whose options are merely permuted."""
    text = task.doc_to_text(doc)
    pieces = (
        [] if isinstance(text, int) else [piece for line in str(text).splitlines() for piece in _OPTION.split(line)]
    )
    pieces += _later_turns(task, doc)
    if task.config.doc_to_choice is not None:
        pieces += list(map(str, task.doc_to_choice(doc)))
    return tuple(sorted(filter(None, (" ".join(piece.casefold().split()) for piece in pieces))))


def _later_turns(task: Any, doc: Doc) -> tuple[str, ...]:
    """What a dialogue asks after its first turn, which alone stands in the prompt."""
    return tuple(map(str, doc["turns"][1:])) if has_dialogues(task) else ()


@check(
    "task",
    why="the same question counts twice, and an interval over docs is too narrow.",
    mend="Drop the double, or say in the card that the source has it.",
)
def asked_twice(loaded: Loaded) -> Iterator[Found]:
    """No two of the first docs ask exactly the same."""
    pairs = zip(loaded.docs, loaded.requests, strict=True)
    asked = [(_later_turns(loaded.task, doc), *(str(one.args) for one in requests)) for doc, requests in pairs]
    counts = Counter(asked)
    twice = [number for number, one in enumerate(asked) if counts[one] > 1]
    if twice:
        yield Found(f"docs {', '.join(map(str, twice))} ask exactly the same", "doc_to_text")
