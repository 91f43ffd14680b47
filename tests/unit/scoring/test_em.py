"""Soft labels from votes: an item-by-item reference, invariances, and the edges of the algorithm."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_ext.scoring.em import em_soft_labels, majority_pole, mean4, monotonicity, vote_codes

OPTIONS = ("E+", "E-", "I-", "I+")
MIRROR = dict(zip(OPTIONS, reversed(OPTIONS), strict=True))
VOTES = st.lists(st.tuples(*[st.sampled_from(OPTIONS)] * 3), min_size=1, max_size=30)
VARIANTS = st.fixed_dictionaries({"prior": st.sampled_from(["hard", "soft"]), "normalise_init": st.booleans()})


def posterior_item_by_item(votes: list[tuple[str, ...]], steps: int, normalise: bool) -> list[float]:
    """Posterior of the first pole after ``steps`` soft-prior steps, in plain Python with one loop an item."""
    codes = [[OPTIONS.index(option) for option in vote] for vote in votes]
    count = [[[1.0] * 4 for _ in range(4)] for _ in range(3)]
    for row in codes:
        for a in range(3):
            count[a][int(median(row))][row[a]] += 1
    total = sum(map(sum, (cells for annotator in count for cells in annotator)))
    share = [sum(sum(count[a][k]) for a in range(3)) / total for k in range(4)]
    prior = share[0] + share[1]
    sides = ((0, 1, prior), (2, 3, 1 - prior))
    confusion = [
        [[(share[i] * count[a][i][c] + share[j] * count[a][j][c]) / mass for c in range(4)] for a in range(3)]
        for i, j, mass in sides
    ]
    if normalise:
        confusion = [[[cell / sum(cells) for cell in cells] for cells in pole] for pole in confusion]

    def posterior() -> list[float]:
        values = []
        for row in codes:
            first = prior * math.prod(confusion[0][a][row[a]] for a in range(3))
            second = (1 - prior) * math.prod(confusion[1][a][row[a]] for a in range(3))
            values.append(first / (first + second) if first + second else 0.0)
        return values

    for _ in range(steps):
        r = posterior()
        prior = sum(r) / len(r)
        for pole, weights in enumerate((r, [1 - value for value in r])):
            mass = sum(weights) or 1.0
            confusion[pole] = [
                [sum(w for w, row in zip(weights, codes, strict=True) if row[a] == c) / mass for c in range(4)]
                for a in range(3)
            ]
    return posterior()


@given(VOTES, st.integers(1, 4), st.booleans())
@settings(deadline=None)
def test_posteriors_equal_an_item_by_item_computation(votes: Any, steps: int, normalise: bool) -> None:
    fit = em_soft_labels(votes, "E", "I", tol=0, max_iter=steps, prior="soft", normalise_init=normalise)
    assert fit.posterior_first == pytest.approx(posterior_item_by_item(votes, steps, normalise), abs=1e-9)
    assert fit.m_steps == len(fit.iterations) == steps


@given(VOTES, VARIANTS, st.randoms(use_true_random=False))
def test_labels_do_not_depend_on_the_order_of_the_items(votes: Any, variant: dict[str, Any], random: Any) -> None:
    order = list(range(len(votes)))
    random.shuffle(order)
    fit = em_soft_labels(votes, "E", "I", **variant)
    shuffled = em_soft_labels([votes[i] for i in order], "E", "I", **variant)
    assert shuffled.soft.tolist() == fit.soft[order].tolist()
    assert shuffled.iterations == fit.iterations


@given(VOTES, VARIANTS)
def test_labels_are_soft_equal_for_equal_votes_and_on_the_side_of_their_posterior(
    votes: Any, variant: dict[str, Any]
) -> None:
    fit = em_soft_labels(votes, "E", "I", **variant)
    assert ((fit.soft >= 0) & (fit.soft <= 1)).all()
    assert ((fit.soft < 0.5) == (fit.posterior_first >= 0.5)).all()
    assert len({(vote, label) for vote, label in zip(votes, fit.soft.tolist(), strict=True)}) == len(set(votes))
    falling = np.argsort(fit.posterior_first, kind="stable")
    assert (np.diff(fit.soft[falling])[np.diff(fit.posterior_first[falling]) > 0] < 0).all()


@given(VOTES, st.booleans())
def test_exchanging_the_poles_exchanges_the_posteriors(votes: Any, normalise: bool) -> None:
    mirrored = [tuple(MIRROR[option] for option in vote) for vote in votes]
    options: Any = {"tol": 0, "max_iter": 3, "prior": "soft", "normalise_init": normalise}
    fit = em_soft_labels(votes, "E", "I", **options)
    swapped = em_soft_labels(mirrored, "E", "I", **options)
    assert swapped.posterior_first == pytest.approx(1 - fit.posterior_first, abs=1e-9)


@given(VOTES, VARIANTS)
def test_confusions_are_shares_after_a_step(votes: Any, variant: dict[str, Any]) -> None:
    fit = em_soft_labels(votes, "E", "I", tol=0, max_iter=3, **variant)
    for confusion, mass in (
        (fit.confusion_first, fit.posterior_first.max()),
        (fit.confusion_second, (1 - fit.posterior_first).max()),
    ):
        if mass > 1e-6:
            assert confusion.sum(axis=1) == pytest.approx([1, 1, 1])


def test_an_outermost_pattern_reaches_the_end_of_its_side() -> None:
    votes = [("E+", "E+", "E+"), ("E-", "E-", "E-"), ("I-", "I-", "I-"), ("I+", "I+", "I+")]
    soft = em_soft_labels(votes, "E", "I").soft
    assert soft.min() == 0
    assert soft.max() == 1


def test_patterns_of_equal_posterior_stand_in_the_order_of_their_letters_and_signs() -> None:
    # "+" comes before "-", so that on the second side the order of the names is not that of the options
    votes = [("I-", "I+", "I-"), ("I+", "I-", "I-"), ("E-", "E-", "E-"), ("E-", "E-", "E-")]
    labels = em_soft_labels(votes, "E", "I")
    assert labels.posterior_first[0] == labels.posterior_first[1]
    assert labels.soft[:2].tolist() == pytest.approx([2 / 3, 1.0])


def test_votes_on_one_side_only_leave_the_other_side_empty() -> None:
    fit = em_soft_labels([("I+", "I+", "I+"), ("I-", "I+", "I+")], "E", "I")
    assert (fit.soft > 0.5).all()
    assert fit.prior_first == 0


def test_the_loop_ends_at_the_largest_number_of_steps() -> None:
    votes = [("E+", "E-", "I-"), ("I-", "I-", "E+"), ("E-", "E-", "E-")]
    assert len(em_soft_labels(votes, "E", "I", tol=0, max_iter=7).iterations) == 7


@given(VOTES)
def test_mean_votes_are_monotone_and_mirror_with_the_poles(votes: Any) -> None:
    labels = mean4(votes, "E", "I")
    assert monotonicity(votes, labels, "E", "I").violations == 0
    assert mean4([tuple(MIRROR[o] for o in vote) for vote in votes], "E", "I") == pytest.approx(1 - labels)


@given(VOTES)
def test_monotonicity_equals_a_count_over_all_pairs_of_items(votes: Any) -> None:
    soft = em_soft_labels(votes, "E", "I").soft
    codes = [tuple(OPTIONS.index(option) for option in vote) for vote in votes]
    pairs = [
        (i, j)
        for i, a in enumerate(codes)
        for j, b in enumerate(codes)
        if a != b and all(x >= y for x, y in zip(a, b, strict=True))
    ]
    bad = [(i, j) for i, j in pairs if soft[i] < soft[j] - 1e-12]
    found = monotonicity(votes, soft, "E", "I")
    assert (found.record_pairs, found.record_violations) == (len(pairs), len(bad))
    assert found.comparable_pattern_pairs == len({(codes[i], codes[j]) for i, j in pairs})
    assert found.violations == len({(codes[i], codes[j]) for i, j in bad})


def test_the_majority_counts_weak_and_strong_votes_alike() -> None:
    assert majority_pole([("E+", "I-", "I-"), ("E-", "E-", "I+")], "E", "I") == ["I", "E"]


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([], "at least one item"),
        ([("E+", "E+")], "item 0: 2 votes"),
        ([("E+", "E+", "I-"), ("E+", "X+", "I-")], "item 1: unknown option 'X\\+'"),
    ],
)
def test_votes_that_cannot_be_coded_are_named(votes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vote_codes(votes, "E", "I")
    with pytest.raises(ValueError, match="different poles"):
        vote_codes([("E+", "E+", "E+")], "E", "E")


@pytest.mark.parametrize("options", [{"tol": math.nan}, {"tol": -1}, {"max_iter": 0}, {"prior": "flat"}])
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needed"):
        em_soft_labels([("E+", "E+", "I-")], "E", "I", **options)
    with pytest.raises(ValueError, match="one per item"):
        monotonicity([("E+", "E+", "I-")], [0.1, 0.2], "E", "I")
