"""No text makes a parser slow: four times the text takes about four times as long, whatever it consists of."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator

import pytest

from harness_ext import scoring
from harness_ext.scoring import (
    affect,
    answers,
    class_soft_labels,
    emobench,
    english_refusals,
    eqbench,
    fidelity,
    generation,
    labels,
    lid,
    probes,
    refusal_rules,
    seceu,
    soft_label_parsers,
    spans,
    tombench,
    unlearning,
    verdict_parsers,
    vqa,
)

DETECTOR = lid.Detector(lambda text: lid.Identified("en", 0.0), "none")
"""Tells nothing apart: detectors are others' work."""
LABELS = ("joy", "no emotion", "anger")
READ: dict[str, Callable[[str], object]] = {
    "affect.norm": affect.norm,
    "affect.fenced": affect.fenced,
    "affect.first_line": affect.first_line,
    "affect.parse_label": lambda text: affect.parse_label(text, LABELS, {"glad": "joy"}),
    "affect.parse_label_set": lambda text: affect.parse_label_set(text, LABELS),
    "affect.parse_real": affect.parse_real,
    "affect.parse_utterances": lambda text: affect.parse_utterances(text, 30),
    "affect.parse_pairs": lambda text: affect.parse_pairs(text, 30),
    "affect.parse_option": lambda text: affect.parse_option(text, 4),
    "affect.parse_option_json": lambda text: affect.parse_option_json(text, ["a", "b"], [4, 4]),
    "answers.answer_of": answers.answer_of,
    "answers.plain": answers.plain,
    "answers.plain_scores": answers.plain_scores,
    "class_soft_labels.parse_distribution": lambda text: class_soft_labels.parse_distribution(text, LABELS),
    "emobench.compat_letters": lambda text: emobench.compat_letters(text, ["a"]),
    "english_refusals.plain": english_refusals.plain,
    "eqbench.sections": lambda text: [eqbench.sections(text, language) for language in ("en", "de")],
    "eqbench.parse_scores": lambda text: [
        eqbench.parse_scores(text, ["Joy", "No Emotion"], mode) for mode in ("strict", "compat")
    ],
    "eqbench.score_answer": lambda text: eqbench.score_answer(text, {"Joy": 3.0, "Anger": 1.0}),
    "fidelity.fidelity_of": lambda text: fidelity.fidelity_of(text, "en", "letters"),
    "generation.first_line": generation.first_line,
    "generation.normalise_superni": generation.normalise_superni,
    "labels.parse_letter": lambda text: labels.parse_letter(text, "ABCDEFGHIJ"),
    "probes.last_number": probes.last_number,
    "probes.stated_values": lambda text: probes.stated_values(text, ["star", "A"]),
    "probes.cells": probes.cells,
    "probes.full_credit": lambda text: probes.full_credit(
        [{"cell": "A1", "cells": ["A1"], "left": "red star", "right": None}], text
    ),
    "probes.claimed_character": probes.claimed_character,
    "probes.zh_char": lambda text: probes.zh_char("水", text),
    "probes.cer": lambda text: probes.cer("1. 水的沸点是多少", text),
    "probes.text_score": lambda text: probes.text_score("水的沸点", text),
    "probes.places": probes.places,
    "probes.people": probes.people,
    "probes.pairs": lambda text: probes.pairs(text, ["dog", "siren"]),
    "probes.guessed": lambda text: probes.guessed(["claw machine", "雪"], ["washing machine"], text),
    "lid.by_script": lid.by_script,
    "lid.cleaned": lid.cleaned,
    "lid.identify": lambda text: lid.identify(text, DETECTOR),
    "lid.language_of_answer": lambda text: lid.language_of_answer(text, DETECTOR),
    "lid.parts": lid.parts,
    "refusal_rules.classify": lambda text: [refusal_rules.classify(text, rule) for rule in refusal_rules.RULES],
    "seceu.parse_points": lambda text: seceu.parse_points(text, ["Joy", "Anger", "No emotion", "Love"]),
    "soft_label_parsers.parse_score": lambda text: [
        soft_label_parsers.parse_score(text, mode, which)
        for mode in ("compat", "strict")
        for which in ("first", "last")
    ],
    "soft_label_parsers.parse_choice": lambda text: [
        soft_label_parsers.parse_choice(text, "E/I", mode) for mode in ("compat", "strict")
    ],
    "soft_label_parsers.parse_stress": lambda text: [
        soft_label_parsers.parse_stress(text, mode) for mode in ("compat", "strict")
    ],
    "spans.normalise_span": spans.normalise_span,
    "tombench.compat_parse": tombench.compat_parse,
    "unlearning.first_answer": unlearning.first_answer,
    "vqa.normalise": vqa.normalise,
    "vqa.exact_match": lambda text: vqa.exact_match("a red star", text),
    "vqa.contains": lambda text: vqa.contains("a red star", text),
    "vqa.soft": lambda text: vqa.soft(["star"] * 10, text),
    **{
        f"verdict_parsers.parse_verdict {name}": lambda text, name=name: verdict_parsers.parse_verdict(name, text)
        for name in verdict_parsers.PARSERS
    },
}
"""Every function that reads what a model wrote, and how it is called."""
NO_ANSWER = {"hypothesis", "prediction"}
"""First arguments of functions that compare texts: ``rouge_pair`` and the like."""

UNITS = (
    *(" ", "\t", "\n", " \n", "\u3000", "a", "y", "A", "Z", "1", "9", "０", "_", "-", "- ", "*", "* ", "(", ")", "["),
    *("]", "{", "}", "<", "[[", "(1", "( ", "[ ", '"', "'", "`", "```", "```json ", '{"a":', '{"a": "', '{"', "\\_"),
    *("__", "|", "| ", ":", ": ", "：", ".", ". ", "1.", "1. ", ".1", "1 ", "1,", "1-", "1 - ", "(1, ", "1.b ", "1_"),
    *("3%", "A ", "A. ", "a b ", "Answer", "Answer: ", "the answer is ", "option ", "choice: ", "grade: ", "refused "),
    *("refused: 1 ", "Total: ", "joy ", "no ", "Joy: ", "Joy: 3 ", "Joy|", "Critique ", "Revised scores ", "is"),
    *("[RESULT] ", "#scores\n", "unsafe ", "<think>", "<think>\n", "</think>", "<|channel|>", "<|channel|>final"),
    *("analysis", "sorry ", "I cannot ", "答案"),
    *("Joy - ", "joy -", "<b>", "<br ", "<think ", "<think a", "【思考】", "->"),
)  # fmt: skip
FORMS = ("{run}", "The answer{run}", "{run}x", "1{run}!")
SIZES = 4_000, 16_000
QUICK = 0.004
"""Seconds in which even the longer text is read: too short for a ratio, and for anything but a linear search."""
LARGEST_RATIO = 8.0
"""Between 4, which is linear, and 16, which is quadratic."""
TRIES = 4


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lid.DETECTORS, "letters", lambda: DETECTOR)  # type: ignore[arg-type]


def seconds(read: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    read(text)
    return time.process_time() - start


def grows(read: Callable[[str], object], form: str, unit: str, sizes: tuple[int, int] = SIZES) -> bool:
    """Whether the longer text takes clearly more than four times as long, at every try."""
    short, long = (form.format(run=unit * (size // len(unit))) for size in sizes)
    for _ in range(TRIES):
        slow = seconds(read, long)
        if slow < QUICK or slow < LARGEST_RATIO * seconds(read, short):
            return False
    return True


def test_every_function_that_reads_an_answer_is_tried() -> None:
    def found() -> Iterator[str]:
        for module in pkgutil.iter_modules(scoring.__path__):
            content = importlib.import_module(f"{scoring.__name__}.{module.name}")
            for name, function in inspect.getmembers(content, inspect.isfunction):
                if function.__module__ == content.__name__ and not name.startswith("_"):
                    parameters = {name: one.annotation for name, one in inspect.signature(function).parameters.items()}
                    reads = next(iter(parameters), "") in ("text", "response") or parameters.get("answer") == "str"
                    if reads or (name.startswith("parse_") and name != "parse_verdict"):
                        yield f"{module.name}.{name}"

    tried = {name.partition(" ")[0] for name in READ}
    assert set(found()) <= tried
    assert tried - set(found()) == {"verdict_parsers.parse_verdict"}


@pytest.mark.parametrize("name", READ)
def test_four_times_the_text_takes_about_four_times_as_long(name: str) -> None:
    slow = ((form, unit) for unit in UNITS for form in FORMS if grows(READ[name], form, unit))
    assert next(slow, None) is None  # finding all that are slow would take minutes


@pytest.mark.parametrize(
    ("pattern", "unit"), [(r"answer\s*:?\s*[A-D]", " "), (r"(\w+):\s+(\d+)", "a"), (r"[^\n]*\S[^\n]*", " ")]
)
def test_a_quadratic_search_is_noticed(pattern: str, unit: str) -> None:
    search = re.compile(pattern).search
    assert any(grows(search, form, unit, (1_000, 4_000)) for form in ("answer{run}", "{run}"))
