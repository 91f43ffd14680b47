"""Corpus-level metrics between gold and predicted soft labels.

Throughout, ``y`` are gold soft labels in [0, 1] and ``p`` predicted ones (0 = first pole, 1 = second pole). Undefined
values are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from harness_ext.scoring.hard_labels import macro_f1
from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse

Floats = npt.NDArray[np.float64]


def _jsd_bits(a: Floats, b: Floats) -> Floats:
    """Jensen-Shannon divergence of distributions on the last axis, in bits; never NaN or infinite through rounding."""
    nats = special.entr((a + b) / 2).sum(-1) - (special.entr(a).sum(-1) + special.entr(b).sum(-1)) / 2
    return np.asarray(np.maximum(nats, 0) / np.log(2))


@dataclass(frozen=True)
class SoftLabelPairs:
    """Checked gold and predicted soft labels of one dimension, shape (n,), with what several metrics share.

    Raises:
        ValueError: shapes differ, n is 0, a value is NaN, or a gold label lies outside [0, 1].
    """

    y: Floats
    p: Floats
    c: Floats = field(init=False)
    """Predictions clipped to [0, 1]."""

    def __post_init__(self) -> None:
        y, p = np.asarray(self.y, dtype=float), np.asarray(self.p, dtype=float)
        if y.shape != p.shape or y.ndim != 1 or y.size == 0:
            raise ValueError(f"y and p must be equally long and not empty; shapes are {y.shape} and {p.shape}")
        if not (((y >= 0) & (y <= 1)).all() and not np.isnan(p).any()):
            raise ValueError("gold soft labels must lie in [0, 1] and predictions must not be NaN")
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "c", np.clip(p, 0, 1))

    @property
    def histograms(self) -> tuple[Floats, Floats]:
        """Counts of gold and of clipped predictions in the nine strict segments."""
        return tuple(np.bincount(bins(v), minlength=9).astype(float) for v in (self.y, self.c))  # type: ignore[return-value]


def _correlation(statistic: Callable[[Floats, Floats], tuple[float, float]], d: SoftLabelPairs) -> float:
    if np.ptp(d.c) == 0 or np.ptp(d.y) == 0:
        return float("nan")
    return float(statistic(d.y, d.c)[0])


def _concordance(d: SoftLabelPairs) -> float:
    covariance = np.mean((d.y - d.y.mean()) * (d.c - d.c.mean()))
    spread = d.y.var() + d.c.var() + (d.y.mean() - d.c.mean()) ** 2
    # The variance of a constant can be rounding noise, and that of tiny differences can underflow to 0.
    return float(2 * covariance / spread) if np.ptp([d.y, d.c]) > 0 and spread > 0 else float("nan")


def _variance_ratio(d: SoftLabelPairs) -> float:
    return float(d.c.var() / d.y.var()) if np.ptp(d.y) > 0 and d.y.var() > 0 else float("nan")


def _two_class_cross_entropy(d: SoftLabelPairs) -> float:
    return float(
        -sum(np.mean(t * np.log(np.clip(q, 1e-12, 1 - 1e-12) + 1e-9)) for t, q in ((d.y, d.c), (1 - d.y, 1 - d.c)))
    )


def _clipped_cross_entropy(d: SoftLabelPairs) -> float:
    q = np.clip(d.c, 1e-6, 1 - 1e-6)
    return float(-np.mean(d.y * np.log(q) + (1 - d.y) * np.log(1 - q)))


def _bernoulli(v: Floats) -> Floats:
    return np.stack([v, 1 - v], axis=-1)


def _extreme_share(v: Floats) -> float:
    segments = bins(v)
    return float(np.mean((segments <= 1) | (segments >= 7)))


FORMULAS: dict[str, Callable[[SoftLabelPairs], float]] = {
    "rmse": lambda d: float(np.sqrt(np.mean((d.y - d.p) ** 2))),
    "mae": lambda d: float(np.mean(np.abs(d.y - d.p))),
    "s_rmse": lambda d: segmented_rmse(d.y, d.p, "compat"),
    "s_mae": lambda d: segmented_mae(d.y, d.p, "compat"),
    "s_rmse_9": lambda d: segmented_rmse(d.y, d.c, "strict"),
    "s_mae_9": lambda d: segmented_mae(d.y, d.c, "strict"),
    "bias": lambda d: float(np.mean(d.c - d.y)),
    "pearson": lambda d: _correlation(stats.pearsonr, d),
    "spearman": lambda d: _correlation(stats.spearmanr, d),
    "kendall_tau_b": lambda d: _correlation(stats.kendalltau, d),
    "ccc": _concordance,
    "w1_marginal": lambda d: float(stats.wasserstein_distance(d.y, d.c)),
    "w1_hist9_bins": lambda d: float(np.abs(np.cumsum(np.subtract(*d.histograms))).sum() / d.y.size),
    "jsd_hist9_bits": lambda d: float(_jsd_bits(*(h / d.y.size for h in d.histograms))),
    "kl_gold_pred_hist9_addone": lambda d: float(stats.entropy(*(h + 1 for h in d.histograms))),
    "ce_lewidi2023": _two_class_cross_entropy,
    "ce_eps1e-6": _clipped_cross_entropy,
    "md_lewidi2025": lambda d: float(np.mean(2 * np.abs(d.c - d.y))),
    "jsd_item_bits": lambda d: float(np.mean(_jsd_bits(_bernoulli(d.y), _bernoulli(d.c)))),
    "brier_soft": lambda d: float(np.mean(2 * (d.y - d.c) ** 2)),
    "extremity_pred": lambda d: float(np.mean(np.abs(2 * d.c - 1))),
    "extremity_gold": lambda d: float(np.mean(np.abs(2 * d.y - 1))),
    "polarisation_gap": lambda d: float(np.mean(np.abs(2 * d.c - 1)) - np.mean(np.abs(2 * d.y - 1))),
    "extreme_share_pred": lambda d: _extreme_share(d.c),
    "extreme_share_gold": lambda d: _extreme_share(d.y),
    "var_ratio": _variance_ratio,
    "tie_share": lambda d: float(np.mean(d.c == 0.5)),
}
"""The 27 metrics of two soft-label vectors; S-metrics, rmse and mae take p as given, all others clip it to [0, 1]."""


def _hard_agreement(c: Floats, hard: npt.NDArray[np.int64]) -> dict[str, float]:
    values: dict[str, float] = {}
    for rule, second in (("first", c > 0.5), ("second", c >= 0.5)):
        values[f"acc_tie_{rule}"] = 100 * float(np.mean(second == hard))
        values[f"f1_tie_{rule}"] = 100 * macro_f1(hard, second.astype(int), (0, 1))
    return values


def metrics(y: npt.ArrayLike, p: npt.ArrayLike, hard01: npt.ArrayLike) -> dict[str, float]:
    """All 31 metrics of one dimension, by name.

    Args:
        y: gold soft labels in [0, 1], shape (n,).
        p: predicted soft labels, shape (n,); may lie outside [0, 1]: ``rmse``, ``mae``, ``s_rmse`` and ``s_mae`` take
            them as they are, everything else clips them.
        hard01: gold hard labels, 1 = second pole, shape (n,).

    Returns:
        Name to value; NaN where undefined (a correlation with a constant). ``acc_*`` and ``f1_*`` are percentages: the
        predicted pole is the second one if p > 0.5 (``tie_first``) or p >= 0.5 (``tie_second``).

    Raises:
        ValueError: shapes differ, n is 0, a value is NaN, a gold label lies outside [0, 1], or a hard label is not 0/1.

    Source: MBTIBench (arXiv 2412.12510) for the S-metrics; Le-Wi-Di shared tasks 2023 and 2025 for ``ce_lewidi2023``
    and ``md_lewidi2025``; the polarisation measures are ours.

    >>> values = metrics([0.0, 0.25, 1.0], [0.125, 0.25, 0.75], [0, 0, 1])
    >>> len(values), round(values["s_rmse"], 4), values["acc_tie_first"]
    (31, 1.8257, 100.0)
    """
    pairs = SoftLabelPairs(np.asarray(y, dtype=float), np.asarray(p, dtype=float))
    hard = np.asarray(hard01)
    if hard.shape != pairs.y.shape or not np.isin(hard, (0, 1)).all():
        raise ValueError(f"hard01 must be 0 or 1 for each of the {pairs.y.size} gold labels")
    values = {name: formula(pairs) for name, formula in FORMULAS.items()}
    return {**values, **_hard_agreement(pairs.c, hard.astype(int))}


class ScoreDescription(TypedDict):
    """What :func:`describe_scores` returns."""

    n: int
    mean_score: float
    extremity: float
    extreme_share: float
    share_5: float
    distinct_scores: int
    hist_1_9: list[int]


def describe_scores(p: npt.ArrayLike) -> ScoreDescription:
    """Describe predicted soft labels without any gold: where they lie and how polarised they are.

    Args:
        p: predicted soft labels, shape (n,); NaN where an answer could not be parsed, which is left out.

    Returns:
        The number of labels, the mean score (1..9), ``extremity`` (mean distance from the middle, 0..1),
        ``extreme_share`` (strict segments 0, 1, 7, 8), the share of score 5, the number of distinct scores and the
        histogram of scores rounded to 1..9. Means and shares of no label are NaN.

    >>> description = describe_scores([0.0, 0.5, 0.75])
    >>> description["hist_1_9"], round(description["extremity"], 4), round(description["share_5"], 4)
    ([1, 0, 0, 0, 1, 0, 1, 0, 0], 0.5, 0.3333)
    """
    values = np.asarray(p, dtype=float).reshape(-1)
    c = np.clip(values[~np.isnan(values)], 0, 1)
    scores = 1 + 8 * c
    nan, n = float("nan"), c.size
    return ScoreDescription(
        n=n,
        mean_score=float(scores.mean()) if n else nan,
        extremity=float(np.mean(np.abs(2 * c - 1))) if n else nan,
        extreme_share=_extreme_share(c) if n else nan,
        share_5=float(np.mean(c == 0.5)) if n else nan,
        distinct_scores=int(np.unique(c).size),
        hist_1_9=np.bincount(np.floor(scores + 0.5).astype(int) - 1, minlength=9).tolist(),
    )
