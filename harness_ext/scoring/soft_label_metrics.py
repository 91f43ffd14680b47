"""Corpus-level metrics between gold and predicted soft labels.

Throughout, ``y`` are gold soft labels in [0, 1] and ``p`` predicted ones (0 = first pole, 1 = second pole). Undefined
values are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import scipy

from harness_ext.scoring.hard_labels import FORMS as HARD_FORMS
from harness_ext.scoring.resampled import Resampled, draw_by_draw, from_sums, incidence, ratio
from harness_ext.scoring.resampled.numbers import Moments, distinct, nanmean, pearson, spearman
from harness_ext.scoring.segments import bins

Floats = npt.NDArray[np.float64]
Form = Callable[[Floats, Floats], Resampled]
"""A metric of gold and predicted soft labels, each of shape (n,) without NaN."""

_NAN = float("nan")
_MOST_PAIRED = 1000
"""Distinct documents whose pairs are a matrix of 8 MB."""


def soft_label_pairs(y: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Gold and predicted soft labels of one dimension as two columns of shape (n,).

    Raises:
        ValueError: shapes differ, n is 0, a value is NaN, or a gold label lies outside [0, 1].

    >>> soft_label_pairs([0.0, 1.0], [0.25, 1.125])[1].tolist()
    [0.25, 1.125]
    """
    gold, predicted = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    if gold.shape != predicted.shape or gold.ndim != 1 or gold.size == 0:
        raise ValueError(f"y and p must be equally long and not empty; shapes are {gold.shape} and {predicted.shape}")
    if not (((gold >= 0) & (gold <= 1)).all() and not np.isnan(predicted).any()):
        raise ValueError("gold soft labels must lie in [0, 1] and predictions must not be NaN")
    return gold, predicted


def _jsd_bits(a: Floats, b: Floats) -> Floats:
    """Jensen-Shannon divergence of distributions on the last axis, in bits; never NaN or infinite through rounding."""
    entropy = scipy.special.entr
    nats = entropy((a + b) / 2).sum(-1) - (entropy(a).sum(-1) + entropy(b).sum(-1)) / 2
    return np.asarray(np.maximum(nats, 0) / np.log(2))


def _bernoulli(v: Floats) -> Floats:
    return np.stack([v, 1 - v], axis=-1)


def _kendall_tau_b(y: Floats, c: Floats) -> Resampled:
    """Concordant minus discordant pairs of documents, over those that do not tie in one and in the other column.

    With few distinct documents all three are sums over pairs of rows, of how often each was drawn.
    """
    distinct_pairs, rows = distinct(y, c)
    if len(distinct_pairs) > _MOST_PAIRED:

        def value(drawn: npt.NDArray[np.intp]) -> float:
            constant = not len(drawn) or np.ptp(y[drawn]) == 0 or np.ptp(c[drawn]) == 0
            return _NAN if constant else float(scipy.stats.kendalltau(y[drawn], c[drawn]).statistic)

        return draw_by_draw(len(y), value)
    of_y, of_c = (np.sign(np.subtract.outer(column, column)) for column in distinct_pairs.T)

    def of_counts(counts: Floats) -> Floats:
        agreement, differ_y, differ_c = (
            np.einsum("dr,dr->d", counts @ signs, counts) / 2 for signs in (of_y * of_c, of_y**2, of_c**2)
        )
        tau = ratio(agreement, np.sqrt(differ_y), otherwise=_NAN)
        return ratio(tau, np.sqrt(differ_c), otherwise=_NAN).clip(-1, 1)

    return Resampled(rows, len(distinct_pairs), of_counts)


def _concordance(y: Floats, c: Floats) -> Resampled:
    moments = Moments(y, c)

    def value(sums: Floats) -> Floats:
        var_y, var_c, covariance, shift = moments(sums)
        return ratio(2 * covariance, var_y + var_c + shift**2, otherwise=_NAN)

    return from_sums(moments.features, value)


def _variance_ratio(y: Floats, c: Floats) -> Resampled:
    moments = Moments(y, c)

    def value(sums: Floats) -> Floats:
        var_y, var_c, *_ = moments(sums)
        return ratio(var_c, var_y, otherwise=_NAN)

    return from_sums(moments.features, value)


def _wasserstein(y: Floats, c: Floats) -> Resampled:
    """The area between the two distribution functions.

    After each distinct value it is the number of gold labels minus the number of predictions up to it, which is linear
    in the counts.
    """
    pairs, rows = distinct(y, c)
    values, place = np.unique(pairs.T, return_inverse=True)
    row, sign = np.tile(np.arange(len(pairs)), 2), np.repeat([1.0, -1.0], len(pairs))
    steps = incidence(row, place.reshape(-1), (len(pairs), len(values)), sign)

    def of_counts(counts: Floats) -> Floats:
        areas = np.abs(np.cumsum(counts @ steps, axis=1)[:, :-1]) @ np.diff(values)
        return ratio(areas, counts.sum(1), otherwise=_NAN)

    return Resampled(rows, len(pairs), of_counts)


def _of_histograms(value: Callable[[Floats, Floats], Floats]) -> Form:
    """A metric of how many gold labels and predictions lie in each strict segment, each of shape (draws, 9)."""

    def form(y: Floats, c: Floats) -> Resampled:
        found = np.eye(9)[np.stack([bins(y), bins(c)], axis=1)].reshape(-1, 18)
        return from_sums(found, lambda sums: value(sums[:, :9], sums[:, 9:]))

    return form


def _shares(histogram: Floats) -> Floats:
    return ratio(histogram, histogram.sum(1, keepdims=True), otherwise=_NAN)


def _two_class_cross_entropy(y: Floats, c: Floats) -> Floats:
    clipped = np.clip(_bernoulli(c), 1e-12, 1 - 1e-12)
    return np.asarray(-(_bernoulli(y) * np.log(clipped + 1e-9)).sum(-1))


def _clipped_cross_entropy(y: Floats, c: Floats) -> Floats:
    q = np.clip(c, 1e-6, 1 - 1e-6)
    return np.asarray(-(y * np.log(q) + (1 - y) * np.log(1 - q)))


def _extremity(v: Floats) -> Floats:
    return np.asarray(np.abs(2 * v - 1))


def _in_outer_segments(v: Floats) -> npt.NDArray[np.bool_]:
    segments = bins(v)
    return np.asarray((segments <= 1) | (segments >= 7))


_AS_GIVEN: dict[str, Form] = {
    "rmse": lambda y, p: nanmean((y - p) ** 2).then(np.sqrt),
    "mae": lambda y, p: nanmean(np.abs(y - p)),
    "s_rmse": lambda y, p: nanmean((bins(y, "compat") - bins(p, "compat")) ** 2).then(np.sqrt),
    "s_mae": lambda y, p: nanmean(np.abs(bins(y, "compat") - bins(p, "compat"))),
}
_CLIPPED: dict[str, Form] = {
    "s_rmse_9": lambda y, c: nanmean((bins(y) - bins(c)) ** 2).then(np.sqrt),
    "s_mae_9": lambda y, c: nanmean(np.abs(bins(y) - bins(c))),
    "bias": lambda y, c: nanmean(c - y),
    "pearson": pearson,
    "spearman": spearman,
    "kendall_tau_b": _kendall_tau_b,
    "ccc": _concordance,
    "w1_marginal": _wasserstein,
    "w1_hist9_bins": _of_histograms(lambda y, c: np.abs(np.cumsum(_shares(y) - _shares(c), axis=1)).sum(1)),
    "jsd_hist9_bits": _of_histograms(lambda y, c: _jsd_bits(_shares(y), _shares(c))),
    "kl_gold_pred_hist9_addone": _of_histograms(lambda y, c: np.asarray(scipy.stats.entropy(y + 1, c + 1, axis=1))),
    "ce_lewidi2023": lambda y, c: nanmean(_two_class_cross_entropy(y, c)),
    "ce_eps1e-6": lambda y, c: nanmean(_clipped_cross_entropy(y, c)),
    "md_lewidi2025": lambda y, c: nanmean(2 * np.abs(c - y)),
    "jsd_item_bits": lambda y, c: nanmean(_jsd_bits(_bernoulli(y), _bernoulli(c))),
    "brier_soft": lambda y, c: nanmean(2 * (y - c) ** 2),
    "extremity_pred": lambda y, c: nanmean(_extremity(c)),
    "extremity_gold": lambda y, c: nanmean(_extremity(y)),
    "polarisation_gap": lambda y, c: nanmean(_extremity(c) - _extremity(y)),
    "extreme_share_pred": lambda y, c: nanmean(_in_outer_segments(c)),
    "extreme_share_gold": lambda y, c: nanmean(_in_outer_segments(y)),
    "var_ratio": _variance_ratio,
    "tie_share": lambda y, c: nanmean(c == 0.5),
}


def _clipping(form: Form) -> Form:
    return lambda y, p: form(y, np.clip(p, 0, 1))


FORMS: dict[str, Form] = _AS_GIVEN | {name: _clipping(form) for name, form in _CLIPPED.items()}
"""The 27 metrics of two soft-label vectors; S-metrics, rmse and mae take p as given, all others clip it to [0, 1]."""


def forms(y: npt.ArrayLike, p: npt.ArrayLike, hard01: npt.ArrayLike) -> dict[str, Resampled]:
    """The 31 metrics of :func:`metrics` in their resampled form; arguments and errors as there."""
    gold, predicted = soft_label_pairs(y, p)
    hard = np.asarray(hard01)
    if hard.shape != gold.shape or not np.isin(hard, (0, 1)).all():
        raise ValueError(f"hard01 must be 0 or 1 for each of the {gold.size} gold labels")
    found = {name: form(gold, predicted) for name, form in FORMS.items()}
    c = np.clip(predicted, 0, 1)
    for rule, second in (("first", c > 0.5), ("second", c >= 0.5)):
        found[f"acc_tie_{rule}"] = nanmean(second == hard).then(lambda share: 100 * share)
        found[f"f1_tie_{rule}"] = HARD_FORMS["f1"](hard.astype(int), second.astype(int))
    return found


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
    return {name: form.point for name, form in forms(y, p, hard01).items()}


DESCRIPTIONS: dict[str, Callable[[Floats], npt.NDArray[np.generic]]] = {
    "mean_score": lambda c: 1 + 8 * c,
    "extremity": _extremity,
    "extreme_share": _in_outer_segments,
    "share_5": lambda c: c == 0.5,
}
"""What is averaged over clipped predictions to describe them."""


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
    means = {name: nanmean(described(c)).point for name, described in DESCRIPTIONS.items()}
    return ScoreDescription(
        n=c.size,
        mean_score=means["mean_score"],
        extremity=means["extremity"],
        extreme_share=means["extreme_share"],
        share_5=means["share_5"],
        distinct_scores=int(np.unique(c).size),
        hist_1_9=np.bincount(np.floor(1 + 8 * c + 0.5).astype(int) - 1, minlength=9).tolist(),
    )
