"""From an answer to the values that are aggregated over docs: one function a form of answer, called by lm-eval.

Every function returns the metrics of the doc's part, ``ei_score`` (the item or value of the first of them) and a
failure flag; what an item looks like is said in :mod:`harness_ext.scoring.classification`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness_ext.scoring import affect
from harness_ext.scoring.classification import decisions
from harness_ext.scoring.generation import first_line, rouge_l, superni_exact, superni_rouge
from harness_ext.tasks.eibench.parts import Part
from harness_ext.tasks.eibench.readers import part_of

Doc = Mapping[str, Any]
Values = dict[str, Any]


def _report(part: Part, values: Mapping[str, Any]) -> Values:
    """The part's metrics out of all values that its form of answer allows, the first one also as ``ei_score``."""
    return {"ei_score": values[part.metrics[0]]} | {name: values[name] for name in part.metrics}


def _text_to_text(doc: Doc, response: str) -> Values:
    """The uniform text-to-text metrics: the first line of the answer against the gold answer in words."""
    line, gold = first_line(response), [doc["meta"]["answer"]]
    return {"t2t_em": superni_exact(line, gold), "t2t_rougeL": superni_rouge(line, gold)}


def _label_values(labels: Sequence[str], gold: str, predicted: str) -> Values:
    number = list(labels).index
    item = ([number(gold)], [number(predicted)] if predicted in labels else [], len(labels))
    names = ("macro_f1", "weighted_f1", "macro_recall", "micro_f1_excl", "f1_irony")
    return {"acc": 100.0 * (predicted == gold)} | dict.fromkeys(names, item)


def label(doc: Doc, results: Sequence[str]) -> Values:
    """One label as text."""
    part, response = part_of(doc["task"]), results[0]
    predicted = affect.parse_label(response, part.labels, part.words(doc["meta"]["aliases"]))
    values = _report(part, _label_values(part.labels, doc["gold"], predicted))
    return values | {"invalid": float(predicted == affect.INVALID)} | _text_to_text(doc, response)


def label_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """One label by the likelihood of each."""
    part = part_of(doc["task"])
    likelihoods = np.array([likelihood for likelihood, _ in results])
    lengths = np.array([len(part.show(name)) for name in part.labels])
    best, best_by_length = (part.labels[int(np.argmax(by))] for by in (likelihoods, likelihoods / lengths))
    values = _report(part, _label_values(part.labels, doc["gold"], best))
    return values | {"acc_norm": 100.0 * (best_by_length == doc["gold"])}


def utterances(doc: Doc, results: Sequence[str]) -> Values:
    """A list of utterance numbers; every utterance up to the target is one yes/no decision."""
    part, response, n = part_of(doc["task"]), results[0], doc["meta"]["utterances"]
    predicted, failed = affect.parse_utterances(response, n)
    item = decisions(doc["gold"], predicted, range(1, n + 1))
    values = _report(part, dict.fromkeys(("pos_f1", "neg_f1", "macro_f1"), item))
    return values | {"parse_failure": float(failed)} | _text_to_text(doc, response)


def yes_no_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """One candidate of a doc by the likelihood of no and yes."""
    part = part_of(doc["task"])
    gold, (no, yes) = bool(doc["gold"][0]), (likelihood for likelihood, _ in results)
    chosen = yes > no
    item = decisions({1} if gold else set(), {1} if chosen else set(), (1,))
    return _report(part, dict.fromkeys(("pos_f1", "neg_f1", "macro_f1"), item)) | {
        "decision_acc": 100.0 * (chosen == gold)
    }


def reply(doc: Doc, results: Sequence[str]) -> Values:
    """A free reply against the reply in the corpus; blanks at the ends do not count."""
    part, response, reference = part_of(doc["task"]), results[0].strip(), doc["refs"][0]
    values = {
        "rougeL": rouge_l(response, reference),
        "bleu_13a": (response, reference),
        "bleu_none": (response, reference),
        "dist_1": response,
        "dist_2": response,
    }
    return _report(part, values) | {"parse_failure": float(not response)} | _text_to_text(doc, response)


def reply_ll(doc: Doc, results: Sequence[tuple[float, bool]]) -> Values:
    """The likelihood of the reply in the corpus, for its perplexity a word and a byte."""
    likelihood, text = results[0][0], doc["target"]
    return {
        "gold_word_ppl": (likelihood, len(text.split())),
        "gold_byte_ppl": (likelihood, len(text.encode("utf-8"))),
    }
