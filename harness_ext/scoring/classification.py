"""F1, recall, accuracy and set overlap over a fixed list of labels, on the scale 0-100.

The label list is always given: an answer that is no label (``"invalid"``, ``None``, an empty set) is wrong and never a
class of its own. A label that occurs neither in gold nor in predictions is left out of a macro mean; everything else
equals scikit-learn with ``labels=`` and ``zero_division=0``.

The ``agg_*`` functions are what lm-eval calls. Their items come in three forms. A *label item* is
``(gold label numbers, predicted label numbers, number of labels)``, with one-element lists for single-label tasks. A
*decision item* is ``(true positives, false positives, false negatives, true negatives)`` of the yes/no decisions in one
doc. A *candidate item* is ``(doc, candidate number, gold, predicted)`` of a single decision that is put together with
the doc's others. All survive the round trip through a samples file.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LabelItem = tuple[Sequence[int], Sequence[int], int]
DecisionItem = tuple[int, int, int, int]
Counts = npt.NDArray[np.int64]


class LabelCounts(NamedTuple):
    """Docs per label: right predictions, predictions, gold; each of shape (labels,)."""

    hits: Counts
    predicted: Counts
    gold: Counts


def count_labels(
    gold: Sequence[Collection[Hashable]], predicted: Sequence[Collection[Hashable]], labels: Sequence[Hashable]
) -> LabelCounts:
    """Hits, predictions and gold occurrences of every label.

    Args:
        gold: the label set of each doc; members outside ``labels`` are not counted.
        predicted: the predicted label set of each doc; same length.
        labels: the labels, in order.

    Raises:
        ValueError: the lengths differ.

    >>> count_labels([{"joy"}, {"fear", "joy"}], [{"joy"}, {"invalid"}], ["joy", "fear"])
    LabelCounts(hits=array([1, 0]), predicted=array([1, 0]), gold=array([2, 1]))
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sets but {len(predicted)} predicted sets")
    number = {label: i for i, label in enumerate(labels)}

    def count(sets: Iterable[Collection[Hashable]]) -> Counts:
        found = [number[label] for one in sets for label in set(one) if label in number]
        return np.bincount(found, minlength=len(number)).astype(np.int64)

    return LabelCounts(
        count([set(g) & set(p) for g, p in zip(gold, predicted, strict=True)]), count(predicted), count(gold)
    )


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> npt.NDArray[np.float64]:
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    ratio: npt.NDArray[np.float64] = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return ratio


def f1_per_label(counts: LabelCounts) -> npt.NDArray[np.float64]:
    """F1 of each label, 0-100, shape (labels,); 0 for a label with neither gold nor predictions.

    >>> f1_per_label(count_labels([{"a"}, {"b"}], [{"a"}, {"a"}], ["a", "b"])).round(2).tolist()
    [66.67, 0.0]
    """
    return 100.0 * _ratio(2 * counts.hits, counts.predicted + counts.gold)


def _macro(per_label: npt.NDArray[np.float64], counts: LabelCounts) -> float:
    seen = (counts.predicted + counts.gold) > 0
    return float(per_label[seen].mean()) if seen.any() else 0.0


def _macro_f1(counts: LabelCounts) -> float:
    return _macro(f1_per_label(counts), counts)


def _macro_recall(counts: LabelCounts) -> float:
    return _macro(100.0 * _ratio(counts.hits, counts.gold), counts)


def _weighted_f1(counts: LabelCounts) -> float:
    return float(_ratio((f1_per_label(counts) * counts.gold).sum(), counts.gold.sum()))


def _micro_f1(counts: LabelCounts) -> float:
    return float(100.0 * _ratio(2 * counts.hits.sum(), counts.predicted.sum() + counts.gold.sum()))


def _singles(values: Sequence[Hashable]) -> list[tuple[Hashable]]:
    return [(value,) for value in values]


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Share of docs with the right label, 0-100.

    Raises:
        ValueError: no docs, or the lengths differ.

    >>> accuracy(["joy", "fear"], ["joy", "invalid"])
    50.0
    """
    if not gold:
        raise ValueError("accuracy of no docs is undefined")
    return 100.0 * sum(g == p for g, p in zip(gold, predicted, strict=True)) / len(gold)


def macro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """Mean of the labels' F1, 0-100.

    Args:
        gold: the label of each doc.
        predicted: the predicted label of each doc, or anything outside ``labels`` when the answer was unreadable.
        labels: the labels; those with neither gold nor predictions are left out of the mean.

    >>> round(macro_f1(["a", "b", "b"], ["a", "a", "invalid"], ["a", "b", "c"]), 4)
    33.3333
    """
    return _macro_f1(count_labels(_singles(gold), _singles(predicted), labels))


def weighted_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """Mean of the labels' F1 weighted by gold frequency, 0-100.

    >>> round(weighted_f1(["a", "b", "b"], ["a", "a", "b"], ["a", "b"]), 4)
    66.6667
    """
    return _weighted_f1(count_labels(_singles(gold), _singles(predicted), labels))


def macro_recall(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """Mean of the labels' recall, 0-100.

    >>> macro_recall(["a", "b", "b"], ["a", "a", "b"], ["a", "b"])
    75.0
    """
    return _macro_recall(count_labels(_singles(gold), _singles(predicted), labels))


def micro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """F1 of the pooled decisions over ``labels``, 0-100; leave the majority label out of ``labels`` to exclude it.

    >>> micro_f1(["none", "joy", "joy"], ["joy", "joy", "none"], ["joy"])
    50.0
    """
    return _micro_f1(count_labels(_singles(gold), _singles(predicted), labels))


def jaccard(gold: Collection[Hashable], predicted: Collection[Hashable]) -> float:
    """Overlap of one doc's label sets, 0-100: intersection over union, 100 when both are empty.

    Source: SemEval-2018 Task 1, E-c ("accuracy" of the task description); empty sets as scored there.

    >>> jaccard({"joy", "love"}, {"joy"}), jaccard([], [])
    (50.0, 100.0)
    """
    union = set(gold) | set(predicted)
    return 100.0 * len(set(gold) & set(predicted)) / len(union) if union else 100.0


def set_macro_f1(
    gold: Sequence[Collection[Hashable]], predicted: Sequence[Collection[Hashable]], labels: Sequence[Hashable]
) -> float:
    """Mean of the labels' F1 over the doc x label matrix, 0-100.

    >>> round(set_macro_f1([{"a"}, {"a", "b"}], [{"a"}, {"b"}], ["a", "b"]), 4)
    83.3333
    """
    return _macro_f1(count_labels(gold, predicted, labels))


def set_micro_f1(
    gold: Sequence[Collection[Hashable]], predicted: Sequence[Collection[Hashable]], labels: Sequence[Hashable]
) -> float:
    """F1 of all decisions of the doc x label matrix pooled, 0-100.

    >>> set_micro_f1([{"a"}, {"a", "b"}], [{"a"}, {"b"}], ["a", "b"])
    80.0
    """
    return _micro_f1(count_labels(gold, predicted, labels))


class DecisionScores(NamedTuple):
    """F1 of the yes class, of the no class, and their mean; 0-100."""

    pos_f1: float
    neg_f1: float
    macro_f1: float


def decisions(gold: Collection[int], predicted: Collection[int], candidates: Iterable[int]) -> DecisionItem:
    """The yes/no decisions of one doc as (true positives, false positives, false negatives, true negatives).

    >>> decisions(gold={2, 3}, predicted={3}, candidates=range(1, 4))
    (1, 0, 1, 1)
    """
    pairs = [(c in gold, c in predicted) for c in candidates]
    return (
        pairs.count((True, True)),
        pairs.count((False, True)),
        pairs.count((True, False)),
        pairs.count((False, False)),
    )


def decision_scores(items: Iterable[DecisionItem]) -> DecisionScores:
    """F1 of both classes over the yes/no decisions of the whole corpus.

    A class that never occurs, in gold or in predictions, is left out of the mean (its own F1 is 0).

    Source: RECCON (arXiv 2012.11820), causal emotion entailment: F1 of positive pairs, of negative pairs, and macro.

    >>> decision_scores([(1, 0, 1, 1), (0, 1, 0, 2)])
    DecisionScores(pos_f1=50.0, neg_f1=75.0, macro_f1=62.5)
    """
    tp, fp, fn, tn = np.asarray(list(items), dtype=np.int64).reshape(-1, 4).sum(axis=0)
    counts = LabelCounts(
        hits=np.array([tp, tn]), predicted=np.array([tp + fp, tn + fn]), gold=np.array([tp + fn, tn + fp])
    )
    pos, neg = f1_per_label(counts)
    return DecisionScores(float(pos), float(neg), _macro_f1(counts))


class PairScores(NamedTuple):
    """Precision, recall and F1 of extracted pairs, 0-100."""

    precision: float
    recall: float
    pair_f1: float


def pair_scores(items: Iterable[tuple[int, int, int]]) -> PairScores:
    """Precision, recall and F1 of pairs, micro over the corpus.

    Args:
        items: (true positives, false positives, false negatives) of each dialogue.

    Returns:
        All three 100 when there is nothing to find and nothing was found.

    Source: MECPE (Emotion-Cause-in-Friends), pair extraction.

    >>> pair_scores([(1, 1, 0), (0, 0, 1)])
    PairScores(precision=50.0, recall=50.0, pair_f1=50.0)
    """
    tp, fp, fn = (int(n) for n in np.asarray(list(items), dtype=np.int64).reshape(-1, 3).sum(axis=0))
    if tp + fp + fn == 0:
        return PairScores(100.0, 100.0, 100.0)
    return PairScores(
        *(
            float(100.0 * _ratio(top, bottom))
            for top, bottom in ((tp, tp + fp), (tp, tp + fn), (2 * tp, 2 * tp + fp + fn))
        )
    )


def _item_counts(items: Iterable[LabelItem], first: int = 0) -> LabelCounts:
    rows = list(items)
    labels = range(first, max((n for *_, n in rows), default=0))
    return count_labels([gold for gold, _, _ in rows], [predicted for _, predicted, _ in rows], labels)


def agg_macro_f1(items: Iterable[LabelItem]) -> float:
    """Macro F1 of label items, 0-100.

    >>> agg_macro_f1([([0], [0], 2), ([1], [], 2)])
    50.0
    """
    return _macro_f1(_item_counts(items))


def agg_weighted_f1(items: Iterable[LabelItem]) -> float:
    """Weighted F1 of label items, 0-100.

    >>> round(agg_weighted_f1([([0], [0], 2), ([0], [0], 2), ([1], [], 2)]), 4)
    66.6667
    """
    return _weighted_f1(_item_counts(items))


def agg_macro_recall(items: Iterable[LabelItem]) -> float:
    """Macro recall of label items, 0-100.

    >>> agg_macro_recall([([0], [0], 2), ([1], [], 2)])
    50.0
    """
    return _macro_recall(_item_counts(items))


def agg_micro_f1(items: Iterable[LabelItem]) -> float:
    """Micro F1 of label items over all labels, 0-100.

    >>> agg_micro_f1([([0, 1], [0], 2), ([], [1], 2)])
    50.0
    """
    return _micro_f1(_item_counts(items))


def agg_micro_f1_excl(items: Iterable[LabelItem]) -> float:
    """Micro F1 of label items without label 0 (``none``, ``others``), 0-100.

    >>> agg_micro_f1_excl([([0], [1], 2), ([1], [1], 2), ([0], [0], 2)])
    66.66666666666666
    """
    return _micro_f1(_item_counts(items, first=1))


def agg_f1_irony(items: Iterable[LabelItem]) -> float:
    """F1 of label 1 (``irony``) alone, 0-100; TweetEval's metric for its irony task.

    >>> agg_f1_irony([([0], [0], 2), ([1], [1], 2), ([1], [0], 2)])
    66.66666666666666
    """
    return float(f1_per_label(_item_counts(items))[1])


CandidateItem = tuple[str, int, bool, bool]


def _sets(items: Iterable[CandidateItem]) -> list[tuple[set[int], set[int]]]:
    """The gold and the predicted set of each doc."""
    docs: dict[str, tuple[set[int], set[int]]] = {}
    for doc, candidate, *chosen in items:
        for side, true in zip(docs.setdefault(doc, (set(), set())), chosen, strict=True):
            if true:
                side.add(candidate)
    return list(docs.values())


def agg_jaccard(items: Iterable[CandidateItem]) -> float:
    """Mean Jaccard overlap over docs of (doc, candidate, gold, predicted) items, 0-100.

    >>> agg_jaccard([("d", 0, True, True), ("d", 1, True, False), ("e", 0, False, False)])
    75.0
    """
    docs = _sets(items)
    return sum(jaccard(gold, predicted) for gold, predicted in docs) / len(docs)


def agg_exact_set(items: Iterable[CandidateItem]) -> float:
    """Share of docs whose set is exactly right, of (doc, candidate, gold, predicted) items, 0-100.

    >>> agg_exact_set([("d", 0, True, True), ("d", 1, True, False), ("e", 0, False, False)])
    50.0
    """
    docs = _sets(items)
    return 100.0 * sum(gold == predicted for gold, predicted in docs) / len(docs)


def agg_pos_f1(items: Iterable[DecisionItem]) -> float:
    """F1 of the yes class of decision items, 0-100.

    >>> agg_pos_f1([(1, 0, 1, 1)])
    66.66666666666666
    """
    return decision_scores(items).pos_f1


def agg_neg_f1(items: Iterable[DecisionItem]) -> float:
    """F1 of the no class of decision items, 0-100.

    >>> agg_neg_f1([(1, 0, 1, 1)])
    66.66666666666666
    """
    return decision_scores(items).neg_f1


def agg_decision_macro_f1(items: Iterable[DecisionItem]) -> float:
    """Mean of the F1 of the yes and the no class of decision items, 0-100.

    >>> agg_decision_macro_f1([(1, 0, 0, 0), (0, 0, 0, 1)])
    100.0
    """
    return decision_scores(items).macro_f1


def agg_precision(items: Iterable[tuple[int, int, int]]) -> float:
    """Precision of (tp, fp, fn) items over the corpus, 0-100.

    >>> agg_precision([(1, 3, 0)])
    25.0
    """
    return pair_scores(items).precision


def agg_recall(items: Iterable[tuple[int, int, int]]) -> float:
    """Recall of (tp, fp, fn) items over the corpus, 0-100.

    >>> agg_recall([(1, 3, 0)])
    100.0
    """
    return pair_scores(items).recall


def agg_pair_f1(items: Iterable[tuple[int, int, int]]) -> float:
    """F1 of (tp, fp, fn) items over the corpus, 0-100.

    >>> agg_pair_f1([(1, 3, 0)])
    40.0
    """
    return pair_scores(items).pair_f1
