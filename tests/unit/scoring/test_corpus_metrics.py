"""Every corpus metric of the package: against a reference of somebody else's, and its resamples against itself."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import pickle
import pkgutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sacrebleu
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api.registry import get_aggregation
from scipy import stats
from scipy.spatial import distance

import harness_ext.scoring
import harness_ext.tasks
from harness_ext.scoring.lm_eval_aggregations import AGGREGATIONS
from harness_ext.scoring.resampled import (
    CorpusMetric,
    NotResampledError,
    by_cluster,
    from_sums,
    one_draw_at_a_time,
)

Items = list[Any]


def modules() -> list[str]:
    shared = [f"harness_ext.scoring.{found.name}" for found in pkgutil.iter_modules(harness_ext.scoring.__path__)]
    folders = (Path(root) for root in harness_ext.tasks.__path__)
    own = [file.parent.name for folder in folders for file in folder.glob("*/scores.py")]
    return sorted(shared) + [f"harness_ext.tasks.{bench}.scores" for bench in sorted(own)]


METRICS: dict[str, CorpusMetric[Any]] = {
    str(value): value
    for module in modules()
    for value in vars(importlib.import_module(module)).values()
    if isinstance(value, CorpusMetric)
}
SHORT = {address: address.removeprefix("harness_ext.").removeprefix("scoring.") for address in METRICS}
NEVER = {"generation:agg_dist_1", "generation:agg_dist_2"}

# --- references -----------------------------------------------------------------------------------------------------


def pairs(items: Items) -> tuple[np.ndarray, np.ndarray]:
    """Gold and prediction of the soft-label items that have both."""
    rows = np.array([item[:2] for item in items], dtype=float)
    y, p = rows[~np.isnan(rows).any(axis=1)].T
    return y, p


def soft(reference: Callable[[np.ndarray, np.ndarray], float], clip: bool = True) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        y, p = pairs(items)
        return float(reference(y, np.clip(p, 0, 1) if clip else p)) if len(y) else math.nan

    return of_items


def segment(values: np.ndarray, last: int) -> np.ndarray:
    return np.clip(np.searchsorted(np.linspace(0, 1, 10), values, side="right") - 1, -1 if last == 9 else 0, last)


def in_segments(error: Callable[[Any, Any], float], last: int) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, p: error(segment(y, last), segment(p, last))


def unless_constant(correlation: Callable[[Any, Any], Any], otherwise: float = math.nan) -> Callable[..., float]:
    return lambda y, p: otherwise if min(np.ptp(y), np.ptp(p)) == 0 else correlation(y, p)


def concordance(y: np.ndarray, c: np.ndarray) -> float:
    """From the correlation, as in Lin (1989), equation 2."""
    if np.ptp([y, c]) == 0:
        return math.nan
    if min(np.ptp(y), np.ptp(c)) == 0:
        return 0.0
    r = np.corrcoef(y, c)[0, 1]
    return 2 * r * y.std() * c.std() / (y.var() + c.var() + (y.mean() - c.mean()) ** 2)


def after_failures(error: Callable[[Any, Any], float], worst: bool) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        rows = [item for item in items if not math.isnan(item[1])]
        if worst:
            rows = [(y, (0.0 if y >= 0.5 else 1.0) if failed else p) for y, p, failed in rows]
        else:
            rows = [(y, p) for y, p, failed in rows if not failed]
        if not rows:
            return math.nan
        y, p = np.array(rows).T
        return error(segment(y, 8), segment(p.clip(0, 1), 8))

    return of_items


def described(describe: Callable[[pd.Series], float]) -> Callable[[Items], float]:
    return lambda items: float(describe(pd.Series(items, dtype=float).dropna().clip(0, 1)))


def hard(reference: Callable[[list[str], list[str]], float]) -> Callable[[Items], float]:
    return lambda items: 100 * float(reference([g for g, _ in items], [str(p) for _, p in items]))


def poles(items: Sequence[str]) -> list[str]:
    return ["yes", "no"] if items[0] in ("yes", "no") else ["E", "I"]


def sklearn_f1(gold: Any, predicted: Any, **options: Any) -> float:
    return float(sk.f1_score(gold, predicted, zero_division=0, **options))


def matrices(items: Items) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Gold and predicted labels as 0/1 matrices, and the labels that occur."""
    labels = max(n for *_, n in items)
    gold, predicted = (
        np.array([[label in item[side] for label in range(labels)] for item in items], dtype=int) for side in (0, 1)
    )
    return gold, predicted, np.flatnonzero(gold.any(0) | predicted.any(0)).tolist()


def over_labels(score: Callable[..., float], average: str, first: int = 0) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        gold, predicted, seen = matrices(items)
        labels = [label for label in seen if label >= first]
        return 100 * score(gold, predicted, average=average, labels=labels, zero_division=0) if labels else 0.0

    return of_items


def decided(items: Items) -> tuple[list[int], list[int]]:
    """The pooled yes/no decisions behind counts of true and false positives, false and true negatives."""
    total = np.sum([[*item, 0, 0][:4] for item in items], axis=0)
    pooled = [answer for answer, n in zip([(1, 1), (0, 1), (1, 0), (0, 0)], total, strict=True) for _ in range(int(n))]
    return [gold for gold, _ in pooled], [predicted for _, predicted in pooled]


def yes_and_no(items: Items, **options: Any) -> float:
    gold, predicted = decided(items)
    return 100 * sklearn_f1(gold, predicted, **options) if gold else 0.0


def extracted(score: Callable[..., float]) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        gold, predicted = decided(items)
        return 100 * float(score(gold, predicted, zero_division=0)) if gold else 100.0

    return of_items


def of_docs(score: Callable[[list[int], list[int]], float]) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        frame = pd.DataFrame(items, columns=["doc", "candidate", "gold", "predicted"]).astype({"gold": int})
        rows = frame.groupby("doc").apply(lambda own: score(own.gold.tolist(), own.predicted.astype(int).tolist()))
        return 100 * float(rows.mean())

    return of_items


def bleu(tokenize: str) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        hypotheses, references = zip(*items, strict=True)
        return sacrebleu.corpus_bleu(hypotheses, [references], tokenize=tokenize, force=True).score

    return of_items


def nats(items: Items) -> float:
    frame = pd.DataFrame(items, columns=["likelihood", "units"])
    return float(-frame.likelihood.sum() / frame.units.sum())


def read(items: Items) -> np.ndarray:
    return np.array([item for item in items if not math.isnan(item[0])], dtype=float).reshape(-1, 2)


def eq(items: Items) -> float:
    """The rescaling of SECEU to a mean of 100 and a standard deviation of 15 (arXiv 2307.09042)."""
    own = read(items)[:, 0]
    return 100 - 15 * (own.mean() - 2.79) / 0.822 if len(own) >= 0.9 * len(items) else math.nan


def pattern(items: Items) -> float:
    rows = read(items)
    constant = len(rows) == 0 or min(np.ptp(rows, axis=0)) == 0
    return math.nan if constant else float(stats.pearsonr(*rows.T).statistic)


def eqbench(items: Items) -> float:
    frame = pd.DataFrame(items)
    return float(max(frame[0].mean(), frame[2].mean()))


def parseable(items: Items) -> float:
    frame = pd.DataFrame(items).astype(float)
    return float(100 * frame[3 if frame[2].mean() > frame[0].mean() else 1].mean())


def of_groups(items: Items) -> float:
    return float(pd.DataFrame(items).groupby(0)[1].mean().mean())


def balance(items: Items) -> float:
    frame = pd.DataFrame(items, columns=["label", "refused"]).dropna()
    rates = [1 - frame.refused[frame.label == "safe"].mean(), frame.refused[frame.label == "unsafe"].mean()]
    return math.nan if np.isnan(rates).any() else float(stats.hmean(rates))


def upper_median(items: Items) -> float:
    return float(np.quantile(items, 0.5, method="higher")) if len(items) % 2 == 0 else float(np.median(items))


def mean_author(reference: Callable[[Items], float]) -> Callable[[Items], float]:
    def of_items(items: Items) -> float:
        frame = pd.DataFrame(items, columns=["id", "y", "p"]).groupby("id").agg({"y": "last", "p": "mean"})
        return reference(frame.to_numpy().tolist())

    return of_items


def of_classes(reference: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Items], float]:
    return lambda items: float(np.mean([reference(np.array(item[0]), np.array(item[1])) for item in items]))


RMSE, MAE = sk.root_mean_squared_error, sk.mean_absolute_error
SOFT: dict[str, Callable[[Items], float]] = {
    "s_rmse": soft(in_segments(RMSE, 9), clip=False),
    "s_mae": soft(in_segments(MAE, 9), clip=False),
    "s_rmse_9": soft(in_segments(RMSE, 8)),
    "s_mae_9": soft(in_segments(MAE, 8)),
    "rmse": soft(RMSE, clip=False),
    "mae": soft(MAE, clip=False),
    "bias": soft(lambda y, c: c.mean() - y.mean()),
    "spearman": soft(unless_constant(lambda y, c: stats.spearmanr(y, c).statistic)),
    "ccc": soft(concordance),
    "w1_marginal": soft(stats.wasserstein_distance),
    "polarisation_gap": soft(lambda y, c: 2 * MAE(np.full_like(c, 0.5), c) - 2 * MAE(np.full_like(y, 0.5), y)),
    "acc": soft(lambda y, c: 50 * (sk.accuracy_score(y > 0.5, c > 0.5) + sk.accuracy_score(y > 0.5, c >= 0.5))),
    "out_of_range": soft(lambda y, p: np.mean([not 0 <= one <= 1 for one in p]), clip=False),
    "tie_share": soft(lambda y, c: Counter(c.tolist())[0.5] / len(c)),
}


def truth_ratios(near: Callable[[pd.Series], pd.Series]) -> Callable[[Items], float]:
    """The mean over docs, by another road for probabilities, which are averaged as they are."""

    def of_items(items: Items) -> float:
        rows = pd.DataFrame(items, columns=["ratio", "mode"])
        return float(near(rows.ratio).where(rows["mode"] != "prob_mean", rows.ratio).mean())

    return of_items


def share_of_turns(items: Items) -> float:
    """As the mean over dialogues of each one's share, weighted with its decided turns."""
    rows = pd.DataFrame([(hit / own, own) for hit, own in items if own], columns=["share", "decided"])
    return float(np.average(rows.share, weights=rows.decided)) if len(rows) else math.nan


def member_auc(items: Items) -> float:
    rows = pd.DataFrame(items, columns=["member", "score"]).dropna()
    return float(sk.roc_auc_score(rows.member, -rows.score)) if rows.member.nunique() == 2 else math.nan


REFERENCES: dict[str, Callable[[Items], float]] = {
    **{f"soft_labels:agg_{name}": reference for name, reference in SOFT.items()},
    **{f"tasks.mbtibench.scores:authors_{name}": mean_author(reference) for name, reference in SOFT.items()},
    "soft_labels:agg_pearson": soft(unless_constant(lambda y, c: stats.pearsonr(y, c).statistic)),
    "soft_labels:agg_kendall_tau_b": soft(unless_constant(lambda y, c: stats.kendalltau(y, c).statistic)),
    "soft_labels:agg_var_ratio": soft(lambda y, c: c.var() / y.var() if np.ptp(y) else math.nan),
    "soft_labels:agg_s_rmse_parsed": after_failures(RMSE, worst=False),
    "soft_labels:agg_s_mae_parsed": after_failures(MAE, worst=False),
    "soft_labels:agg_s_rmse_worst": after_failures(RMSE, worst=True),
    "soft_labels:agg_s_mae_worst": after_failures(MAE, worst=True),
    **{
        f"soft_labels:agg_{name}": lambda items: float(pd.Series(items, dtype=float).mean())
        for name in ("nanmean", "parse_failure", "ordinal_w1")
    },
    "soft_labels:agg_mean_score": described(lambda c: 1 + 8 * c.mean()),
    "soft_labels:agg_extremity_pred": described(lambda c: (c - 0.5).abs().mean() * 2),
    "soft_labels:agg_extreme_share_pred": described(
        lambda c: np.mean([s in (0, 1, 7, 8) for s in segment(c, 8)]) if len(c) else math.nan
    ),
    "soft_labels:agg_share_5": described(lambda c: c.eq(0.5).mean()),
    "soft_labels:agg_distinct_scores": described(lambda c: c.nunique()),
    "soft_labels:agg_hard_acc": hard(sk.accuracy_score),
    "soft_labels:agg_hard_f1": hard(lambda g, p: sklearn_f1(g, p, labels=poles(g), average="macro")),
    "soft_labels:agg_hard_f1_compat": hard(lambda g, p: sklearn_f1(g, p, average="macro")),
    "class_soft_labels:agg_total_variation": of_classes(lambda y, p: distance.minkowski(y, p, 1) / 2),
    "class_soft_labels:agg_jensen_shannon": of_classes(lambda y, p: distance.jensenshannon(y, p, 2) ** 2),
    "class_soft_labels:agg_soft_cross_entropy": of_classes(lambda y, p: stats.entropy(y) + stats.entropy(y, p)),
    "class_soft_labels:agg_soft_brier": of_classes(distance.sqeuclidean),
    "classification:agg_macro_f1": over_labels(sk.f1_score, "macro"),
    "classification:agg_weighted_f1": over_labels(sk.f1_score, "weighted"),
    "classification:agg_macro_recall": over_labels(sk.recall_score, "macro"),
    "classification:agg_micro_f1": over_labels(sk.f1_score, "micro"),
    "classification:agg_micro_f1_excl": over_labels(sk.f1_score, "micro", first=1),
    "classification:agg_f1_irony": lambda items: 100 * sklearn_f1(*(side[:, 1] for side in matrices(items)[:2])),
    "classification:agg_jaccard": of_docs(lambda g, p: sk.jaccard_score(g, p) if any(g) or any(p) else 1.0),
    "classification:agg_exact_set": of_docs(lambda g, p: float(sk.zero_one_loss([g], [p], normalize=False) == 0)),
    "classification:agg_pos_f1": yes_and_no,
    "classification:agg_neg_f1": lambda items: yes_and_no(items, pos_label=0),
    "classification:agg_decision_macro_f1": lambda items: yes_and_no(items, average="macro"),
    "classification:agg_precision": extracted(sk.precision_score),
    "classification:agg_recall": extracted(sk.recall_score),
    "classification:agg_pair_f1": extracted(sk.f1_score),
    "regression:agg_pearson": soft(unless_constant(lambda y, p: 100 * stats.pearsonr(y, p).statistic, 0.0), clip=False),
    "regression:agg_spearman": soft(unless_constant(lambda y, p: 100 * stats.spearmanr(y, p).statistic, 0.0), False),
    "regression:agg_mae": soft(MAE, clip=False),
    "fidelity:agg_share_of_turns": share_of_turns,
    "tasks.lcb.scores:agg_share": lambda items: float(pd.Series(items, dtype=float).mean()),
    "generation:agg_bleu_13a": bleu("13a"),
    "generation:agg_bleu_none": bleu("none"),
    "generation:agg_gold_word_ppl": lambda items: math.exp(nats(items)),
    "generation:agg_gold_byte_ppl": lambda items: math.exp(nats(items)),
    "safety:agg_target_nats_per_byte": nats,
    "safety:agg_safety_balance": balance,
    "safety:agg_safety_balance_full": balance,
    "seceu:agg_seceu": lambda items: float(read(items)[:, 0].mean()) if len(read(items)) else math.nan,
    "seceu:agg_eq": eq,
    "seceu:agg_pattern_r": pattern,
    "eqbench:agg_eqbench": eqbench,
    "eqbench:agg_percent_parseable": parseable,
    "tombench:agg_ability_macro": of_groups,
    "tombench:agg_task_macro": of_groups,
    "unlearning:agg_forget_truth_ratio": truth_ratios(lambda ratio: np.exp(-np.log(ratio).abs())),
    "unlearning:agg_known_truth_ratio": truth_ratios(lambda ratio: (1 - ratio).clip(lower=0)),
    "unlearning:agg_member_auc": member_auc,
    "emobench:agg_constant_best": lambda items: 100 * Counter(items).most_common(1)[0][1] / len(items),
    **{
        str(metric).removeprefix("harness_ext.scoring."): lambda items, name=name: get_aggregation(name)(items)
        for name, metric in AGGREGATIONS.items()
    },
}

# --- items ----------------------------------------------------------------------------------------------------------

LABELS = 4
number = st.sampled_from([-0.125, 0.0, 0.1, 0.25, 0.5, 0.625, 0.875, 1.0, 1.125])
gold = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0])
nan = st.just(float("nan"))
count = st.integers(0, 3)
words = st.lists(st.sampled_from(["I", "am", "so", "sorry", "for", "you", "."]), max_size=6).map(" ".join)
label_set = st.lists(st.integers(0, LABELS - 1), max_size=2, unique=True)
points = st.floats(-300, 100)
likelihoods = st.tuples(st.floats(-9, 0), st.integers(1, 5))
shares = st.lists(st.sampled_from([1, 2, 5, 90]), min_size=3, max_size=3).map(lambda own: [w / sum(own) for w in own])
OF_MODULE: dict[str, st.SearchStrategy[Any]] = {
    "classification": st.tuples(label_set, label_set, st.just(LABELS)),
    "regression": st.tuples(number, number),
    "class_soft_labels": st.tuples(shares, shares),
    "soft_labels": st.tuples(gold, number | nan, st.booleans()),
    "generation": st.tuples(words, words),
    "safety": st.tuples(st.sampled_from(["safe", "unsafe"]), st.sampled_from([0.0, 1.0]) | nan),
    "eqbench": st.tuples(points, st.booleans(), points, st.booleans()),
    "seceu": st.tuples(number.map(abs) | nan, st.sampled_from([2.0, 2.5, 3.5])),
    "tombench": st.tuples(st.sampled_from(["belief", "desire", "emotion"]), st.sampled_from([0.0, 100.0])),
    "emobench": st.sampled_from(["A", "B", "AB"]),
    "unlearning": st.tuples(
        st.sampled_from([0.125, 0.5, 1.0, 1.5, 8.0]) | nan, st.sampled_from(["geometric", "arithmetic", "prob_mean"])
    ),
    "tasks.mbtibench.scores": st.tuples(st.integers(1, 4), gold, number),
}
OWN: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["agg_pos_f1", "agg_neg_f1", "agg_decision_macro_f1"], st.tuples(count, count, count, count)),
    **dict.fromkeys(["agg_precision", "agg_recall", "agg_pair_f1"], st.tuples(count, count, count)),
    **dict.fromkeys(
        ["agg_jaccard", "agg_exact_set"], st.tuples(st.sampled_from("de"), count, st.booleans(), st.booleans())
    ),
    **dict.fromkeys(
        ["agg_hard_acc", "agg_hard_f1", "agg_hard_f1_compat"],
        st.tuples(st.sampled_from(["E", "I"]), st.sampled_from(["E", "I", None])),
    ),
    **dict.fromkeys(
        ["agg_gold_word_ppl", "agg_gold_byte_ppl", "agg_target_nats_per_byte", "weighted_perplexity", "bits_per_byte"],
        likelihoods,
    ),
    **dict.fromkeys(
        ["agg_nanmean", "agg_parse_failure", "agg_ordinal_w1", "agg_mean_score", "agg_extremity_pred",
         "agg_extreme_share_pred", "agg_share_5", "agg_distinct_scores", "nanmean"],
        number | nan,
    ),
    **dict.fromkeys(["mean", "median", "perplexity"], number),
    "agg_share": number | nan,
    "agg_share_of_turns": st.sampled_from([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 2.0), (2.0, 2.0)]),
    "agg_member_auc": st.tuples(st.integers(0, 1), number),
    "f1": st.tuples(st.integers(0, 1), st.integers(0, 1)),
    "matthews_corrcoef": st.tuples(st.integers(0, 2), st.integers(0, 2)),
    **dict.fromkeys(
        ["bleu", "chrf", "chrf_plus_plus", "ter"],
        st.tuples(st.tuples(words, words), words.filter(bool)),
    ),
    "brier_score": st.tuples(st.integers(0, 1), st.floats(0, 1).map(lambda p: (p, 1 - p))),
}  # fmt: skip
BY_DOC = {address for address, metric in METRICS.items() if metric._by_doc}
RESAMPLED = [address for address in METRICS if SHORT[address] not in NEVER]


def items_of(address: str) -> st.SearchStrategy[Items]:
    module, _, name = SHORT[address].partition(":")
    one = OWN[name] if name in OWN else OF_MODULE[module]
    # A doc has one gold label, and one row for a candidate.
    unique = {"agg_jaccard": lambda item: item[:2], "agg_exact_set": lambda item: item[:2]}.get(name)
    rows = st.lists(one, min_size=1, max_size=12, unique_by=unique)
    if module == "tasks.mbtibench.scores":
        return rows.map(lambda own: [(number, {n: y for n, y, _ in own}[number], p) for number, _, p in own])
    return rows


def each(addresses: Sequence[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("address", addresses, ids=[SHORT[address] for address in addresses])


# --- what holds for all of them -------------------------------------------------------------------------------------


def test_metrics_are_found_in_scoring_and_in_task_folders() -> None:
    assert {"harness_ext.scoring.soft_labels:agg_s_rmse", "harness_ext.tasks.mbtibench.scores:authors_s_rmse"} <= set(
        METRICS
    )


@each(RESAMPLED)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_a_metric_gives_the_number_of_its_reference(address: str, data: st.DataObject) -> None:
    items = data.draw(items_of(address))
    np.testing.assert_allclose(METRICS[address](items), REFERENCES[SHORT[address]](items), rtol=1e-9, atol=1e-9)


@each([address for address in RESAMPLED if address not in BY_DOC])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_resample_is_the_metric_of_the_documents_drawn(address: str, data: st.DataObject) -> None:
    metric, items = METRICS[address], data.draw(items_of(address))
    draws = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, len(items), (6, len(items)))
    expected = [metric([items[i] for i in draw]) for draw in draws]
    np.testing.assert_allclose(metric.resampled(items)(draws), expected, rtol=1e-9, atol=1e-9)


@each(sorted(BY_DOC))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_doc_in_several_rows_is_drawn_with_all_of_them(address: str, data: st.DataObject) -> None:
    metric, items = METRICS[address], data.draw(items_of(address))
    names = sorted({item[0] for item in items})
    draws = np.random.default_rng(0).integers(0, len(names), (5, len(names)))
    expected = [
        metric([(place, *rest) for place, doc in enumerate(draw) for name, *rest in items if name == names[doc]])
        for draw in draws
    ]
    statistic = by_cluster(metric.resampled(items), [item[0] for item in items])
    np.testing.assert_allclose(statistic(draws), expected, rtol=1e-9, atol=1e-9)


@each(RESAMPLED)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_two_runs_side_by_side_are_each_its_own(address: str, data: st.DataObject) -> None:
    metric = METRICS[address]
    a = data.draw(items_of(address))
    b = a[::-1]
    both = metric.of_runs([a, b])
    sides = both.only(slice(0, len(a))), both.only(slice(len(a), None))
    np.testing.assert_allclose([side.point for side in sides], [metric(a), metric(b)], rtol=1e-9, atol=1e-9)


@each(RESAMPLED)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_the_order_of_documents_does_not_matter(address: str, data: st.DataObject) -> None:
    items = data.draw(items_of(address))
    shuffled = data.draw(st.permutations(items))
    np.testing.assert_allclose(METRICS[address](shuffled), METRICS[address](items), rtol=1e-9, atol=1e-9)


@each(list(METRICS))
def test_lm_eval_records_the_address_of_a_metric(address: str) -> None:
    metric = METRICS[address]
    with pytest.raises(TypeError):  # then lm-eval writes str()
        inspect.getsource(metric)
    module, _, name = str(metric).partition(":")
    assert getattr(importlib.import_module(module), name) is metric
    assert pickle.loads(pickle.dumps(metric)) is copy.deepcopy(metric) is metric


# --- single ones ----------------------------------------------------------------------------------------------------


def test_a_plain_aggregation_is_called_on_every_resample() -> None:
    items = [(0.1, 0.3), (0.5, 0.2), (0.9, 0.8), (0.9, 0.4)]

    @one_draw_at_a_time
    def tau(items: Sequence[Any]) -> float:
        return float(stats.kendalltau(*zip(*items, strict=True)).statistic)

    draws = np.array([[0, 1, 2, 3], [3, 3, 2, 0]])
    expected = [stats.kendalltau(*zip(*[items[i] for i in draw], strict=True)).statistic for draw in draws]
    assert tau(items) == pytest.approx(expected[0])
    np.testing.assert_allclose(tau.resampled(items)(draws), expected)


@pytest.mark.parametrize("name", ["agg_dist_1", "agg_dist_2"])
def test_dist_n_has_a_value_and_refuses_resamples_with_the_reason(name: str) -> None:
    metric = METRICS[f"harness_ext.scoring.generation:{name}"]
    assert metric(["I am", "I am"]) == 50.0
    with pytest.raises(NotResampledError, match="no new n-grams"):
        metric.resampled(["I am", "I am"])


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_infinite_item_spoils_only_the_resamples_that_draw_it() -> None:
    statistic = AGGREGATIONS["mean"].resampled([1.0, math.inf, 3.0, -math.inf])
    draws = np.array([[0, 2], [0, 1], [2, 3], [1, 3]])
    np.testing.assert_equal(statistic(draws), [2.0, math.inf, -math.inf, math.nan])


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(OF_MODULE["classification"], min_size=4, max_size=12),
    clusters=st.lists(st.sampled_from("abc"), min_size=12, max_size=12),
)
def test_a_drawn_cluster_brings_all_its_documents(items: Items, clusters: list[str]) -> None:
    clusters = clusters[: len(items)]
    names = sorted(set(clusters))
    metric = METRICS["harness_ext.scoring.classification:agg_macro_f1"]
    statistic = by_cluster(metric.resampled(items), clusters)
    draws = np.random.default_rng(0).integers(0, len(names), (5, len(names)))
    members = [[items[i] for c in draw for i in range(len(items)) if clusters[i] == names[c]] for draw in draws]
    np.testing.assert_allclose(statistic(draws), [metric(docs) for docs in members])


def test_clusters_must_fit_the_documents() -> None:
    with pytest.raises(ValueError, match="2 documents have 1 clusters"):
        by_cluster(from_sums([[1.0], [0.0]], lambda sums: sums[:, 0]), ["a"])
