"""From an answer to the values that are aggregated over docs: one function a form of answer, called by lm-eval.

Every function returns the metrics of the doc's part, ``ei_score`` (the item or value of the first of them) and a
failure flag; what an item looks like is said in :mod:`harness_ext.scoring.classification`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring import affect
from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.classification import decisions, jaccard
from harness_ext.scoring.generation import first_line, rouge_l, superni_exact, superni_rouge
from harness_ext.scoring.options import likeliest
from harness_ext.scoring.spans import exact, token_f1
from harness_ext.tasks.eibench.parts import Part
from harness_ext.tasks.eibench.readers import part_of

Doc = Mapping[str, Any]
Values = dict[str, Any]
Likelihoods = Sequence[tuple[float, bool]]


def _report(part: Part, values: Mapping[str, Any]) -> Values:
    """The part's metrics out of all values that its form of answer allows, the first one also as ``ei_score``."""
    return {"ei_score": values[part.metrics[0]]} | {name: values[name] for name in part.metrics}


def _text_report(doc: Doc, response: str, values: Mapping[str, Any], **flag: bool) -> Values:
    """The report on a text answer: also a flag, and the first line against the gold answer as SuperNI compares them."""
    line, gold = first_line(response), [doc["meta"]["answer"]]
    text_to_text = {"t2t_em": superni_exact(line, gold), "t2t_rougeL": superni_rouge(line, gold)}
    return _report(part_of(doc["task"]), values) | {name: float(failed) for name, failed in flag.items()} | text_to_text


def _set_values(gold: Sequence[int], predicted: Sequence[int], labels: int) -> Values:
    """Every corpus metric of label items; a single label is a set of one, an unreadable answer the empty set."""
    names = ("macro_f1", "weighted_f1", "macro_recall", "micro_f1", "micro_f1_excl", "f1_irony")
    return dict.fromkeys(names, (list(gold), list(predicted), labels))


def _label_values(labels: Sequence[str], gold: str, predicted: str) -> Values:
    true, chosen = ([i for i, label in enumerate(labels) if label == name] for name in (gold, predicted))
    decision = decisions({1} if gold == "yes" else (), {1} if predicted == "yes" else (), (1,))
    values: Values = {"acc": 100.0 * (predicted == gold), "pos_f1": decision}
    return values | _set_values(true, chosen, len(labels))


@of_answer
def label(doc: Doc, results: Sequence[str]) -> Values:
    """One label as text."""
    part, response = part_of(doc["task"]), results[0]
    predicted = affect.parse_label(response, part.labels, part.words(doc["meta"]["aliases"]))
    values = _label_values(part.labels, doc["gold"], predicted)
    return _text_report(doc, response, values, invalid=predicted == affect.INVALID)


def label_ll(doc: Doc, results: Likelihoods) -> Values:
    """One label or option letter by the likelihood of each."""
    part, labels = part_of(doc["task"]), doc["labels"]
    lengths = [len(part.show(name)) for name in labels]
    best, best_by_length = labels[likeliest(results)], labels[likeliest(results, lengths)]
    values = _report(part, _label_values(labels, doc["gold"], best))
    return values | {"acc_norm": 100.0 * (best_by_length == doc["gold"])}


@of_answer
def label_set(doc: Doc, results: Sequence[str]) -> Values:
    """A set of labels as text."""
    part, response = part_of(doc["task"]), results[0]
    predicted, failed = affect.parse_label_set(response, part.labels, part.words(doc["meta"]["aliases"]))
    gold, chosen = ([part.labels.index(name) for name in names] for names in (doc["gold"], predicted))
    values: Values = {"jaccard": jaccard(gold, chosen)} | _set_values(gold, chosen, len(part.labels))
    return _text_report(doc, response, values, parse_failure=failed)


@of_answer
def real(doc: Doc, results: Sequence[str]) -> Values:
    """A number between 0 and 1."""
    predicted, failed = affect.parse_real(results[0])
    values = dict.fromkeys(("pearson", "spearman", "mae"), (doc["gold"], predicted))
    return _text_report(doc, results[0], values, parse_failure=failed)


@of_answer
def utterances(doc: Doc, results: Sequence[str]) -> Values:
    """A list of utterance numbers; every utterance up to the target is one yes/no decision."""
    n = doc["meta"]["utterances"]
    predicted, failed = affect.parse_utterances(results[0], n)
    item = decisions(doc["gold"], predicted, range(1, n + 1))
    return _text_report(doc, results[0], dict.fromkeys(("pos_f1", "neg_f1", "macro_f1"), item), parse_failure=failed)


@of_answer
def options(doc: Doc, results: Sequence[str]) -> Values:
    """A set of options, which the model sees numbered from 1 and the data counts from 0."""
    n = doc["meta"]["options"]
    numbers, failed = affect.parse_utterances(results[0], n)
    predicted = {number - 1 for number in numbers}
    values: Values = {
        "exact_set": 100.0 * (predicted == set(doc["gold"])),
        "macro_f1": decisions(doc["gold"], predicted, range(n)),
    }
    return _text_report(doc, results[0], values, parse_failure=failed)


@of_answer
def pairs(doc: Doc, results: Sequence[str]) -> Values:
    """Pairs of an emotional utterance and a cause."""
    found, failed = affect.parse_pairs(results[0], doc["meta"]["utterances"])
    gold, predicted = {tuple(pair) for pair in doc["gold"]}, set(found)
    item = (len(gold & predicted), len(predicted - gold), len(gold - predicted))
    return _text_report(doc, results[0], dict.fromkeys(("pair_f1", "precision", "recall"), item), parse_failure=failed)


@of_answer
def span(doc: Doc, results: Sequence[str]) -> Values:
    """A stretch of text; only the first line of the answer counts."""
    predicted = first_line(results[0])
    values = {"f1": token_f1(doc["gold"], predicted), "exact": exact(doc["gold"], predicted)}
    return _text_report(doc, results[0], values, parse_failure=not predicted)


@of_answer
def letters(doc: Doc, results: Sequence[str]) -> Values:
    """Option letters in a JSON answer; with two questions both must be right."""
    meta = doc["meta"]
    predicted = affect.parse_option_json(results[0], meta["keys"], meta["options"])
    right = [100.0 * (letter == gold) for letter, gold in zip(predicted, doc["gold"], strict=True)]
    values = {"acc": min(right), "joint": min(right), "emotion": right[0], "cause": right[-1]}
    return _text_report(doc, results[0], values, invalid=affect.INVALID in predicted)


def yes_no_ll(doc: Doc, results: Likelihoods) -> Values:
    """One candidate of a doc by the likelihood of no and yes."""
    part, number = part_of(doc["task"]), doc["meta"]["candidate"]
    gold, (no, yes) = bool(doc["gold"][0]), (likelihood for likelihood, _ in results)
    chosen = yes > no
    decision = decisions({number} if gold else (), {number} if chosen else (), (number,))
    values: Values = dict.fromkeys(("pos_f1", "neg_f1", "macro_f1"), decision)
    if part.labels:
        values |= _set_values([number] if gold else [], [number] if chosen else [], len(part.labels))
    values |= dict.fromkeys(("jaccard", "exact_set"), (doc["meta"]["of"], number, gold, chosen))
    return _report(part, values) | {"decision_acc": 100.0 * (chosen == gold)}


@of_answer
def reply(doc: Doc, results: Sequence[str]) -> Values:
    """A free reply against the reply in the corpus; blanks at the ends do not count."""
    response, reference = results[0].strip(), doc["refs"][0]
    values: Values = {"rougeL": rouge_l(response, reference)}
    values |= dict.fromkeys(("bleu_13a", "bleu_none"), (response, reference)) | dict.fromkeys(
        ("dist_1", "dist_2"), response
    )
    return _text_report(doc, response, values, parse_failure=not response)


def reply_ll(doc: Doc, results: Likelihoods) -> Values:
    """The likelihood of the reply in the corpus, for its perplexity a word and a byte."""
    likelihood, text = results[0][0], doc["target"]
    return {
        "gold_word_ppl": (likelihood, len(text.split())),
        "gold_byte_ppl": (likelihood, len(text.encode("utf-8"))),
    }
