"""Corpus-level metrics between gold and predicted soft labels, and between hard labels.

Throughout, ``y`` are gold soft labels in [0, 1] and ``p`` predicted ones (0 = first pole, 1 = second pole). Undefined
values are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from harness_ext.scoring.segments import bins, segmented_mae, segmented_rmse

Floats = npt.NDArray[np.float64]


def _jsd_bits(a: Floats, b: Floats) -> Floats:
    """Jensen-Shannon divergence of distributions on the last axis, in bits; never NaN or infinite through rounding."""
    nats = special.entr((a + b) / 2).sum(-1) - (special.entr(a).sum(-1) + special.entr(b).sum(-1)) / 2
    return np.asarray(np.maximum(nats, 0) / np.log(2))


def _macro_f1(gold: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], labels: Sequence[int]) -> float:
    """Macro F1 in [0, 1]; numpy, because sklearn's checks dominate the thousands of calls of a bootstrap."""
    classes = np.asarray(labels)[:, None]
    truth, guess = gold == classes, predicted == classes
    sizes = truth.sum(1) + guess.sum(1)
    return float(np.mean(2 * (truth & guess).sum(1) / np.maximum(sizes, 1)))


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
        values[f"f1_tie_{rule}"] = 100 * _macro_f1(hard, second.astype(int), (0, 1))
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


class FailureMetrics(TypedDict):
    """What :func:`with_failures` returns."""

    parse_failure: float
    n_parsed: int
    s_rmse: float
    s_rmse_9: float
    s_mae_9: float
    s_rmse_parsed: float
    s_mae_parsed: float
    s_rmse_worst: float
    s_mae_worst: float


def with_failures(y: npt.ArrayLike, p: npt.ArrayLike, failed: npt.ArrayLike) -> FailureMetrics:
    """S-metrics of a run in which some answers could not be parsed, under three readings of a failure.

    Args:
        y: gold soft labels in [0, 1], shape (n,).
        p: predicted soft labels, shape (n,); ignored (NaN allowed) where ``failed``.
        failed: truth values, shape (n,).

    Returns:
        ``parse_failure`` (share) and ``n_parsed``; ``s_rmse`` (released segments), ``s_rmse_9`` and ``s_mae_9`` with
        failures at 0.5, as in the paper; ``*_parsed`` over parsed answers only (NaN if there are none); ``*_worst``
        with failures at the far end of the scale. The last four use strict segments.

    Raises:
        ValueError: shapes differ, n is 0, a parsed prediction is NaN, or a gold label lies outside [0, 1].

    >>> values = with_failures([0.0, 1.0], [0.125, float("nan")], [False, True])
    >>> values["parse_failure"], values["s_mae_9"], values["s_mae_parsed"], values["s_mae_worst"]
    (0.5, 2.5, 1.0, 4.5)
    """
    gold, missing = np.asarray(y, dtype=float), np.asarray(failed, dtype=bool)
    if missing.shape != gold.shape:
        raise ValueError(f"failed must have the shape of y, {gold.shape}, not {missing.shape}")
    d = SoftLabelPairs(gold, np.where(missing, 0.5, np.asarray(p, dtype=float)))
    worst = np.where(missing, np.where(d.y >= 0.5, 0.0, 1.0), d.c)
    parsed, nan = ~missing, float("nan")
    return FailureMetrics(
        parse_failure=float(missing.mean()),
        n_parsed=int(parsed.sum()),
        s_rmse=segmented_rmse(d.y, d.p, "compat"),
        s_rmse_9=segmented_rmse(d.y, d.c),
        s_mae_9=segmented_mae(d.y, d.c),
        s_rmse_parsed=segmented_rmse(d.y[parsed], d.c[parsed]) if parsed.any() else nan,
        s_mae_parsed=segmented_mae(d.y[parsed], d.c[parsed]) if parsed.any() else nan,
        s_rmse_worst=segmented_rmse(d.y, worst),
        s_mae_worst=segmented_mae(d.y, worst),
    )


class Line(TypedDict):
    """Intercept and slope of ``y ~ a + b c``."""

    a: float
    b: float


class RecalibratedMetrics(TypedDict):
    """What :func:`recalibrate` returns."""

    s_rmse_recal: float
    s_mae_recal: float
    s_rmse_9_recal: float
    s_mae_9_recal: float
    rmse_recal: float
    coef: dict[str, Line]


def _least_squares(c: Floats, y: Floats) -> Line:
    variance = c.var()
    # The variance of a constant can be rounding noise; dividing by it would invent a slope.
    constant = np.ptp(c) == 0 or variance == 0
    slope = 0.0 if constant else float(np.mean((c - c.mean()) * (y - y.mean())) / variance)
    return Line(a=float(y.mean() - slope * c.mean()), b=slope)


def recalibrate(y: npt.ArrayLike, p: npt.ArrayLike, ids: npt.ArrayLike) -> RecalibratedMetrics:
    """Errors after an affine correction learnt on the other half of the items: separates shifted from uninformed.

    The items with even ids are corrected by the least-squares line ``y ~ a + b c`` of those with odd ids and the other
    way round (c: predictions clipped to [0, 1]), clipped again and pooled.

    Args:
        y: gold soft labels in [0, 1], shape (n,).
        p: predicted soft labels, shape (n,).
        ids: whole numbers, shape (n,), with at least one even and one odd.

    Returns:
        The errors, and under ``coef`` the two lines. A constant predictor gets slope 0 and the mean of the other half.

    Raises:
        ValueError: shapes differ, a half is empty, a value is NaN, or a gold label lies outside [0, 1].

    >>> values = recalibrate([0.2, 0.2, 0.8, 0.8], [0.6, 0.6, 0.9, 0.9], [1, 2, 3, 4])
    >>> round(values["rmse_recal"], 9), round(values["coef"]["applied_to_even_ids"]["b"], 9)
    (0.0, 2.0)
    """
    d = SoftLabelPairs(np.asarray(y, dtype=float), np.asarray(p, dtype=float))
    even = np.asarray(ids).astype(int) % 2 == 0
    if even.shape != d.y.shape or even.all() or not even.any():
        raise ValueError(f"ids must be {d.y.size} whole numbers with at least one even and one odd")
    corrected, lines = np.empty_like(d.y), {}
    for name, fold in (("applied_to_even_ids", even), ("applied_to_odd_ids", ~even)):
        line = lines[name] = _least_squares(d.c[~fold], d.y[~fold])
        corrected[fold] = np.clip(line["a"] + line["b"] * d.c[fold], 0, 1)
    return RecalibratedMetrics(
        s_rmse_recal=segmented_rmse(d.y, corrected, "compat"),
        s_mae_recal=segmented_mae(d.y, corrected, "compat"),
        s_rmse_9_recal=segmented_rmse(d.y, corrected),
        s_mae_9_recal=segmented_mae(d.y, corrected),
        rmse_recal=float(np.sqrt(np.mean((d.y - corrected) ** 2))),
        coef=lines,
    )


class HardMetrics(TypedDict):
    """What :func:`hard_metrics` returns."""

    n_fail: int
    acc: float
    f1: float
    f1_compat: float


def hard_metrics(gold: Sequence[str], pred: Sequence[str | None], poles: Sequence[str]) -> HardMetrics:
    """Accuracy and macro F1 of hard labels, in percent; an unparsable answer is wrong but never a class.

    Args:
        gold: labels, each one of ``poles``, length n > 0.
        pred: predicted labels of the same length; None for an unparsable answer.
        poles: the two labels.

    Returns:
        ``n_fail`` (count), ``acc``, ``f1`` (macro over exactly the two poles), and ``f1_compat``, the released
        computation: macro over all labels seen, where failures are a class of their own, so that one failure in a
        perfect run costs a third.

    Raises:
        ValueError: lengths differ, n is 0, there are not two poles, or a label is not a pole.

    Source: MBTIBench (arXiv 2412.12510), released evaluation for ``acc`` and ``f1_compat``.

    >>> hard_metrics(["E", "I", "I", "E"], ["E", "I", None, "E"], ("E", "I"))
    {'n_fail': 1, 'acc': 75.0, 'f1': 83.33333333333333, 'f1_compat': 55.55555555555555}
    """
    if len(gold) != len(pred) or not gold:
        raise ValueError(f"gold and pred must be equally long and not empty; lengths are {len(gold)} and {len(pred)}")
    if len(set(poles)) != 2 or len(poles) != 2:
        raise ValueError(f"poles must be two different labels, not {poles!r}")
    codes: dict[str | None, int] = {poles[0]: 0, poles[1]: 1, None: 2}
    strangers = (set(gold) - set(poles)) | (set(pred) - set(codes))
    if strangers:
        raise ValueError(f"labels {sorted(map(repr, strangers))} are neither of the poles {poles!r}")
    truth, guess = np.array([codes[label] for label in gold]), np.array([codes[label] for label in pred])
    seen = sorted({*truth.tolist(), *guess.tolist()})
    return HardMetrics(
        n_fail=int((guess == 2).sum()),
        acc=100 * float(np.mean(truth == guess)),
        f1=100 * _macro_f1(truth, guess, (0, 1)),
        f1_compat=100 * _macro_f1(truth, guess, seen),
    )


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
