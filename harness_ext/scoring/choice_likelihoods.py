"""From the log-likelihoods of listed answers to soft labels: scores 1..9, questionnaire items, order bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import scipy

Floats = npt.NDArray[np.float64]

_SCORES = np.arange(1, 10)


class ExpectedScore(TypedDict):
    """What :func:`expected_score` returns."""

    expected_score: float
    p_soft: float
    argmax_score: int
    entropy_nats: float
    var_score: float
    prob_second_mass: float


def _probabilities(lls: npt.ArrayLike) -> Floats:
    values = np.asarray(lls, dtype=float)
    if np.isnan(values).any() or np.isposinf(values).any() or not np.isfinite(values).any():
        raise ValueError(f"log-likelihoods must be numbers below infinity, at least one of them finite: {lls!r}")
    return np.asarray(scipy.special.softmax(values), dtype=float)


def expected_score(lls: npt.ArrayLike, null_lls: npt.ArrayLike | None = None) -> ExpectedScore:
    """Expected score, and its soft label, of a model that assigns log-likelihoods to the scores 1..9.

    Args:
        lls: log-likelihoods of "1" to "9" (nats), shape (9,).
        null_lls: those of the same prompt without content, shape (9,); subtracted first (contextual calibration).

    Returns:
        ``expected_score`` E in 1..9, ``p_soft`` (E - 1) / 8, ``argmax_score`` (lowest on ties), ``entropy_nats``,
        ``var_score``, and ``prob_second_mass``, the probability of 6 to 9 plus half of that of 5.

    Raises:
        ValueError: not nine numbers, NaN, infinity, or no finite value.

    Source: ours; calibration after Zhao et al. 2021 (arXiv 2102.09690).

    >>> values = expected_score([-2.0] * 9)
    >>> round(values["expected_score"], 9), round(values["p_soft"], 9), values["argmax_score"]
    (5.0, 0.5, 1)
    """
    values = np.asarray(lls, dtype=float)
    null = np.zeros(9) if null_lls is None else np.asarray(null_lls, dtype=float)
    if values.shape != (9,) or null.shape != (9,):
        raise ValueError(
            f"expected nine log-likelihoods for the scores 1 to 9, got shapes {values.shape}, {null.shape}"
        )
    if not np.isfinite(null).all():
        raise ValueError("the log-likelihoods to calibrate with must be finite")
    probabilities = _probabilities(values - null)
    mean = float(probabilities @ _SCORES)
    return ExpectedScore(
        expected_score=mean,
        p_soft=(mean - 1) / 8,
        argmax_score=int(np.argmax(probabilities)) + 1,
        entropy_nats=float(scipy.special.entr(probabilities).sum()),
        var_score=float(probabilities @ (_SCORES - mean) ** 2),
        prob_second_mass=float(probabilities[5:].sum() + probabilities[4] / 2),
    )


def pool4(probabilities: npt.ArrayLike) -> Floats:
    """Pool probabilities of the scores 1..9 into the four options of the annotators.

    Args:
        probabilities: shape (..., 9).

    Returns:
        Shape (..., 4): {1, 2}, {3, 4, half of 5}, {half of 5, 6, 7}, {8, 9}.

    Raises:
        ValueError: the last axis is not 9 long.

    >>> pool4([0, 0, 0, 0, 1, 0, 0, 0, 0]).tolist()
    [0.0, 0.5, 0.5, 0.0]
    """
    p = np.asarray(probabilities, dtype=float)
    if p.ndim == 0 or p.shape[-1] != 9:
        raise ValueError(f"the last axis must hold the nine scores, but the shape is {p.shape}")
    half = p[..., 4] / 2
    return np.stack(
        [p[..., 0:2].sum(-1), p[..., 2:4].sum(-1) + half, p[..., 5:7].sum(-1) + half, p[..., 7:9].sum(-1)], axis=-1
    )


def ordinal_w1(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float64] | float:
    """Wasserstein-1 distance between distributions over ordered options, one option apart costing 1.

    Args:
        a: probabilities on the last axis, e.g. the pooled answer, shape (..., k).
        b: the same shape, e.g. the shares of the options among the annotators.

    Returns:
        Distance 0..k-1, shape (...); a float for two vectors.

    Raises:
        ValueError: the shapes differ.

    >>> ordinal_w1([1, 0, 0, 0], [0, 0, 0, 1])
    3.0
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape or first.ndim == 0:
        raise ValueError(f"distributions must have the same shape, not {first.shape} and {second.shape}")
    distance = np.abs(np.cumsum(first - second, axis=-1)[..., :-1]).sum(-1)
    return float(distance) if distance.ndim == 0 else distance


class QuestionnaireScore(TypedDict):
    """What :func:`psycot_ll` returns."""

    item_values: list[float]
    p: float


def psycot_ll(
    item_lls: Sequence[Sequence[float]], items: Sequence[Mapping[str, Any]], second_letter: str
) -> QuestionnaireScore:
    """Soft label from the log-likelihoods of the answers to a keyed questionnaire.

    Args:
        item_lls: for each item the log-likelihoods (nats) of its options A, B, C, ... in order.
        items: for each item a mapping whose ``option_to_pole`` gives the pole letter of its keyed options; any other
            option ("not sure", unkeyed, or with the pole None) counts half.
        second_letter: letter of the second pole.

    Returns:
        ``item_values``, the probability of the second pole per item, and ``p``, their mean.

    Raises:
        ValueError: no items, different lengths, an option key beyond the options given, or no finite log-likelihood.

    Source: ours, after PsyCoT (arXiv 2310.20256), which asks the items in words.

    >>> item = {"option_to_pole": {"A": "E", "B": "I"}}
    >>> psycot_ll([[0.0, 0.0, 0.0]], [item], "I")
    {'item_values': [0.5], 'p': 0.5}
    """
    if len(item_lls) != len(items) or not items:
        raise ValueError(f"one list of log-likelihoods per item is needed; got {len(item_lls)} for {len(items)} items")
    item_values = []
    for lls, item in zip(item_lls, items, strict=True):
        poles: Mapping[str, str | None] = item["option_to_pole"]
        options = [chr(ord("A") + position) for position in range(len(lls))]
        if not set(poles) <= set(options):
            raise ValueError(f"item keys options {sorted(poles)}, but log-likelihoods are given for {options}")
        # a file, or a column of structs, gives an unkeyed option as null
        given = [poles.get(option) for option in options]
        weights = [0.5 if pole is None else float(pole == second_letter) for pole in given]
        item_values.append(float(_probabilities(lls) @ np.asarray(weights)))
    return QuestionnaireScore(item_values=item_values, p=float(np.mean(item_values)))


class OrderBias(TypedDict):
    """What :func:`order_bias` returns."""

    ids: list[int]
    p_mean: list[float]
    disagreement: float


def order_bias(p_normal: Mapping[int, float], p_swapped: Mapping[int, float]) -> OrderBias:
    """Join the soft labels asked for on the scale and on the reversed scale.

    Args:
        p_normal: item id to soft label.
        p_swapped: the same ids; labels already turned back, so that 1 is the second pole here too.

    Returns:
        ``ids`` in ascending order, ``p_mean`` (the mean of both per id) and ``disagreement``, the mean absolute
        difference (0 = no order bias).

    Raises:
        ValueError: the ids differ or there are none.

    >>> order_bias({1: 0.75, 2: 0.5}, {1: 0.625, 2: 0.5})
    {'ids': [1, 2], 'p_mean': [0.6875, 0.5], 'disagreement': 0.0625}
    """
    if p_normal.keys() != p_swapped.keys() or not p_normal:
        alone = sorted(p_normal.keys() ^ p_swapped.keys())
        raise ValueError(f"both orders must answer the same ids; in one order only: {alone[:5]} ({len(alone)} in all)")
    ids = sorted(p_normal)
    normal, swapped = (np.array([answers[i] for i in ids], dtype=float) for answers in (p_normal, p_swapped))
    return OrderBias(
        ids=ids, p_mean=((normal + swapped) / 2).tolist(), disagreement=float(np.mean(np.abs(normal - swapped)))
    )


def flip(p: float) -> float:
    """Turn a soft label from a reversed scale (1 = first pole) back to 1 = second pole.

    >>> flip(0.25)
    0.75
    """
    return 1 - p
