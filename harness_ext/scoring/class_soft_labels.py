"""Soft labels over several classes: how far a predicted distribution is from that of the annotators.

An item is ``(gold, predicted)`` or ``(gold, predicted, failed)``: two distributions over the same classes in the same
order, and whether the answer could not be read; a failure counts as the uniform label. A task of YAML needs no code of
its own: its docs hold ``soft_label`` (a weight a class, in the order of ``doc_to_choice``) and it names

    process_results: !function harness_ext.scoring.class_soft_labels.score_likelihoods
    metric_list:
      - metric: total_variation
        aggregation: !function harness_ext.scoring.class_soft_labels.agg_total_variation
        higher_is_better: false

A generating task lists the names of its classes in the doc's ``labels`` and takes ``score_answer``. Two-pole labels are
in :mod:`harness_ext.scoring.soft_labels`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from harness_ext.scoring.answers import answer_of, plain
from harness_ext.scoring.resampled import CorpusMetric, Resampled
from harness_ext.scoring.resampled.numbers import nanmean

Floats = npt.NDArray[np.float64]
Item = Sequence[Any]
"""``(gold, predicted)`` or ``(gold, predicted, failed)``."""

METRICS = ("total_variation", "jensen_shannon", "soft_cross_entropy", "soft_brier")

_LEAST = 1e-12
"""Probability below which cross-entropy takes a class to be predicted."""
_OFF = 1e-6


def distribution(weights: npt.ArrayLike) -> list[float]:
    """Weights of classes (votes, shares, percent) as probabilities.

    Raises:
        ValueError: there are fewer than two, one is negative or no number, or none is above 0.

    >>> distribution([3, 1, 0, 0])
    [0.75, 0.25, 0.0, 0.0]
    """
    values = np.asarray(weights, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError(f"a soft label needs a weight of at least 0 for each of two classes or more, not {weights!r}")
    shares = values / values.max()  # a sum of large weights may overflow
    return list((shares / shares.sum()).tolist())


def of_votes(votes: Sequence[str], labels: Sequence[str]) -> list[float]:
    """The share of each class among the votes of an item's annotators; an empty vote is none.

    Raises:
        ValueError: nobody voted, or somebody for none of the classes.

    >>> of_votes(["joy", "joy", "", "anger"], ["anger", "fear", "joy"])
    [0.3333333333333333, 0.0, 0.6666666666666666]
    """
    given = [vote for vote in votes if vote]
    if strangers := set(given) - set(labels):
        raise ValueError(f"a vote for {min(strangers)!r}, which is none of {', '.join(labels)}")
    if not given:
        raise ValueError("nobody voted")
    return [given.count(label) / len(given) for label in labels]


def of_log_likelihoods(values: npt.ArrayLike) -> list[float]:
    """Probabilities of listed answers from their log-likelihoods (nats).

    Raises:
        ValueError: one is NaN or infinite above, or all are minus infinity.

    >>> [round(share, 6) for share in of_log_likelihoods([-1.0, -1.0, float("-inf")])]
    [0.5, 0.5, 0.0]
    """
    lls = np.asarray(values, dtype=float)
    if np.isnan(lls).any() or np.isposinf(lls).any() or not np.isfinite(lls).any():
        raise ValueError(f"log-likelihoods must be numbers below infinity, at least one of them finite: {values!r}")
    return list(scipy.special.softmax(lls).tolist())


def parse_distribution(text: str, labels: Sequence[str]) -> list[float] | None:
    r"""The weights that an answer gives to all classes, as probabilities; None where it does not.

    Read are ``name: number`` pairs, in any order and case; the last number of a class counts, ``%`` is passed over.

    >>> parse_distribution("**joy**: 50 %\nanger: 25\nfear = 25", ["joy", "fear", "anger"])
    [0.5, 0.25, 0.25]
    >>> parse_distribution("joy: 70", ["joy", "fear", "anger"]) is None
    True
    """
    wanted = {plain(label).casefold(): at for at, label in enumerate(labels)}
    names = "|".join(re.escape(name) for name in sorted(wanted, key=len, reverse=True))
    found = re.findall(rf"(?<!\w)({names})\s*[:=|]\s*(\d{{1,9}}(?:\.\d{{1,9}})?)", plain(text).casefold())
    weights = {wanted[name]: float(number) for name, number in found}
    if len(weights) != len(wanted) or not any(weights.values()):
        return None
    return distribution([weights[at] for at in range(len(wanted))])


def score_likelihoods(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Item]:
    """``process_results`` of a multiple-choice task: the classes are its choices.

    >>> values = score_likelihoods({"soft_label": [1, 1]}, [(-1.0, True), (-1.0, False)])
    >>> values["total_variation"], list(values) == list(METRICS)
    (([0.5, 0.5], [0.5, 0.5]), True)
    """
    item = distribution(doc["soft_label"]), of_log_likelihoods([likelihood for likelihood, _ in results])
    return dict.fromkeys(METRICS, item)


def score_answer(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results`` of a generating task whose answers weigh the classes in ``labels``.

    >>> values = score_answer({"soft_label": [3, 1], "labels": ["yes", "no"]}, ["I cannot say."])
    >>> values["soft_brier"], values["parse_failure"]
    (([0.75, 0.25], [0.5, 0.5], 1.0), 1.0)
    """
    predicted = parse_distribution(answer_of(results[0]).text, doc["labels"])
    gold, failed = distribution(doc["soft_label"]), float(predicted is None)
    item = gold, predicted or [1 / len(gold)] * len(gold), failed
    return {**dict.fromkeys(METRICS, item), "parse_failure": failed}


def total_variation(gold: Floats, predicted: Floats) -> Floats:
    """Half the summed distances, 0 to 1: the share of annotators that would have to vote otherwise.

    >>> total_variation(np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.25, 0.25])).item()
    0.25
    """
    return np.asarray(np.abs(gold - predicted).sum(-1) / 2)


def jensen_shannon(gold: Floats, predicted: Floats) -> Floats:
    """Jensen-Shannon divergence (not its root) in bits, 0 to 1.

    >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])).item()
    1.0
    """
    middle = scipy.special.entr((gold + predicted) / 2).sum(-1)
    nats = middle - (scipy.special.entr(gold).sum(-1) + scipy.special.entr(predicted).sum(-1)) / 2
    return np.asarray(np.maximum(nats, 0) / np.log(2))


def soft_cross_entropy(gold: Floats, predicted: Floats) -> Floats:
    """Cross-entropy of the prediction under the gold label, in nats; at least the gold label's own entropy.

    A class that is predicted with less than 1e-12 counts as predicted with that.

    >>> round(soft_cross_entropy(np.array([0.5, 0.5]), np.array([0.5, 0.5])).item(), 6)
    0.693147
    """
    return np.asarray(-(gold * np.log(np.maximum(predicted, _LEAST))).sum(-1))


def soft_brier(gold: Floats, predicted: Floats) -> Floats:
    """Summed squared distances, 0 to 2.

    >>> soft_brier(np.array([1.0, 0.0]), np.array([0.0, 1.0])).item()
    2.0
    """
    return np.asarray(((gold - predicted) ** 2).sum(-1))


def _pairs(items: Sequence[Item]) -> tuple[Floats, Floats]:
    """Gold and predicted labels, each of shape (n, classes).

    Raises:
        ValueError: the numbers of classes differ, or something is no distribution.
    """
    sides: list[Floats] = []
    for side, name in enumerate(("gold", "predicted")):
        rows = [item[side] for item in items]
        if len({len(row) for row in rows}) != 1:
            raise ValueError(f"{name} soft labels of a task must have one number of classes")
        values = np.array(rows, dtype=float)
        if not (np.isfinite(values).all() and (values >= 0).all() and (np.abs(values.sum(1) - 1) <= _OFF).all()):
            raise ValueError(f"{name} soft labels must be probabilities with the sum 1; see `distribution`")
        sides.append(values)
    if sides[0].shape != sides[1].shape:
        raise ValueError(f"gold and predicted soft labels have {sides[0].shape[1]} and {sides[1].shape[1]} classes")
    return sides[0], sides[1]


def uniform(items: Sequence[Item]) -> list[Item]:
    """The items of a predictor that knows nothing: all classes alike.

    >>> uniform([([1.0, 0.0], [0.9, 0.1])])
    [([1.0, 0.0], [0.5, 0.5])]
    """
    return [(item[0], [1 / len(item[0])] * len(item[0])) for item in items]


def mean_label(items: Sequence[Item]) -> list[Item]:
    """The items of a predictor that knows nothing but the mean of these gold labels.

    >>> mean_label([([1.0, 0.0], [0.9, 0.1]), ([0.5, 0.5], [0.9, 0.1])])
    [([1.0, 0.0], [0.75, 0.25]), ([0.5, 0.5], [0.75, 0.25])]
    """
    gold, _ = _pairs(items)
    return [(item[0], gold.mean(0).tolist()) for item in items]


TRIVIAL: Mapping[str, Callable[[Sequence[Item]], list[Item]]] = {"mean label": mean_label, "uniform label": uniform}
"""Predictors that see no document, as rows of tables."""


def _mean_of(distance: Callable[[Floats, Floats], Floats]) -> CorpusMetric[Item]:
    def build(items: Sequence[Item]) -> Resampled:
        return nanmean(distance(*_pairs(items)) if items else [])

    return CorpusMetric(build, trivial=TRIVIAL)


agg_total_variation = _mean_of(total_variation)
"""Mean total variation distance, 0 to 1."""
agg_jensen_shannon = _mean_of(jensen_shannon)
"""Mean Jensen-Shannon divergence in bits, 0 to 1."""
agg_soft_cross_entropy = _mean_of(soft_cross_entropy)
"""Mean cross-entropy in nats."""
agg_soft_brier = _mean_of(soft_brier)
"""Mean squared distance, 0 to 2."""
