"""lm-eval's own aggregations, by the names that result files hold, with their resampled forms.

Each gives the number of lm-eval 0.4.13; tests call both. ``bypass`` is no metric.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from harness_ext.scoring.generation import LikelihoodItem, agg_gold_byte_ppl, from_sentences, nats_per_unit
from harness_ext.scoring.resampled import CorpusMetric, Resampled, from_sums, numbers, ratio
from harness_ext.scoring.resampled.statistic import Floats

LabelPair = tuple[Hashable, Hashable]
"""``(gold, predicted)``."""
TextPair = tuple[str | Sequence[str], str | Sequence[str]]
"""``(reference or references, prediction)``."""


@CorpusMetric
def mean(items: Sequence[float]) -> Resampled:
    """The mean; one NaN makes it NaN.

    >>> mean([1.0, 0.0]), mean([1.0, float("nan")])
    (0.5, nan)
    """
    values = np.asarray(items, dtype=float)
    missing = np.isnan(values)
    features = np.column_stack([np.where(missing, 0.0, values), missing, np.ones(len(values))])

    def value(sums: Floats) -> Floats:
        total, unknown, n = sums.T
        return np.where(unknown > 0, math.nan, ratio(total, n, otherwise=math.nan))

    return from_sums(features, value)


@CorpusMetric
def nanmean(items: Sequence[float]) -> Resampled:
    """The mean without the NaNs.

    >>> nanmean([1.0, float("nan")])
    1.0
    """
    return numbers.nanmean(items)


@CorpusMetric
def median(items: Sequence[float]) -> Resampled:
    """The upper median.

    >>> median([3.0, 1.0, 2.0, 5.0])
    3.0
    """
    values, rows = np.unique(np.asarray(items, dtype=float), return_inverse=True)

    def of_counts(counts: Floats) -> Floats:
        middle = counts.sum(axis=1, keepdims=True) // 2
        return np.asarray(values[np.argmax(np.cumsum(counts, axis=1) > middle, axis=1)])

    return Resampled(rows, len(values), of_counts)


@CorpusMetric
def perplexity(items: Sequence[float]) -> Resampled:
    """Perplexity of texts of one unit each.

    >>> perplexity([-1.0, -1.0])
    2.718281828459045
    """
    return weighted_perplexity.resampled([(likelihood, 1.0) for likelihood in items])


@CorpusMetric
def weighted_perplexity(items: Sequence[LikelihoodItem]) -> Resampled:
    """Perplexity a unit of ``(log-likelihood, units)`` items."""
    return agg_gold_byte_ppl.resampled(items)


@CorpusMetric
def bits_per_byte(items: Sequence[LikelihoodItem]) -> Resampled:
    """Bits a unit of ``(log-likelihood, units)`` items.

    >>> bits_per_byte([(-2.0, 1), (-1.0, 2)]) * math.log(2)
    1.0
    """
    return nats_per_unit(items).then(lambda nats: nats / math.log(2))


@CorpusMetric
def f1(items: Sequence[LabelPair]) -> Resampled:
    """F1 of label 1 among the labels 0 and 1, 0-1.

    >>> f1([(1, 1), (1, 0), (0, 0)])
    0.6666666666666666
    """
    if not {label for pair in items for label in pair} <= {0, 1}:
        raise ValueError("lm-eval's f1 is that of label 1 among 0 and 1")
    gold, predicted = (np.array(column, dtype=float) for column in zip(*items, strict=True))
    features = np.column_stack([2 * gold * predicted, gold + predicted])
    return from_sums(features, lambda sums: ratio(sums[:, 0], sums[:, 1]))


@CorpusMetric
def matthews_corrcoef(items: Sequence[LabelPair]) -> Resampled:
    """Matthews' correlation coefficient of any labels, -1 to 1; 0 where one side is constant.

    >>> matthews_corrcoef([("a", "a"), ("b", "b"), ("b", "a"), ("a", "b")])
    0.0
    """
    names = list(dict.fromkeys(label for pair in items for label in pair))
    gold, predicted = (np.eye(len(names))[[names.index(pair[side]) for pair in items]] for side in (0, 1))
    features = np.column_stack([gold, predicted, (gold * predicted).sum(1)])

    def value(sums: Floats) -> Floats:
        of_gold, of_predicted, hits = sums[:, : len(names)], sums[:, len(names) : -1], sums[:, -1]
        n = of_gold.sum(1)
        covariance = hits * n - (of_gold * of_predicted).sum(1)
        spread = (n**2 - (of_gold**2).sum(1)) * (n**2 - (of_predicted**2).sum(1))
        return ratio(covariance, np.sqrt(spread))

    return from_sums(features, value)


def _of_texts(metric: Literal["BLEU", "CHRF", "TER"], items: Sequence[TextPair], **settings: int) -> Resampled:
    from sacrebleu import metrics  # as long to import as numpy

    references = [[texts] if isinstance(texts, str) else texts for texts, _ in items]
    answers = [answer if isinstance(answer, str) else answer[0] for _, answer in items]
    # As lm-eval does: where the numbers of references differ, as many as the shortest list holds.
    return from_sentences(getattr(metrics, metric)(**settings), answers, list(zip(*references, strict=False)))


@CorpusMetric
def bleu(items: Sequence[TextPair]) -> Resampled:
    """sacrebleu's corpus BLEU, 0-100."""
    return _of_texts("BLEU", items)


@CorpusMetric
def chrf(items: Sequence[TextPair]) -> Resampled:
    """sacrebleu's chrF, 0-100."""
    return _of_texts("CHRF", items)


@CorpusMetric
def chrf_plus_plus(items: Sequence[TextPair]) -> Resampled:
    """sacrebleu's chrF++, 0-100."""
    return _of_texts("CHRF", items, word_order=2)


@CorpusMetric
def ter(items: Sequence[TextPair]) -> Resampled:
    """sacrebleu's translation edit rate, >= 0; lower is better."""
    return _of_texts("TER", items)


@CorpusMetric
def brier_score(items: Sequence[tuple[int, Sequence[float]]]) -> Resampled:
    """Mean squared distance of ``(gold label number, probabilities)`` items, 0-2.

    >>> brier_score([(0, [0.5, 0.5]), (1, [0.0, 1.0])])
    0.25
    """
    probabilities = np.array([predicted for _, predicted in items], dtype=float)
    gold = np.eye(probabilities.shape[1])[[label for label, _ in items]]
    return numbers.nanmean(((probabilities - gold) ** 2).sum(axis=1))


AGGREGATIONS: Mapping[str, CorpusMetric[Any]] = {
    **{
        metric.__name__: metric
        for metric in (
            mean, nanmean, median, perplexity, weighted_perplexity, bits_per_byte, f1, matthews_corrcoef, bleu, chrf,
            ter, brier_score,
        )
    },
    "chrf++": chrf_plus_plus,
}  # fmt: skip
"""lm-eval's aggregations by their registered names."""
