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

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled import CorpusMetric, Resampled, from_sums, over_docs, ratio
from harness_ext.scoring.resampled.labels import Score, f1, mean_of_seen, of_label_counts
from harness_ext.scoring.resampled.labels import macro_f1 as mean_f1
from harness_ext.scoring.resampled.numbers import nanmean

LabelItem = tuple[Sequence[int], Sequence[int], int]
DecisionItem = tuple[int, int, int, int]
PairItem = tuple[int, int, int]
Floats = npt.NDArray[np.float64]


def _macro_recall(hits: Floats, predicted: Floats, gold: Floats) -> Floats:
    return mean_of_seen(100 * ratio(hits, gold), predicted, gold)


def _weighted_f1(hits: Floats, predicted: Floats, gold: Floats) -> Floats:
    return ratio((f1(hits, predicted, gold) * gold).sum(1), gold.sum(1))


def _micro_f1(hits: Floats, predicted: Floats, gold: Floats) -> Floats:
    return f1(hits.sum(1), predicted.sum(1), gold.sum(1))


LabelSets = Sequence[Collection[Hashable]]
"""The labels of each doc; members outside the list of labels are not counted."""


def _of_sets(gold: LabelSets, predicted: LabelSets, labels: Sequence[Hashable], score: Score) -> Resampled:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sets but {len(predicted)} predicted sets")
    number = {label: i for i, label in enumerate(labels)}

    def found(sets: LabelSets) -> Floats:
        flags = np.zeros((len(sets), len(number)))
        for row, own in zip(flags, sets, strict=True):
            row[[number[label] for label in own if label in number]] = 1
        return flags

    truth, guess = found(gold), found(predicted)
    return of_label_counts(truth * guess, guess, truth, score)


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
    return _of_sets(_singles(gold), _singles(predicted), labels, mean_f1).point


def weighted_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """Mean of the labels' F1 weighted by gold frequency, 0-100.

    >>> round(weighted_f1(["a", "b", "b"], ["a", "a", "b"], ["a", "b"]), 4)
    66.6667
    """
    return _of_sets(_singles(gold), _singles(predicted), labels, _weighted_f1).point


def macro_recall(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """Mean of the labels' recall, 0-100.

    >>> macro_recall(["a", "b", "b"], ["a", "a", "b"], ["a", "b"])
    75.0
    """
    return _of_sets(_singles(gold), _singles(predicted), labels, _macro_recall).point


def micro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]) -> float:
    """F1 of the pooled decisions over ``labels``, 0-100; leave the majority label out of ``labels`` to exclude it.

    >>> micro_f1(["none", "joy", "joy"], ["joy", "joy", "none"], ["joy"])
    50.0
    """
    return _of_sets(_singles(gold), _singles(predicted), labels, _micro_f1).point


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
    return _of_sets(gold, predicted, labels, mean_f1).point


def set_micro_f1(
    gold: Sequence[Collection[Hashable]], predicted: Sequence[Collection[Hashable]], labels: Sequence[Hashable]
) -> float:
    """F1 of all decisions of the doc x label matrix pooled, 0-100.

    >>> set_micro_f1([{"a"}, {"a", "b"}], [{"a"}, {"b"}], ["a", "b"])
    80.0
    """
    return _of_sets(gold, predicted, labels, _micro_f1).point


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
    rows = list(items)
    return DecisionScores(agg_pos_f1(rows), agg_neg_f1(rows), agg_decision_macro_f1(rows))


class PairScores(NamedTuple):
    """Precision, recall and F1 of extracted pairs, 0-100."""

    precision: float
    recall: float
    pair_f1: float


def pair_scores(items: Iterable[PairItem]) -> PairScores:
    """Precision, recall and F1 of pairs, micro over the corpus.

    Args:
        items: (true positives, false positives, false negatives) of each dialogue.

    Returns:
        All three 100 when there is nothing to find and nothing was found.

    Source: MECPE (Emotion-Cause-in-Friends), pair extraction.

    >>> pair_scores([(1, 1, 0), (0, 0, 1)])
    PairScores(precision=50.0, recall=50.0, pair_f1=50.0)
    """
    rows = list(items)
    return PairScores(agg_precision(rows), agg_recall(rows), agg_pair_f1(rows))


def _of_label_items(score: Score, first: int = 0) -> CorpusMetric[LabelItem]:
    """A metric of label items over the labels from ``first`` on, 0-100."""

    def build(items: Sequence[LabelItem]) -> Resampled:
        labels = range(first, max((n for *_, n in items), default=0))
        return _of_sets([gold for gold, _, _ in items], [predicted for _, predicted, _ in items], labels, score)

    return CorpusMetric(build)


agg_macro_f1 = _of_label_items(mean_f1)
"""Macro F1 of label items, 0-100."""
agg_weighted_f1 = _of_label_items(_weighted_f1)
"""Weighted F1 of label items, 0-100."""
agg_macro_recall = _of_label_items(_macro_recall)
"""Macro recall of label items, 0-100."""
agg_micro_f1 = _of_label_items(_micro_f1)
"""Micro F1 of label items over all labels, 0-100."""
agg_micro_f1_excl = _of_label_items(_micro_f1, first=1)
"""Micro F1 of label items without label 0 (``none``, ``others``), 0-100."""
agg_f1_irony = _of_label_items(lambda *counts: f1(*counts)[:, 1])
"""F1 of label 1 (``irony``) alone, 0-100; TweetEval's metric for its irony task."""


CandidateItem = tuple[str, int, bool, bool]


def _sets(rows: Sequence[CandidateItem]) -> tuple[set[int], set[int]]:
    """The gold and the predicted set of a doc."""
    gold, predicted = ({row[1] for row in rows if row[side]} for side in (2, 3))
    return gold, predicted


@over_docs
def agg_jaccard(docs: Sequence[Sequence[CandidateItem]]) -> Resampled:
    """Mean Jaccard overlap over docs of (doc, candidate, gold, predicted) items, 0-100.

    >>> agg_jaccard([("d", 0, True, True), ("d", 1, True, False), ("e", 0, False, False)])
    75.0
    """
    return nanmean([jaccard(*_sets(rows)) for rows in docs])


@over_docs
def agg_exact_set(docs: Sequence[Sequence[CandidateItem]]) -> Resampled:
    """Share of docs whose set is exactly right, of (doc, candidate, gold, predicted) items, 0-100.

    >>> agg_exact_set([("d", 0, True, True), ("d", 1, True, False), ("e", 0, False, False)])
    50.0
    """
    return nanmean([100.0 * (gold == predicted) for gold, predicted in map(_sets, docs)])


def _of_decisions(score: Score) -> CorpusMetric[DecisionItem]:
    """A metric of decision items: of the counts of the classes yes and no, 0-100."""

    def build(items: Sequence[DecisionItem]) -> Resampled:
        tp, fp, fn, tn = np.asarray(items, dtype=float).reshape(-1, 4).T
        counts = ((tp, tn), (tp + fp, tn + fn), (tp + fn, tn + fp))
        hits, predicted, gold = (np.column_stack(both) for both in counts)
        return of_label_counts(hits, predicted, gold, score)

    return CorpusMetric(build)


agg_pos_f1 = _of_decisions(lambda *counts: f1(*counts)[:, 0])
"""F1 of the yes class of decision items, 0-100."""
agg_neg_f1 = _of_decisions(lambda *counts: f1(*counts)[:, 1])
"""F1 of the no class of decision items, 0-100."""
agg_decision_macro_f1 = _of_decisions(mean_f1)
"""Mean of the F1 of the yes and the no class of decision items, 0-100."""


def _of_extracted(score: Callable[[Floats, Floats, Floats], Floats]) -> CorpusMetric[PairItem]:
    """A metric of (tp, fp, fn) items over the corpus, 0-100; 100 where there is nothing to find and nothing found."""

    def build(items: Sequence[PairItem]) -> Resampled:
        counts = np.asarray(items, dtype=float).reshape(-1, 3)
        return from_sums(counts, lambda sums: 100 * np.where(sums.any(1), score(*sums.T), 1.0))

    return CorpusMetric(build)


agg_precision = _of_extracted(lambda tp, fp, fn: ratio(tp, tp + fp))
"""Precision of (tp, fp, fn) items over the corpus, 0-100."""
agg_recall = _of_extracted(lambda tp, fp, fn: ratio(tp, tp + fn))
"""Recall of (tp, fp, fn) items over the corpus, 0-100."""
agg_pair_f1 = _of_extracted(lambda tp, fp, fn: ratio(2 * tp, 2 * tp + fp + fn))
"""F1 of (tp, fp, fn) items over the corpus, 0-100."""


def score_likelihoods(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """``process_results`` of a task whose choices are the labels: the likeliest is predicted; gold is ``answer``.

    >>> score_likelihoods({"answer": 1}, [(-1.0, True), (-2.0, False), (-3.0, False)])
    {'accuracy': 0.0, 'macro_f1': ([1], [0], 3)}
    """
    predicted = int(np.argmax([likelihood for likelihood, _ in results]))
    return {"accuracy": 100.0 * (predicted == doc["answer"]), "macro_f1": ([doc["answer"]], [predicted], len(results))}
