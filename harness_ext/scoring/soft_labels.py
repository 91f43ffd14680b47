"""Soft-label scoring as benchmarks use it: the public names, and one aggregation per leaf metric for task YAML.

An aggregation takes the values that lm-eval collected over the docs of a leaf, each ``(y, p)`` or ``(y, p, failed)``
(tuples, or the lists that samples files hold):

* ``y``: gold soft label in [0, 1];
* ``p``: predicted soft label; outside [0, 1] allowed, 0.5 where the answer could not be parsed;
* ``failed``: whether it could not be parsed (default: it could).

Values with a NaN in ``y`` or ``p`` are left out; with no value left, or where a metric is undefined, the result is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.choice_likelihoods import expected_score, flip, order_bias, ordinal_w1, pool4, psycot_ll
from harness_ext.scoring.hard_labels import FORMS as HARD_FORMS
from harness_ext.scoring.hard_labels import hard_codes, hard_metrics
from harness_ext.scoring.recalibration import recalibrate
from harness_ext.scoring.resampled import CorpusMetric, Resampled
from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse
from harness_ext.scoring.soft_label_failures import errors_at_worst, errors_of_parsed, with_failures
from harness_ext.scoring.soft_label_metrics import DESCRIPTIONS, FORMS, describe_scores, metrics, soft_label_pairs
from harness_ext.scoring.soft_label_parsers import POLES, parse_choice, parse_score, parse_stress

__all__ = [
    "POLES",
    "bins",
    "describe_scores",
    "expected_score",
    "flip",
    "hard_metrics",
    "metrics",
    "order_bias",
    "ordinal_w1",
    "parse_choice",
    "parse_score",
    "parse_stress",
    "pool4",
    "psycot_ll",
    "recalibrate",
    "segmented_mae",
    "segmented_rmse",
    "with_failures",
]

Item = Sequence[float]
"""``(y, p)`` or ``(y, p, failed)``."""

HardItem = Sequence[str | None]
"""``(gold label, predicted label or None)``."""

_LABEL_PAIRS = (*((first[0], second[0]) for first, second in POLES.values()), ("yes", "no"))


Floats = npt.NDArray[np.float64]


def _of_triples(items: Sequence[Item], form: Callable[[Floats, Floats, Floats], Resampled]) -> Resampled:
    """The metric of y, p and failed over the docs whose y and p are numbers."""
    rows = np.array([(item[0], item[1], item[2] if len(item) > 2 else 0.0) for item in items], dtype=float)
    rows = rows.reshape(-1, 3)
    there = ~np.isnan(rows[:, :2]).any(axis=1)
    if not there.any():
        return nanmean(np.full(len(rows), np.nan))
    y, p, failed = rows[there].T
    return form(*soft_label_pairs(y, p), failed).among(there)


def _of_pairs(items: Sequence[Item], form: Callable[[Floats, Floats], Resampled]) -> Resampled:
    return _of_triples(items, lambda y, p, _: form(y, p))


@CorpusMetric
def agg_s_rmse(items: Sequence[Item]) -> Resampled:
    """S-RMSE with the released segments (the paper's metric).

    >>> agg_s_rmse([(0.0, 0.0), (1.0, 0.5)])
    3.5355339059327378
    """
    return _of_pairs(items, FORMS["s_rmse"])


@CorpusMetric
def agg_s_mae(items: Sequence[Item]) -> Resampled:
    """S-MAE with the released segments (the paper's metric).

    >>> agg_s_mae([(0.0, 0.0), (1.0, 0.5)])
    2.5
    """
    return _of_pairs(items, FORMS["s_mae"])


@CorpusMetric
def agg_s_rmse_9(items: Sequence[Item]) -> Resampled:
    """S-RMSE with nine strict segments.

    >>> agg_s_rmse_9([(0.0, 0.0), (1.0, 0.5)])
    2.8284271247461903
    """
    return _of_pairs(items, FORMS["s_rmse_9"])


@CorpusMetric
def agg_s_mae_9(items: Sequence[Item]) -> Resampled:
    """S-MAE with nine strict segments.

    >>> agg_s_mae_9([(0.0, 0.0), (1.0, 0.5)])
    2.0
    """
    return _of_pairs(items, FORMS["s_mae_9"])


@CorpusMetric
def agg_rmse(items: Sequence[Item]) -> Resampled:
    """Root mean squared error of the soft labels as predicted.

    >>> agg_rmse([(0.0, 0.0), (1.0, 0.5)])
    0.3535533905932738
    """
    return _of_pairs(items, FORMS["rmse"])


@CorpusMetric
def agg_mae(items: Sequence[Item]) -> Resampled:
    """Mean absolute error of the soft labels as predicted.

    >>> agg_mae([(0.0, 0.0), (1.0, 0.5)])
    0.25
    """
    return _of_pairs(items, FORMS["mae"])


@CorpusMetric
def agg_bias(items: Sequence[Item]) -> Resampled:
    """Mean shift of the clipped predictions; positive towards the second pole.

    >>> agg_bias([(0.0, 0.0), (1.0, 0.5)])
    -0.25
    """
    return _of_pairs(items, FORMS["bias"])


@CorpusMetric
def agg_pearson(items: Sequence[Item]) -> Resampled:
    """Pearson correlation; NaN for constant predictions.

    >>> agg_pearson([(0.0, 0.1), (1.0, 0.1)])
    nan
    """
    return _of_pairs(items, FORMS["pearson"])


@CorpusMetric
def agg_spearman(items: Sequence[Item]) -> Resampled:
    """Spearman rank correlation; NaN for constant predictions.

    >>> round(agg_spearman([(0.0, 0.1), (0.5, 0.1), (1.0, 0.4)]), 4)
    0.866
    """
    return _of_pairs(items, FORMS["spearman"])


@CorpusMetric
def agg_kendall_tau_b(items: Sequence[Item]) -> Resampled:
    """Kendall's tau-b; NaN for constant predictions.

    >>> round(agg_kendall_tau_b([(0.0, 0.1), (0.5, 0.1), (1.0, 0.4)]), 4)
    0.8165
    """
    return _of_pairs(items, FORMS["kendall_tau_b"])


@CorpusMetric
def agg_ccc(items: Sequence[Item]) -> Resampled:
    """Concordance correlation coefficient (Lin 1989).

    >>> agg_ccc([(0.0, 0.0), (1.0, 0.5)])
    0.6666666666666666
    """
    return _of_pairs(items, FORMS["ccc"])


@CorpusMetric
def agg_w1_marginal(items: Sequence[Item]) -> Resampled:
    """Wasserstein-1 distance between the samples of gold and predicted soft labels.

    >>> agg_w1_marginal([(0.0, 1.0), (1.0, 0.0)])
    0.0
    """
    return _of_pairs(items, FORMS["w1_marginal"])


@CorpusMetric
def agg_polarisation_gap(items: Sequence[Item]) -> Resampled:
    """Mean extremity of the predictions minus that of the gold labels; positive = polarised.

    >>> agg_polarisation_gap([(0.25, 0.0), (0.75, 1.0)])
    0.5
    """
    return _of_pairs(items, FORMS["polarisation_gap"])


@CorpusMetric
def agg_var_ratio(items: Sequence[Item]) -> Resampled:
    """Variance of the predictions over that of the gold labels.

    >>> agg_var_ratio([(0.25, 0.0), (0.75, 1.0)])
    4.0
    """
    return _of_pairs(items, FORMS["var_ratio"])


@CorpusMetric
def agg_tie_share(items: Sequence[Item]) -> Resampled:
    """Share of predictions of exactly 0.5, which name no pole.

    >>> agg_tie_share([(0.0, 0.0), (1.0, 0.5)])
    0.5
    """
    return _of_pairs(items, FORMS["tie_share"])


@CorpusMetric
def agg_acc(items: Sequence[Item]) -> Resampled:
    """Percentage of predictions on the right side of 0.5; a prediction of exactly 0.5 is half right.

    >>> agg_acc([(0.0, 0.0), (1.0, 0.5)])
    75.0
    """
    return _of_pairs(items, lambda y, p: nanmean(50 * (1 + np.sign(p - 0.5) * np.where(y > 0.5, 1, -1))))


@CorpusMetric
def agg_out_of_range(items: Sequence[Item]) -> Resampled:
    """Share of predictions outside [0, 1], which every metric but S-RMSE, S-MAE, RMSE and MAE clips.

    >>> agg_out_of_range([(0.0, -0.125), (1.0, 0.5)])
    0.5
    """
    return _of_pairs(items, lambda y, p: nanmean((p < 0) | (p > 1)))


@CorpusMetric
def agg_s_rmse_parsed(items: Sequence[Item]) -> Resampled:
    """S-RMSE (strict segments) over the answers that could be parsed; items ``(y, p, failed)``.

    >>> agg_s_rmse_parsed([(0.0, 0.125, False), (1.0, 0.5, True)])
    1.0
    """
    return _of_triples(items, lambda y, p, failed: nanmean(errors_of_parsed(y, p, failed == 1) ** 2).then(np.sqrt))


@CorpusMetric
def agg_s_mae_parsed(items: Sequence[Item]) -> Resampled:
    """S-MAE (strict segments) over the answers that could be parsed; items ``(y, p, failed)``.

    >>> agg_s_mae_parsed([(0.0, 0.125, True), (1.0, 0.5, True)])
    nan
    """
    return _of_triples(items, lambda y, p, failed: nanmean(errors_of_parsed(y, p, failed == 1)))


@CorpusMetric
def agg_s_rmse_worst(items: Sequence[Item]) -> Resampled:
    """S-RMSE (strict segments) with every failure at the far end of the scale; items ``(y, p, failed)``.

    >>> agg_s_rmse_worst([(1.0, 0.5, True)])
    8.0
    """
    return _of_triples(items, lambda y, p, failed: nanmean(errors_at_worst(y, p, failed == 1) ** 2).then(np.sqrt))


@CorpusMetric
def agg_s_mae_worst(items: Sequence[Item]) -> Resampled:
    """S-MAE (strict segments) with every failure at the far end of the scale; items ``(y, p, failed)``.

    >>> agg_s_mae_worst([(1.0, 0.5, True), (1.0, 1.0, False)])
    4.0
    """
    return _of_triples(items, lambda y, p, failed: nanmean(errors_at_worst(y, p, failed == 1)))


@CorpusMetric
def agg_nanmean(items: Sequence[float]) -> Resampled:
    """Mean of one number per doc, without the NaNs: for values that need no corpus (entropy, ordinal distance).

    >>> agg_nanmean([0.5, float("nan"), 1.0])
    0.75
    """
    return nanmean(items)


@CorpusMetric
def agg_parse_failure(items: Sequence[float]) -> Resampled:
    """Share of answers that could not be parsed; items are 1 (failed) or 0, one number per doc.

    >>> agg_parse_failure([1.0, 0.0])
    0.5
    """
    return nanmean(items)


@CorpusMetric
def agg_ordinal_w1(items: Sequence[float]) -> Resampled:
    """Mean of :func:`ordinal_w1` over docs, one number per doc.

    >>> agg_ordinal_w1([0.5, 1.0])
    0.75
    """
    return nanmean(items)


def _described(items: Sequence[float], describe: Callable[[Floats], npt.NDArray[np.generic]]) -> Resampled:
    values = np.asarray(items, dtype=float).reshape(-1)
    there = ~np.isnan(values)
    return nanmean(describe(np.clip(values[there], 0, 1))).among(there)


@CorpusMetric
def agg_mean_score(items: Sequence[float]) -> Resampled:
    """Mean predicted score (1..9); items are soft labels, one per doc, NaN where unparsable.

    >>> agg_mean_score([0.0, 0.5, float("nan")])
    3.0
    """
    return _described(items, DESCRIPTIONS["mean_score"])


@CorpusMetric
def agg_extremity_pred(items: Sequence[float]) -> Resampled:
    """Mean distance of the predictions from the middle, 0..1; items as in :func:`agg_mean_score`.

    >>> agg_extremity_pred([0.0, 0.5, float("nan")])
    0.5
    """
    return _described(items, DESCRIPTIONS["extremity"])


@CorpusMetric
def agg_extreme_share_pred(items: Sequence[float]) -> Resampled:
    """Share of predictions in the two outer segments of either end; items as in :func:`agg_mean_score`.

    >>> agg_extreme_share_pred([0.0, 0.5, 0.875])
    0.6666666666666666
    """
    return _described(items, DESCRIPTIONS["extreme_share"])


@CorpusMetric
def agg_share_5(items: Sequence[float]) -> Resampled:
    """Share of predictions of exactly score 5; items as in :func:`agg_mean_score`.

    >>> agg_share_5([0.0, 0.5])
    0.5
    """
    return _described(items, DESCRIPTIONS["share_5"])


@CorpusMetric
def agg_distinct_scores(items: Sequence[float]) -> Resampled:
    """Number of different scores; items as in :func:`agg_mean_score`.

    >>> agg_distinct_scores([0.0, 0.5, 0.5])
    2.0
    """
    values = np.asarray(items, dtype=float).reshape(-1)
    there = ~np.isnan(values)
    scores, rows = np.unique(np.clip(values[there], 0, 1), return_inverse=True)
    return Resampled(rows, len(scores), lambda counts: np.count_nonzero(counts, axis=1).astype(float)).among(there)


def _of_labels(items: Sequence[HardItem], name: str) -> Resampled:
    gold = [str(item[0]) for item in items]
    if not gold:
        return nanmean([])
    poles = next((pair for pair in _LABEL_PAIRS if gold[0] in pair), None)
    if poles is None:
        raise ValueError(f"gold label {gold[0]!r} belongs to none of the pairs {_LABEL_PAIRS}")
    return HARD_FORMS[name](*hard_codes(gold, [item[1] for item in items], poles))


@CorpusMetric
def agg_hard_acc(items: Sequence[HardItem]) -> Resampled:
    """Accuracy in percent; items ``(gold label, predicted label or None)``, labels of one dimension or yes/no.

    >>> agg_hard_acc([("E", "E"), ("I", None)])
    50.0
    """
    return _of_labels(items, "acc")


@CorpusMetric
def agg_hard_f1(items: Sequence[HardItem]) -> Resampled:
    """Macro F1 over the two labels in percent, unparsable = wrong; items as in :func:`agg_hard_acc`.

    >>> agg_hard_f1([("yes", "yes"), ("no", None)])
    50.0
    """
    return _of_labels(items, "f1")


@CorpusMetric
def agg_hard_f1_compat(items: Sequence[HardItem]) -> Resampled:
    """Macro F1 over all labels seen, with failure as a label (the released code), in percent.

    >>> agg_hard_f1_compat([("E", "E"), ("I", None)])
    33.333333333333336
    """
    return _of_labels(items, "f1_compat")
