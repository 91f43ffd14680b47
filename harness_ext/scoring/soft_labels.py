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
from harness_ext.scoring.hard_labels import Codes, hard_codes, hard_metrics
from harness_ext.scoring.recalibration import recalibrate
from harness_ext.scoring.resampled import CorpusMetric, Resampled
from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse
from harness_ext.scoring.soft_label_failures import errors_at_worst, errors_of_parsed, with_failures
from harness_ext.scoring.soft_label_metrics import DESCRIPTIONS, FORMS, describe_scores, metrics, soft_label_pairs
from harness_ext.scoring.soft_label_parsers import POLES, parse_choice, parse_score, parse_stress

__all__ = [
    "POLES", "bins", "describe_scores", "expected_score", "flip", "hard_metrics", "metrics", "order_bias", "ordinal_w1",
    "parse_choice", "parse_score", "parse_stress", "pool4", "psycot_ll", "recalibrate", "segmented_mae",
    "segmented_rmse", "with_failures",
]  # fmt: skip

Item = Sequence[float]
"""``(y, p)`` or ``(y, p, failed)``."""

HardItem = Sequence[str | None]
"""``(gold label, predicted label or None)``."""

_LABEL_PAIRS = (*((first[0], second[0]) for first, second in POLES.values()), ("yes", "no"))


Floats = npt.NDArray[np.float64]


def _of_triples(form: Callable[[Floats, Floats, Floats], Resampled]) -> CorpusMetric[Item]:
    """The metric of y, p and failed over the docs whose y and p are numbers."""

    def build(items: Sequence[Item]) -> Resampled:
        rows = np.array([(item[0], item[1], item[2] if len(item) > 2 else 0.0) for item in items], dtype=float)
        rows = rows.reshape(-1, 3)
        there = ~np.isnan(rows[:, :2]).any(axis=1)
        if not there.any():
            return nanmean(np.full(len(rows), np.nan))
        y, p, failed = rows[there].T
        return form(*soft_label_pairs(y, p), failed).among(there)

    return CorpusMetric(build)


def _of_pairs(form: Callable[[Floats, Floats], Resampled]) -> CorpusMetric[Item]:
    return _of_triples(lambda y, p, _: form(y, p))


agg_s_rmse = _of_pairs(FORMS["s_rmse"])
"""S-RMSE with the released segments (the paper's metric): 3.5355 for items (0.0, 0.0) and (1.0, 0.5)."""
agg_s_mae = _of_pairs(FORMS["s_mae"])
"""S-MAE with the released segments (the paper's metric)."""
agg_s_rmse_9 = _of_pairs(FORMS["s_rmse_9"])
"""S-RMSE with nine strict segments."""
agg_s_mae_9 = _of_pairs(FORMS["s_mae_9"])
"""S-MAE with nine strict segments."""
agg_rmse = _of_pairs(FORMS["rmse"])
"""Root mean squared error of the soft labels as predicted."""
agg_mae = _of_pairs(FORMS["mae"])
"""Mean absolute error of the soft labels as predicted."""
agg_bias = _of_pairs(FORMS["bias"])
"""Mean shift of the clipped predictions; positive towards the second pole."""
agg_pearson = _of_pairs(FORMS["pearson"])
"""Pearson correlation; NaN for constant predictions."""
agg_spearman = _of_pairs(FORMS["spearman"])
"""Spearman rank correlation; NaN for constant predictions."""
agg_kendall_tau_b = _of_pairs(FORMS["kendall_tau_b"])
"""Kendall's tau-b; NaN for constant predictions."""
agg_ccc = _of_pairs(FORMS["ccc"])
"""Concordance correlation coefficient (Lin 1989)."""
agg_w1_marginal = _of_pairs(FORMS["w1_marginal"])
"""Wasserstein-1 distance between the samples of gold and predicted soft labels."""
agg_polarisation_gap = _of_pairs(FORMS["polarisation_gap"])
"""Mean extremity of the predictions minus that of the gold labels; positive = polarised."""
agg_var_ratio = _of_pairs(FORMS["var_ratio"])
"""Variance of the predictions over that of the gold labels."""
agg_tie_share = _of_pairs(FORMS["tie_share"])
"""Share of predictions of exactly 0.5, which name no pole."""
agg_acc = _of_pairs(lambda y, p: nanmean(50 * (1 + np.sign(p - 0.5) * np.where(y > 0.5, 1, -1))))
"""Percentage of predictions on the right side of 0.5; a prediction of exactly 0.5 is half right."""
agg_out_of_range = _of_pairs(lambda y, p: nanmean((p < 0) | (p > 1)))
"""Share of predictions outside [0, 1], which every metric but S-RMSE, S-MAE, RMSE and MAE clips."""

agg_s_rmse_parsed = _of_triples(lambda *rows: nanmean(errors_of_parsed(*rows) ** 2).then(np.sqrt))
"""S-RMSE (strict segments) over the answers that could be parsed; items ``(y, p, failed)``, as in the next three."""
agg_s_mae_parsed = _of_triples(lambda *rows: nanmean(errors_of_parsed(*rows)))
"""S-MAE (strict segments) over the answers that could be parsed."""
agg_s_rmse_worst = _of_triples(lambda *rows: nanmean(errors_at_worst(*rows) ** 2).then(np.sqrt))
"""S-RMSE (strict segments) with every failure at the far end of the scale."""
agg_s_mae_worst = _of_triples(lambda *rows: nanmean(errors_at_worst(*rows)))
"""S-MAE (strict segments) with every failure at the far end of the scale."""


def _mean(items: Sequence[float]) -> Resampled:
    """Mean of one number per doc, without the NaNs.

    >>> agg_nanmean([0.5, float("nan"), 1.0])
    0.75
    """
    return nanmean(items)


agg_nanmean = CorpusMetric(_mean)
"""Mean of one number per doc, without the NaNs: for values that need no corpus (entropy, ordinal distance)."""
agg_parse_failure = CorpusMetric(_mean)
"""Share of answers that could not be parsed; items are 1 (failed) or 0, one number per doc."""
agg_ordinal_w1 = CorpusMetric(_mean)
"""Mean of :func:`ordinal_w1` over docs, one number per doc."""


def _of_predictions(form: Callable[[Floats], Resampled]) -> CorpusMetric[float]:
    """A metric of the clipped predictions of the docs that have one; items are soft labels, NaN where unparsable."""

    def build(items: Sequence[float]) -> Resampled:
        values = np.asarray(items, dtype=float).reshape(-1)
        there = ~np.isnan(values)
        return form(np.clip(values[there], 0, 1)).among(there)

    return CorpusMetric(build)


def _distinct(c: Floats) -> Resampled:
    scores, rows = np.unique(c, return_inverse=True)
    return Resampled(rows, len(scores), lambda counts: np.count_nonzero(counts, axis=1).astype(float))


agg_mean_score = _of_predictions(lambda c: nanmean(DESCRIPTIONS["mean_score"](c)))
"""Mean predicted score (1..9)."""
agg_extremity_pred = _of_predictions(lambda c: nanmean(DESCRIPTIONS["extremity"](c)))
"""Mean distance of the predictions from the middle, 0..1."""
agg_extreme_share_pred = _of_predictions(lambda c: nanmean(DESCRIPTIONS["extreme_share"](c)))
"""Share of predictions in the two outer segments of either end."""
agg_share_5 = _of_predictions(lambda c: nanmean(DESCRIPTIONS["share_5"](c)))
"""Share of predictions of exactly score 5."""
agg_distinct_scores = _of_predictions(_distinct)
"""Number of different scores."""


def _of_labels(form: Callable[[Codes, Codes], Resampled]) -> CorpusMetric[HardItem]:
    """A metric of ``(gold label, predicted label or None)`` items, labels of one dimension or yes/no."""

    def build(items: Sequence[HardItem]) -> Resampled:
        gold = [str(item[0]) for item in items]
        if not gold:
            return nanmean([])
        poles = next((pair for pair in _LABEL_PAIRS if gold[0] in pair), None)
        if poles is None:
            raise ValueError(f"gold label {gold[0]!r} belongs to none of the pairs {_LABEL_PAIRS}")
        return form(*hard_codes(gold, [item[1] for item in items], poles))

    return CorpusMetric(build)


agg_hard_acc = _of_labels(HARD_FORMS["acc"])
"""Accuracy in percent."""
agg_hard_f1 = _of_labels(HARD_FORMS["f1"])
"""Macro F1 over the two labels in percent, unparsable = wrong."""
agg_hard_f1_compat = _of_labels(HARD_FORMS["f1_compat"])
"""Macro F1 over all labels seen, with failure as a label (the released code), in percent."""
