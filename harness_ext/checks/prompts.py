"""What the model reads: no answer given away, no space that splits a word's token, choices that differ."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError, meta

from harness_ext.checks.findings import Found, check
from harness_ext.checks.loading import Loaded

_MOSTLY = 0.9
"""Share of docs from which something is a property of the task and no accident of a doc."""


@check(
    "task",
    why="a tokenizer splits an answer after two spaces into other tokens than a model has learnt.",
    mend="End the prompt without a space; target_delimiter adds it.",
)
def space_before_target(loaded: Loaded) -> Iterator[Found]:
    """A prompt does not end in the space that the delimiter adds, and a choice does not begin with it."""
    delimiter = loaded.task.config.target_delimiter
    if not delimiter.isspace() or loaded.task.multiple_input:
        return
    for number, text in enumerate(loaded.questions):
        if text and text[-1].isspace():
            yield Found(
                f"doc {number}: the prompt ends in {text[-1]!r}, and target_delimiter adds {delimiter!r}", "doc_to_text"
            )
            break
    if loaded.task.OUTPUT_TYPE == "multiple_choice":
        for number, doc in enumerate(loaded.docs):
            for choice in loaded.task.doc_to_choice(doc):
                if choice[:1].isspace():
                    what = f"doc {number}: choice {choice[:40]!r} begins with a space, and target_delimiter adds one"
                    yield Found(what, "doc_to_choice")
                    return


@check(
    "task",
    why="the model is asked nothing.",
    mend="Correct doc_to_text: its fields are empty in these docs.",
)
def empty_prompt(loaded: Loaded) -> Iterator[Found]:
    """Every doc that is answered with text asks something."""
    if loaded.task.OUTPUT_TYPE == "generate_until":
        empty = [number for number, text in enumerate(loaded.questions) if not text.strip()]
        if empty:
            yield Found(f"the prompts of docs {', '.join(map(str, empty))} are empty", "doc_to_text")


@check(
    "task",
    why="likelihoods cannot tell equal choices apart, and the first of them is always taken.",
    mend="Give every choice of a doc a text of its own.",
)
def choices_alike(loaded: Loaded) -> Iterator[Found]:
    """A doc has several choices, all different."""
    if loaded.task.OUTPUT_TYPE != "multiple_choice":
        return
    for number, doc in enumerate(loaded.docs):
        choices = list(map(str, loaded.task.doc_to_choice(doc)))
        if len(choices) < 2:
            yield Found(f"doc {number} has {len(choices)} choices", "doc_to_choice")
            return
        if len(set(choices)) < len(choices):
            twice = next(choice for choice in choices if choices.count(choice) > 1)
            yield Found(f"doc {number} has the choice {twice[:60]!r} twice", "doc_to_choice")
            return


@check(
    "task",
    why="the model only has to repeat what it reads.",
    mend="Take the field of the answer out of doc_to_text.",
)
def gold_in_prompt(loaded: Loaded) -> Iterator[Found]:
    """The prompt of a doc does not hand its own gold answer over."""
    if loaded.task.multiple_input or len(set(filter(None, loaded.targets))) < 2:
        return
    pairs = [
        (text.strip(), gold.strip())
        for text, gold in zip(loaded.questions, loaded.targets, strict=True)
        if gold.strip()
    ]
    at_the_end = [_ends_with(text, gold) for text, gold in pairs]
    if sum(at_the_end) >= _MOSTLY * len(pairs):
        yield Found(f"{sum(at_the_end)} of {len(pairs)} prompts end with their own gold answer", "doc_to_text")
        return
    shared = _fields(loaded.task.config.doc_to_target, loaded)
    if shared and shared <= _fields(loaded.task.config.doc_to_text, loaded):
        inside = sum(re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", text) is not None for text, gold in pairs)
        if inside >= _MOSTLY * len(pairs):
            names = ", ".join(sorted(shared))
            what = f"doc_to_target shows {names}, and so does doc_to_text: {inside} of {len(pairs)} prompts have it"
            yield Found(what, "doc_to_text")


def _ends_with(text: str, gold: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(gold)}\W*\Z", text) is not None


def _fields(template: object, loaded: Loaded) -> set[str]:
    """The doc's fields that a template shows; empty for a function."""
    if not isinstance(template, str):
        return set()
    if template in loaded.task.features:
        return {template}
    try:
        return meta.find_undeclared_variables(Environment(autoescape=True).parse(template))
    except TemplateSyntaxError:
        return set()
