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
from harness_ext.scoring.hard_labels import hard_metrics
from harness_ext.scoring.recalibration import recalibrate
from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse
from harness_ext.scoring.soft_label_failures import with_failures
from harness_ext.scoring.soft_label_metrics import FORMULAS, SoftLabelPairs, describe_scores, metrics
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

_NAN = float("nan")
_LABEL_PAIRS = (*((first[0], second[0]) for first, second in POLES.values()), ("yes", "no"))


def _columns(items: Sequence[Item]) -> npt.NDArray[np.float64]:
    """Rows (y, p, failed) without those whose y or p is NaN."""
    rows = np.array([(item[0], item[1], item[2] if len(item) > 2 else 0.0) for item in items], dtype=float)
    rows = rows.reshape(-1, 3)
    return np.asarray(rows[~np.isnan(rows[:, :2]).any(axis=1)])


def _aggregate(items: Sequence[Item], formula: Callable[[SoftLabelPairs], float]) -> float:
    rows = _columns(items)
    return formula(SoftLabelPairs(rows[:, 0], rows[:, 1])) if len(rows) else _NAN


def agg_s_rmse(items: Sequence[Item]) -> float:
    """S-RMSE with the released segments (the paper's metric).

    >>> agg_s_rmse([(0.0, 0.0), (1.0, 0.5)])
    3.5355339059327378
    """
    return _aggregate(items, FORMULAS["s_rmse"])


def agg_s_mae(items: Sequence[Item]) -> float:
    """S-MAE with the released segments (the paper's metric).

    >>> agg_s_mae([(0.0, 0.0), (1.0, 0.5)])
    2.5
    """
    return _aggregate(items, FORMULAS["s_mae"])


def agg_s_rmse_9(items: Sequence[Item]) -> float:
    """S-RMSE with nine strict segments.

    >>> agg_s_rmse_9([(0.0, 0.0), (1.0, 0.5)])
    2.8284271247461903
    """
    return _aggregate(items, FORMULAS["s_rmse_9"])


def agg_s_mae_9(items: Sequence[Item]) -> float:
    """S-MAE with nine strict segments.

    >>> agg_s_mae_9([(0.0, 0.0), (1.0, 0.5)])
    2.0
    """
    return _aggregate(items, FORMULAS["s_mae_9"])


def agg_rmse(items: Sequence[Item]) -> float:
    """Root mean squared error of the soft labels as predicted.

    >>> agg_rmse([(0.0, 0.0), (1.0, 0.5)])
    0.3535533905932738
    """
    return _aggregate(items, FORMULAS["rmse"])


def agg_mae(items: Sequence[Item]) -> float:
    """Mean absolute error of the soft labels as predicted.

    >>> agg_mae([(0.0, 0.0), (1.0, 0.5)])
    0.25
    """
    return _aggregate(items, FORMULAS["mae"])


def agg_bias(items: Sequence[Item]) -> float:
    """Mean shift of the clipped predictions; positive towards the second pole.

    >>> agg_bias([(0.0, 0.0), (1.0, 0.5)])
    -0.25
    """
    return _aggregate(items, FORMULAS["bias"])


def agg_pearson(items: Sequence[Item]) -> float:
    """Pearson correlation; NaN for constant predictions.

    >>> agg_pearson([(0.0, 0.1), (1.0, 0.1)])
    nan
    """
    return _aggregate(items, FORMULAS["pearson"])


def agg_spearman(items: Sequence[Item]) -> float:
    """Spearman rank correlation; NaN for constant predictions.

    >>> round(agg_spearman([(0.0, 0.1), (0.5, 0.1), (1.0, 0.4)]), 4)
    0.866
    """
    return _aggregate(items, FORMULAS["spearman"])


def agg_kendall_tau_b(items: Sequence[Item]) -> float:
    """Kendall's tau-b; NaN for constant predictions.

    >>> round(agg_kendall_tau_b([(0.0, 0.1), (0.5, 0.1), (1.0, 0.4)]), 4)
    0.8165
    """
    return _aggregate(items, FORMULAS["kendall_tau_b"])


def agg_ccc(items: Sequence[Item]) -> float:
    """Concordance correlation coefficient (Lin 1989).

    >>> agg_ccc([(0.0, 0.0), (1.0, 0.5)])
    0.6666666666666666
    """
    return _aggregate(items, FORMULAS["ccc"])


def agg_w1_marginal(items: Sequence[Item]) -> float:
    """Wasserstein-1 distance between the samples of gold and predicted soft labels.

    >>> agg_w1_marginal([(0.0, 1.0), (1.0, 0.0)])
    0.0
    """
    return _aggregate(items, FORMULAS["w1_marginal"])


def agg_polarisation_gap(items: Sequence[Item]) -> float:
    """Mean extremity of the predictions minus that of the gold labels; positive = polarised.

    >>> agg_polarisation_gap([(0.25, 0.0), (0.75, 1.0)])
    0.5
    """
    return _aggregate(items, FORMULAS["polarisation_gap"])


def agg_var_ratio(items: Sequence[Item]) -> float:
    """Variance of the predictions over that of the gold labels.

    >>> agg_var_ratio([(0.25, 0.0), (0.75, 1.0)])
    4.0
    """
    return _aggregate(items, FORMULAS["var_ratio"])


def agg_tie_share(items: Sequence[Item]) -> float:
    """Share of predictions of exactly 0.5, which name no pole.

    >>> agg_tie_share([(0.0, 0.0), (1.0, 0.5)])
    0.5
    """
    return _aggregate(items, FORMULAS["tie_share"])


def agg_acc(items: Sequence[Item]) -> float:
    """Percentage of predictions on the right side of 0.5; a prediction of exactly 0.5 is half right.

    >>> agg_acc([(0.0, 0.0), (1.0, 0.5)])
    75.0
    """
    return _aggregate(items, lambda d: 50 * float(np.mean(1 + np.sign(d.c - 0.5) * np.where(d.y > 0.5, 1, -1))))


def agg_out_of_range(items: Sequence[Item]) -> float:
    """Share of predictions outside [0, 1], which every metric but S-RMSE, S-MAE, RMSE and MAE clips.

    >>> agg_out_of_range([(0.0, -0.125), (1.0, 0.5)])
    0.5
    """
    return _aggregate(items, lambda d: float(np.mean(d.p != d.c)))


def agg_s_rmse_parsed(items: Sequence[Item]) -> float:
    """S-RMSE (strict segments) over the answers that could be parsed; items ``(y, p, failed)``.

    >>> agg_s_rmse_parsed([(0.0, 0.125, False), (1.0, 0.5, True)])
    1.0
    """
    rows = _columns(items)
    return with_failures(*rows.T)["s_rmse_parsed"] if len(rows) else _NAN


def agg_s_mae_parsed(items: Sequence[Item]) -> float:
    """S-MAE (strict segments) over the answers that could be parsed; items ``(y, p, failed)``.

    >>> agg_s_mae_parsed([(0.0, 0.125, True), (1.0, 0.5, True)])
    nan
    """
    rows = _columns(items)
    return with_failures(*rows.T)["s_mae_parsed"] if len(rows) else _NAN


def agg_s_rmse_worst(items: Sequence[Item]) -> float:
    """S-RMSE (strict segments) with every failure at the far end of the scale; items ``(y, p, failed)``.

    >>> agg_s_rmse_worst([(1.0, 0.5, True)])
    8.0
    """
    rows = _columns(items)
    return with_failures(*rows.T)["s_rmse_worst"] if len(rows) else _NAN


def agg_s_mae_worst(items: Sequence[Item]) -> float:
    """S-MAE (strict segments) with every failure at the far end of the scale; items ``(y, p, failed)``.

    >>> agg_s_mae_worst([(1.0, 0.5, True), (1.0, 1.0, False)])
    4.0
    """
    rows = _columns(items)
    return with_failures(*rows.T)["s_mae_worst"] if len(rows) else _NAN


def agg_nanmean(items: Sequence[float]) -> float:
    """Mean of one number per doc, without the NaNs: for values that need no corpus (entropy, ordinal distance).

    >>> agg_nanmean([0.5, float("nan"), 1.0])
    0.75
    """
    values = np.asarray(items, dtype=float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else _NAN


def agg_parse_failure(items: Sequence[float]) -> float:
    """Share of answers that could not be parsed; items are 1 (failed) or 0, one number per doc.

    >>> agg_parse_failure([1.0, 0.0])
    0.5
    """
    return agg_nanmean(items)


def agg_ordinal_w1(items: Sequence[float]) -> float:
    """Mean of :func:`ordinal_w1` over docs, one number per doc.

    >>> agg_ordinal_w1([0.5, 1.0])
    0.75
    """
    return agg_nanmean(items)


def agg_mean_score(items: Sequence[float]) -> float:
    """Mean predicted score (1..9); items are soft labels, one per doc, NaN where unparsable.

    >>> agg_mean_score([0.0, 0.5, float("nan")])
    3.0
    """
    return describe_scores(items)["mean_score"]


def agg_extremity_pred(items: Sequence[float]) -> float:
    """Mean distance of the predictions from the middle, 0..1; items as in :func:`agg_mean_score`.

    >>> agg_extremity_pred([0.0, 0.5, float("nan")])
    0.5
    """
    return describe_scores(items)["extremity"]


def agg_extreme_share_pred(items: Sequence[float]) -> float:
    """Share of predictions in the two outer segments of either end; items as in :func:`agg_mean_score`.

    >>> agg_extreme_share_pred([0.0, 0.5, 0.875])
    0.6666666666666666
    """
    return describe_scores(items)["extreme_share"]


def agg_share_5(items: Sequence[float]) -> float:
    """Share of predictions of exactly score 5; items as in :func:`agg_mean_score`.

    >>> agg_share_5([0.0, 0.5])
    0.5
    """
    return describe_scores(items)["share_5"]


def agg_distinct_scores(items: Sequence[float]) -> float:
    """Number of different scores; items as in :func:`agg_mean_score`.

    >>> agg_distinct_scores([0.0, 0.5, 0.5])
    2.0
    """
    return float(describe_scores(items)["distinct_scores"])


def _hard(items: Sequence[HardItem], name: str) -> float:
    gold = [str(item[0]) for item in items]
    if not gold:
        return _NAN
    poles = next((pair for pair in _LABEL_PAIRS if gold[0] in pair), None)
    if poles is None:
        raise ValueError(f"gold label {gold[0]!r} belongs to none of the pairs {_LABEL_PAIRS}")
    return float(hard_metrics(gold, [item[1] for item in items], poles)[name])  # type: ignore[literal-required]


def agg_hard_acc(items: Sequence[HardItem]) -> float:
    """Accuracy in percent; items ``(gold label, predicted label or None)``, labels of one dimension or yes/no.

    >>> agg_hard_acc([("E", "E"), ("I", None)])
    50.0
    """
    return _hard(items, "acc")


def agg_hard_f1(items: Sequence[HardItem]) -> float:
    """Macro F1 over the two labels in percent, unparsable = wrong; items as in :func:`agg_hard_acc`.

    >>> agg_hard_f1([("yes", "yes"), ("no", None)])
    50.0
    """
    return _hard(items, "f1")


def agg_hard_f1_compat(items: Sequence[HardItem]) -> float:
    """Macro F1 over all labels seen, with failure as a label (the released code), in percent.

    >>> agg_hard_f1_compat([("E", "E"), ("I", None)])
    33.33333333333333
    """
    return _hard(items, "f1_compat")
