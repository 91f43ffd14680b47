"""From an answer to the values that are aggregated over docs, called by lm-eval.

Three outcomes are kept apart: an answer, a refusal (by the string rule ``trait_refusal``), and one that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from harness_ext.scoring import probes, vqa
from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.generation import rouge_l
from harness_ext.scoring.labels import parse_letter
from harness_ext.scoring.options import likeliest
from harness_ext.scoring.refusal_rules import classify

Doc = Mapping[str, Any]
Values = dict[str, float]


def _refuses(answer: str) -> bool:
    return classify(answer, "trait_refusal") == "refusal"


def _unread(answer: str, *, read: bool) -> Values:
    """Refused or unparsed, of an answer in which nothing was found; neither, of one in which something was."""
    refused = not read and _refuses(answer)
    return {"refused": float(refused), "parse_failure": float(not read and not refused)}


@of_answer
def short_answer(doc: Doc, results: Sequence[str]) -> Values:
    """A word or a few; the letter of an option where the doc has options."""
    (answer,) = results
    if doc.get("options"):
        letter = parse_letter(answer, doc["letters"])
        right = float(letter == doc["answer"])
        return {"contains": right, "exact_match": right, "vqa_soft": right} | _unread(answer, read=letter is not None)
    golds = doc["answers"]
    return {
        "contains": float(any(vqa.contains(gold, answer) for gold in golds)),
        "exact_match": float(any(vqa.exact_match(gold, answer) for gold in golds)),
        "vqa_soft": _soft(golds, answer),
    } | _unread(answer, read=bool(answer.strip()) and not _refuses(answer))


def _soft(golds: Sequence[str], answer: str) -> float:
    """VQA's score where ten people answered; equality with any where fewer did."""
    return vqa.soft(golds, answer) if len(golds) > 3 else float(any(vqa.exact_match(gold, answer) for gold in golds))


@of_answer
def caption(doc: Doc, results: Sequence[str]) -> Values:
    """A description: share of the keywords that it holds, and ROUGE-L F1 with the best reference."""
    (answer,) = results
    keywords, references = doc["keywords"] or [], doc["references"] or []
    return {
        "keyword_recall": sum(vqa.contains(word, answer) for word in keywords) / len(keywords) if keywords else nan,
        "rouge_l": max(rouge_l(answer, reference) for reference in references) / 100 if references else nan,
    } | _unread(answer, read=bool(answer.strip()) and not _refuses(answer))


@of_answer
def letter(doc: Doc, results: Sequence[str]) -> Values:
    """The letter of an option."""
    (answer,) = results
    chosen = parse_letter(answer, doc["letters"])
    return {"acc": float(chosen == doc["answer"])} | _unread(answer, read=chosen is not None)


def letter_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """The likeliest option."""
    return {"acc": float(doc["letters"][likeliest(results)] == doc["answer"])}


@of_answer
def refusal(doc: Doc, results: Sequence[str]) -> Values:
    """Whether a question about people is refused; what was answered is scored where it is not."""
    (answer,) = results
    refused, empty = _refuses(answer), not answer.strip()
    right = float(any(vqa.contains(gold, answer) for gold in doc["answers"]))
    return {
        "refused": float(refused),
        "acc_answered": nan if refused else right,
        "parse_failure": float(empty),
    }


@of_answer
def zh_char(doc: Doc, results: Sequence[str]) -> Values:
    """One Chinese character."""
    right = probes.zh_char(doc["gold"], results[0])
    return {"acc": float(bool(right)), "parse_failure": float(right is None)}


@of_answer
def zh_text(doc: Doc, results: Sequence[str]) -> Values:
    """Chinese text that is copied."""
    (answer,) = results
    score = probes.text_score(doc["gold"], answer)
    return {"text_score": score, "exact": float(score == 1.0), "parse_failure": float(not answer.strip())}


@of_answer
def math(doc: Doc, results: Sequence[str]) -> Values:
    """The value of the last line, and the values of the icons that are stated."""
    (answer,) = results
    number, values = probes.last_number(answer), {pair["name"]: pair["value"] for pair in doc["values"]}
    stated = probes.stated_values(answer, values)
    return {
        "acc": float(number == doc["answer"]),
        "values_acc": sum(stated.get(name) == value for name, value in values.items()) / len(values) if stated else nan,
        "parse_failure": float(number is None),
    }


@of_answer
def spot(doc: Doc, results: Sequence[str]) -> Values:
    """The cells that are named, corrected for chance, and the changes that are told."""
    (answer,) = results
    regions, named = doc["regions"], probes.cells(answer)
    found = probes.spot(regions, named)
    return {
        "cell_adj": found.cell_adj,
        "cell_f1": found.cell_f1,
        "full_credit": probes.full_credit(regions, answer),
        "parse_failure": float(not named),
    }


@of_answer
def drawguess(doc: Doc, results: Sequence[str]) -> Values:
    """The word that a drawing stands for."""
    (answer,) = results
    return {
        "acc": float(probes.guessed(doc["accept"], doc["reject"] or (), answer)),
        "parse_failure": float(not answer.strip()),
    }


@of_answer
def thermal(doc: Doc, results: Sequence[str]) -> Values:
    """How many people a camera sees, and where."""
    (answer,) = results
    count, said = probes.people(answer), probes.places(answer)
    same = probes.position_f1(doc["positions"], said)
    return {
        "solved": float(count == doc["count"] and same == 1.0),
        "count_em": float(count == doc["count"]),
        "position_f1": same,
    } | _unread(answer, read=count is not None)


@of_answer
def match(doc: Doc, results: Sequence[str]) -> Values:
    """Which label belongs to which picture."""
    (answer,) = results
    said = probes.pairs(answer, doc["labels"])
    right = [said.get(number) == sound for number, sound in enumerate(doc["sounds"], start=1)]
    return {"pair_acc": sum(right) / len(right), "all_right": float(all(right))} | _unread(answer, read=bool(said))
