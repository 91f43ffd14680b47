"""Soft labels from annotators' graded votes: the expectation maximisation behind the released MBTIBench labels.

Three annotators each vote one of four options per item: the first pole strongly (``X+``) or weakly (``X-``), the
second pole weakly (``Y-``) or strongly (``Y+``), coded 0 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

ANNOTATORS = 3
OPTIONS = 4


class SoftLabels(NamedTuple):
    """What :func:`em_soft_labels` returns; n items, three annotators, four options (X+, X-, Y-, Y+)."""

    soft: Floats
    """Soft label per item, 0 = first pole, 1 = second pole, shape (n,)."""
    posterior_first: Floats
    """Probability of the first pole per item before the rank transform, shape (n,)."""
    iterations: list[tuple[float, float]]
    """Per expectation step the largest change of a posterior and the prior of the first pole after it."""
    m_steps: int
    """Number of maximisation steps."""
    prior_first: float
    """Prior of the first pole that the posterior was computed with."""
    confusion_first: Floats
    """Share of each option among the votes of an annotator on items of the first pole, shape (3, 4)."""
    confusion_second: Floats
    """The same on items of the second pole."""


class Monotonicity(NamedTuple):
    """What :func:`monotonicity` returns."""

    comparable_pattern_pairs: int
    """Ordered pairs of distinct vote patterns in which no annotator leans less to the second pole."""
    violations: int
    """Those pairs in which the soft label nevertheless falls."""
    record_pairs: int
    """The comparable pairs, counted by items."""
    record_violations: int
    """The violations, counted by items."""


def vote_codes(annotations: Sequence[Sequence[str]], first: str, second: str) -> Codes:
    """Code votes as 0 (``X+``), 1 (``X-``), 2 (``Y-``) and 3 (``Y+``).

    Args:
        annotations: three options per item, always in the same order of annotators, n items.
        first: letter X of the first pole.
        second: letter Y of the second pole.

    Returns:
        Codes, shape (n, 3).

    Raises:
        ValueError: there is no item, an item has not three votes, or an option is unknown.

    >>> vote_codes([("E+", "E-", "I-")], "E", "I").tolist()
    [[0, 1, 2]]
    """
    options = {f"{first}+": 0, f"{first}-": 1, f"{second}-": 2, f"{second}+": 3}
    if len(options) < OPTIONS or not annotations:
        raise ValueError(f"at least one item and two different poles are needed, not {first!r} and {second!r}")
    for position, votes in enumerate(annotations):
        if len(votes) != ANNOTATORS:
            raise ValueError(f"item {position}: {len(votes)} votes instead of {ANNOTATORS}")
        for vote in votes:
            if vote not in options:
                raise ValueError(f"item {position}: unknown option {vote!r}; options are {', '.join(options)}")
    return np.array([[options[vote] for vote in votes] for votes in annotations], dtype=np.int64)


def _confusion(one_hot: Floats, weights: Floats) -> Floats:
    """Share of each option per annotator among weighted patterns; zero where nothing has weight. Shape (3, 4)."""
    total = weights.sum()
    shares = np.tensordot(weights, one_hot, axes=1)
    return np.asarray(shares / total if total > 0 else shares)


def _initial_parameters(codes: Codes, one_hot: Floats, counts: Floats, normalise: bool) -> tuple[float, Floats, Floats]:
    """Prior of the first pole and both confusions from the items' median options, with add-one counts."""
    median = np.median(codes, axis=1).astype(int)
    members = (median[:, None] == np.arange(OPTIONS)) * counts[:, None]
    votes = 1 + np.einsum("jk,jac->akc", members, one_hot)
    share = votes.sum(axis=(0, 2)) / votes.sum()
    first, second = (np.einsum("k,akc->ac", share[s], votes[:, s]) / share[s].sum() for s in (slice(0, 2), slice(2, 4)))
    if normalise:
        first, second = (m / m.sum(axis=1, keepdims=True) for m in (first, second))
    return float(share[:2].sum()), first, second


def _posterior_first(codes: Codes, prior: float, first: Floats, second: Floats) -> Floats:
    """Probability of the first pole per pattern."""
    annotators = np.arange(ANNOTATORS)
    for_first = prior * first[annotators, codes].prod(axis=1)
    total = for_first + (1 - prior) * second[annotators, codes].prod(axis=1)
    return np.asarray(for_first / np.where(total == 0, 1, total))


def _rank_transform(posterior: Floats, names: Sequence[str], counts: Floats) -> Floats:
    """Spread patterns evenly over each side of 0.5 by cumulative count, the outermost of a side reaching 0 or 1."""
    ascending = sorted(range(len(names)), key=lambda j: (posterior[j], names[j]))
    q = np.full(len(names), 0.5)
    for sign, outward in (
        (-1, [j for j in reversed(ascending) if posterior[j] < 0.5]),
        (1, [j for j in ascending if posterior[j] >= 0.5]),
    ):
        if outward:
            middle = np.cumsum(counts[outward]) - counts[outward] / 2
            q[outward] = 0.5 + sign * middle / (2 * middle.max())
    return q


def em_soft_labels(
    annotations: Sequence[Sequence[str]],
    first: str,
    second: str,
    *,
    tol: float = 0.1,
    max_iter: int = 10_000,
    prior: Literal["hard", "soft"] = "hard",
    normalise_init: bool = False,
) -> SoftLabels:
    """Soft labels of one dimension from three graded votes per item.

    Two latent classes (the poles) and one confusion per annotator are fitted by expectation maximisation; the
    posteriors are then spread evenly over both sides of 0.5 by rank. The defaults repeat the released labels exactly;
    they stop before convergence. ``prior="soft", normalise_init=True, tol=1e-8`` is the model of Dawid and Skene.

    Items with the same votes get the same label, and the result does not depend on the order of the items.

    Args:
        annotations: three options per item (``X+``, ``X-``, ``Y-``, ``Y+``), annotators always in the same order.
        first: letter X of the first pole.
        second: letter Y of the second pole.
        tol: stop when no posterior changes by this much.
        max_iter: largest number of expectation steps of the loop.
        prior: of the first pole: ``"hard"`` is the share of items with a posterior above 0.5, ``"soft"`` the mean
            posterior.
        normalise_init: whether the initial confusions are shares; the released code starts from counts.

    Returns:
        Labels, posteriors and the course of the fit.

    Raises:
        ValueError: the votes are not as described, or an option is out of range.

    Source: MBTIBench (arXiv 2412.12510), ``dataset/em_softlabel.py``; Dawid and Skene 1979.

    >>> votes = [("E+", "E-", "E-"), ("E-", "E-", "I-"), ("I-", "E-", "I-"), ("I-", "I+", "I-")]
    >>> [round(label, 3) for label in em_soft_labels(votes, "E", "I").soft.tolist()]
    [0.0, 0.333, 0.667, 1.0]
    """
    if max_iter < 1 or not tol >= 0 or prior not in ("hard", "soft"):
        raise ValueError(f'max_iter >= 1, tol >= 0 and prior "hard" or "soft" needed; got {max_iter}, {tol}, {prior!r}')
    # Items with equal votes are one weighted pattern: faster, and exactly independent of the order of the items.
    codes, pattern_of, sizes = np.unique(
        vote_codes(annotations, first, second), axis=0, return_inverse=True, return_counts=True
    )
    counts, pattern_of = sizes.astype(float), pattern_of.reshape(-1)
    one_hot = np.eye(OPTIONS)[codes]
    names = ["".join((f"{first}+", f"{first}-", f"{second}-", f"{second}+")[c] for c in row) for row in codes.tolist()]

    prior_first, confusion_first, confusion_second = _initial_parameters(codes, one_hot, counts, normalise_init)
    previous = (np.median(codes, axis=1) <= 1).astype(float)
    iterations: list[tuple[float, float]] = []
    m_steps = 0
    for _ in range(max_iter):
        posterior = _posterior_first(codes, prior_first, confusion_first, confusion_second)
        prior_first = float(np.average(posterior > 0.5 if prior == "hard" else posterior, weights=counts))
        change = float(np.abs(posterior - previous).max())
        iterations.append((change, prior_first))
        if change < tol:
            break
        previous = posterior
        confusion_first = _confusion(one_hot, counts * posterior)
        confusion_second = _confusion(one_hot, counts * (1 - posterior))
        m_steps += 1
    posterior = _posterior_first(codes, prior_first, confusion_first, confusion_second)
    soft = 1 - _rank_transform(posterior, names, counts)
    return SoftLabels(
        soft[pattern_of], posterior[pattern_of], iterations, m_steps, prior_first, confusion_first, confusion_second
    )


def majority_pole(annotations: Sequence[Sequence[str]], first: str, second: str) -> list[str]:
    """The pole that at least two of the three annotators voted for, strongly or weakly, per item.

    Arguments and errors are those of :func:`em_soft_labels`.

    >>> majority_pole([("E+", "I-", "E-"), ("I-", "I-", "E+")], "E", "I")
    ['E', 'I']
    """
    second_votes = (vote_codes(annotations, first, second) >= 2).sum(axis=1)
    return [second if votes > ANNOTATORS / 2 else first for votes in second_votes.tolist()]


def mean4(annotations: Sequence[Sequence[str]], first: str, second: str) -> Floats:
    """Mean vote on an even scale: 0 (``X+``), 1/3 (``X-``), 2/3 (``Y-``), 1 (``Y+``); monotone in the votes.

    Arguments and errors are those of :func:`em_soft_labels`; the result has shape (n,), in [0, 1].

    Source: ours, the transparent alternative to the released labels.

    >>> mean4([("E+", "E+", "E+"), ("E+", "I+", "I+")], "E", "I").round(4).tolist()
    [0.0, 0.6667]
    """
    return np.asarray(vote_codes(annotations, first, second).mean(axis=1) / 3)


def monotonicity(annotations: Sequence[Sequence[str]], soft: npt.ArrayLike, first: str, second: str) -> Monotonicity:
    """Count how often a soft label falls although no annotator leans less to the second pole.

    Args:
        annotations: three options per item.
        soft: soft label per item, equal for equal votes, shape (n,).
        first: letter of the first pole.
        second: letter of the second pole.

    Returns:
        Comparable pairs and violations (by more than 1e-12), among distinct vote patterns and among items.

    Raises:
        ValueError: the votes are not as described, or ``soft`` has another length.

    >>> monotonicity([("E-", "E-", "E-"), ("E-", "E-", "I-")], [0.4, 0.3], "E", "I")
    Monotonicity(comparable_pattern_pairs=1, violations=1, record_pairs=1, record_violations=1)
    """
    codes = vote_codes(annotations, first, second)
    labels = np.asarray(soft, dtype=float)
    if labels.shape != (len(codes),):
        raise ValueError(f"soft must hold {len(codes)} labels, one per item, but has shape {labels.shape}")
    patterns, where, counts = np.unique(codes, axis=0, return_index=True, return_counts=True)
    at_least = (patterns[:, None] >= patterns[None, :]).all(axis=-1) & ~np.eye(len(patterns), dtype=bool)
    label = labels[where]
    falls = at_least & (label[:, None] < label[None, :] - 1e-12)
    items = counts[:, None] * counts[None, :]
    return Monotonicity(int(at_least.sum()), int(falls.sum()), int(items[at_least].sum()), int(items[falls].sum()))
