"""From a model's answers to metric values: the ``process_results`` functions of the task files.

Each returns every metric key for every doc. Soft values are ``(y, p)`` or, where failures count, ``(y, p, failed)``:
gold and predicted soft label in [0, 1], 0 = first pole; an answer that cannot be parsed has p = 0.5 and
``parse_failure`` 1. Out-of-range answers keep their p (the released metrics do); the aggregations clip where they must.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from harness_ext.scoring import soft_labels
from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.em import vote_codes
from harness_ext.scoring.resampled import CorpusMetric, Resampled, over_docs
from harness_ext.scoring.soft_labels import (
    expected_score,
    flip,
    ordinal_w1,
    parse_choice,
    parse_score,
    parse_stress,
    pool4,
    psycot_ll,
)

Doc = Mapping[str, Any]
Likelihoods = Sequence[tuple[float, bool]]

PAIR_METRICS = (
    "s_rmse", "s_mae", "s_rmse_9", "s_mae_9", "rmse", "mae", "bias", "spearman", "ccc", "w1_marginal",
    "polarisation_gap", "acc", "out_of_range", "tie_share",
)  # fmt: skip
"""Leaf metrics whose value for a doc is ``(y, p)``."""
FAILURE_METRICS = ("s_rmse_parsed", "s_rmse_worst")
"""Leaf metrics whose value for a doc is ``(y, p, failed)``."""


def _soft(y: float, p: float | None) -> dict[str, Any]:
    failed = p is None
    pair = (y, 0.5 if p is None else p)
    return {
        **dict.fromkeys(PAIR_METRICS, pair),
        **dict.fromkeys(FAILURE_METRICS, (*pair, failed)),
        "parse_failure": float(failed),
    }


def _generated(doc: Doc, text: str, which: Literal["first", "last"]) -> dict[str, Any]:
    p = parse_score(text, "compat", which)
    return _soft(doc["soft"], p if p is None or not doc["swapped"] else flip(p))


@of_answer
def first_score(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Values of an answer that is a score, the first ``[[x]]`` as in the paper.

    >>> doc = {"soft": 0.25, "swapped": False}
    >>> first_score(doc, ["[[7]]"])["s_rmse"]
    (0.25, 0.75)
    >>> first_score(doc, ["no idea"])["s_rmse_worst"]
    (0.25, 0.5, True)
    """
    return _generated(doc, results[0], "first")


@of_answer
def last_score(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Values of an answer that reasons before it scores: the last ``[[x]]`` counts.

    >>> last_score({"soft": 0.25, "swapped": False}, ["Not [[9]], rather [[3]]."])["mae"]
    (0.25, 0.25)
    """
    return _generated(doc, results[0], "last")


@of_answer
def choice(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Values of an answer that is a choice, read strictly and as the released parser does (``*_compat``).

    >>> choice({"hard": "E", "dimension": "E/I"}, [" CHOICE: A"])
    {'acc': ('E', 'E'), 'f1': ('E', 'E'), 'parse_failure': 0.0,
     'acc_compat': ('E', None), 'f1_compat': ('E', None), 'parse_failure_compat': 1.0, 'reasoning_cut': 0.0}
    """
    strict = parse_choice(results[0], doc["dimension"], "strict")
    compat = parse_choice(results[0], doc["dimension"], "compat")
    return {
        **dict.fromkeys(("acc", "f1"), (doc["hard"], strict)),
        "parse_failure": float(strict is None),
        **dict.fromkeys(("acc_compat", "f1_compat"), (doc["hard"], compat)),
        "parse_failure_compat": float(compat is None),
    }


def score_likelihoods(doc: Doc, results: Likelihoods) -> dict[str, Any]:
    """Values of the log-likelihoods of "1" to "9": the expected score is the answer.

    ``ordinal_w1`` compares the distribution over scores, pooled to four options, with the three annotations.

    >>> doc = {"soft": 0.25, "swapped": True, "first": "E", "second": "I", "a1": "E+", "a2": "E+", "a3": "E+"}
    >>> values = score_likelihoods(doc, [(-50.0, False)] * 8 + [(0.0, True)])
    >>> round(values["mae"][1], 6), round(values["ordinal_w1"], 6)
    (0.0, 0.0)
    """
    likelihoods = np.array([likelihood for likelihood, _ in results])
    if doc["swapped"]:
        likelihoods = likelihoods[::-1]
    answer = expected_score(likelihoods)
    votes = vote_codes([[doc["a1"], doc["a2"], doc["a3"]]], doc["first"], doc["second"])[0]
    probabilities = np.exp(likelihoods - np.logaddexp.reduce(likelihoods))
    return {
        **_soft(doc["soft"], answer["p_soft"]),
        "ordinal_w1": ordinal_w1(pool4(probabilities), np.bincount(votes, minlength=4) / len(votes)),
        "entropy_nats": answer["entropy_nats"],
    }


def null_likelihoods(doc: Doc, results: Likelihoods) -> dict[str, float]:
    """The nine log-likelihoods themselves, and the score they amount to.

    >>> null_likelihoods({}, [(-1.0, False)] * 9)["expected_score"]
    5.0
    """
    values = [float(likelihood) for likelihood, _ in results]
    named = {f"ll_{score}": value for score, value in enumerate(values, start=1)}
    return {**named, "expected_score": expected_score(values)["expected_score"]}


def item_likelihoods(doc: Doc, results: Likelihoods) -> dict[str, Any]:
    """Values ``(id, y, p)`` of one questionnaire item; the aggregations average an author's items first.

    >>> doc = {"id": 1, "soft": 1.0, "second": "I", "keyed": ["A", "B"], "keyed_poles": ["E", "I"]}
    >>> item_likelihoods(doc, [(0.0, True)] * 3)["s_rmse"]
    (1, 1.0, 0.5)
    """
    item = {"option_to_pole": dict(zip(doc["keyed"], doc["keyed_poles"], strict=True))}
    p = psycot_ll([[likelihood for likelihood, _ in results]], [item], doc["second"])["p"]
    return {**dict.fromkeys(PAIR_METRICS, (doc["id"], doc["soft"], p)), "parse_failure": 0.0}


AuthorItem = tuple[int, float, float]


def _of_authors(metric: CorpusMetric[Sequence[float]]) -> CorpusMetric[AuthorItem]:
    """The metric of ``(id, y, p)`` items, of which an author has several: they are averaged first."""

    def build(authors: Sequence[Sequence[AuthorItem]]) -> Resampled:
        return metric.resampled([(items[0][1], float(np.mean([p for *_, p in items]))) for items in authors])

    return over_docs(build)


authors_s_rmse = _of_authors(soft_labels.agg_s_rmse)
authors_s_mae = _of_authors(soft_labels.agg_s_mae)
authors_s_rmse_9 = _of_authors(soft_labels.agg_s_rmse_9)
authors_s_mae_9 = _of_authors(soft_labels.agg_s_mae_9)
authors_rmse = _of_authors(soft_labels.agg_rmse)
authors_mae = _of_authors(soft_labels.agg_mae)
authors_bias = _of_authors(soft_labels.agg_bias)
authors_spearman = _of_authors(soft_labels.agg_spearman)
authors_ccc = _of_authors(soft_labels.agg_ccc)
authors_w1_marginal = _of_authors(soft_labels.agg_w1_marginal)
authors_polarisation_gap = _of_authors(soft_labels.agg_polarisation_gap)
authors_acc = _of_authors(soft_labels.agg_acc)
authors_out_of_range = _of_authors(soft_labels.agg_out_of_range)
authors_tie_share = _of_authors(soft_labels.agg_tie_share)


@of_answer
def stress(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Values of a yes/no answer, read strictly and as the released parser does (``*_compat``).

    >>> stress({"label": "yes"}, ["There is no doubt: [[yes]]"])
    {'acc': ('yes', 'yes'), 'f1': ('yes', 'yes'), 'invalid': 0.0,
     'acc_compat': ('yes', 'no'), 'f1_compat': ('yes', 'no'), 'reasoning_cut': 0.0}
    """
    strict, compat = parse_stress(results[0], "strict"), parse_stress(results[0], "compat")
    return {
        **dict.fromkeys(("acc", "f1"), (doc["label"], strict)),
        "invalid": float(strict is None),
        **dict.fromkeys(("acc_compat", "f1_compat"), (doc["label"], compat)),
    }


@of_answer
def personality(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Values of a score that has no gold label: p in [0, 1], NaN where it cannot be parsed.

    >>> personality({}, ["[[7]]"])["mean_score"]
    0.75
    """
    p = parse_score(results[0], "strict")
    described = ("mean_score", "extremity_pred", "extreme_share_pred", "share_5", "distinct_scores")
    return {
        **dict.fromkeys(described, float("nan") if p is None else p),
        "parse_failure": float(p is None),
        "out_of_range": float(p is not None and p != parse_score(results[0], "compat")),
    }
