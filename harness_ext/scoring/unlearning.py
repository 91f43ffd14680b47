"""Unlearning: truth ratios, model utility, forget quality, memorisation, and attacks that ask who was trained on.

Three definitions of the truth ratio carry one name (:data:`TruthRatio`), and numbers of different ones must not be
compared. All losses are nats a token, averaged over the answer with its end token.
"""

from __future__ import annotations

import math
import re
import warnings
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from harness_ext.scoring.resampled import CorpusMetric, Resampled
from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.scoring.resampled.statistic import Floats, distinct_rows, ratio

TruthRatio = Literal["geometric", "arithmetic", "prob_mean"]
"""``geometric``: TOFU's script; ``arithmetic``: TOFU's paper and RKLU; ``prob_mean``: open-unlearning's option."""
Part = Literal["forget", "retain", "ra", "wf"]

UTILITY_PARTS = ("retain", "ra", "wf")
UTILITY_METRICS = ("prob", "rougeL_recall", "truth_ratio")
UTILITY = tuple(f"{part}_{metric}" for part in UTILITY_PARTS for metric in UTILITY_METRICS)
"""The nine numbers whose harmonic mean is the model utility."""

_TINY = 1e-10

RatioItem = tuple[float, str]
"""A doc's truth ratio, NaN for docs of other subsets, and its definition."""
MemberItem = tuple[float, float]
"""Whether a doc was trained on (1 or 0), and its score: lower, the likelier it was."""


class ForgetQuality(NamedTuple):
    """A two-sample Kolmogorov-Smirnov test between the truth ratios of two models."""

    p: float
    D: float
    n: int
    m: int
    log10_p: float
    method: str
    """``exact``, or ``asymp`` where scipy gave the exact form up."""


def truth_ratio(base_loss: float, perturbed_losses: Sequence[float], mode: TruthRatio = "geometric") -> float:
    """How likely wrong answers are beside a right one: below 1 for a model that knows, about 1 for one that does not.

    Args:
        base_loss: of the paraphrased answer (forget, retain) or the answer itself (real authors, world facts).
        perturbed_losses: of the wrong answers.
        mode: ``geometric`` and ``arithmetic`` means of the wrong answers' probabilities over the right one's;
            ``prob_mean`` is the right one's share instead, in [0, 1].

    Raises:
        ValueError: a loss is NaN or infinite, there is no wrong answer, or there is no such mode.

    Source: locuslab/tofu ``aggregate_eval_stat.py``; arXiv 2401.06121; locuslab/open-unlearning.

    >>> truth_ratio(1.0, [2.0, 4.0]), truth_ratio(1.0, [1.0], "arithmetic"), truth_ratio(1.0, [1.0], "prob_mean")
    (0.1353352832366127, 1.0, 0.5)
    """
    if mode not in get_args(TruthRatio):
        raise ValueError(f"truth ratio {mode!r}; give {', '.join(get_args(TruthRatio))}")
    losses = np.asarray([base_loss, *perturbed_losses], dtype=float)
    if len(losses) < 2 or not np.isfinite(losses).all():
        raise ValueError(f"a truth ratio needs finite losses of a right and of wrong answers, not {losses.tolist()}")
    wrong = losses[1:]
    with np.errstate(over="ignore"):
        if mode == "arithmetic":
            return float(np.mean(np.exp(losses[0] - wrong)))
        geometric = float(np.exp(losses[0] - wrong.mean()))
    return geometric if mode == "geometric" else 1.0 / (1.0 + geometric)


def closeness(value: float, part: Part, mode: TruthRatio = "geometric") -> float:
    """What one truth ratio adds to its aggregate, in [0, 1].

    >>> closeness(4.0, "forget"), closeness(0.25, "retain"), closeness(4.0, "ra"), closeness(0.3, "wf", "prob_mean")
    (0.25, 0.75, 0.0, 0.3)
    """
    if part not in get_args(Part):
        raise ValueError(f"part {part!r}; give {', '.join(get_args(Part))}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"a truth ratio is 0 or more, not {value}")
    if mode == "prob_mean":
        return value
    if part == "forget":
        return min(value, 1.0 / value) if value else 0.0
    return max(0.0, 1.0 - value)


def aggregate_truth_ratios(ratios: Sequence[float], part: Part = "forget", mode: TruthRatio = "geometric") -> float:
    """Mean closeness to 1 (forget: like a model that never saw it) or mean of max(0, 1 - R) (retain, ra, wf).

    Args:
        ratios: one a doc, as from :func:`truth_ratio`.
        part: the set that they are of.
        mode: their definition; ``prob_mean`` is averaged as it is.

    Raises:
        ValueError: there is none, or one is NaN.

    >>> aggregate_truth_ratios([0.5, 2.0]), aggregate_truth_ratios([0.5, 2.0], "retain")
    (0.5, 0.25)
    """
    if not len(ratios):
        raise ValueError("no truth ratio to aggregate")
    return math.fsum(closeness(float(value), part, mode) for value in ratios) / len(ratios)


def model_utility(values: Mapping[str, float]) -> float:
    """Model utility: the harmonic mean of probability, ROUGE-L recall and truth ratio on three sets; 0 if one is 0.

    Args:
        values: the nine of :data:`UTILITY`.

    Raises:
        ValueError: one is missing, NaN, infinite or below 0.

    Source: locuslab/tofu ``aggregate_eval_stat.py``.

    >>> model_utility(dict.fromkeys(UTILITY, 0.5)), model_utility(dict.fromkeys(UTILITY, 0.5) | {"ra_prob": 0.0})
    (0.5, 0.0)
    """
    parts = [float(values.get(name, math.nan)) for name in UTILITY]
    wrong = [name for name, value in zip(UTILITY, parts, strict=True) if not 0 <= value < math.inf]
    if wrong:
        raise ValueError(f"model utility needs nine finite numbers of at least 0; missing or wrong: {', '.join(wrong)}")
    return 0.0 if 0.0 in parts else len(parts) / math.fsum(1.0 / value for value in parts)


def forget_quality(unlearned: npt.ArrayLike, retain: npt.ArrayLike) -> ForgetQuality:
    """Forget quality: p-value of a two-sided KS test between truth ratios of two models on the same questions.

    The same for R and 1/R, but not for ratios of another definition. Whether the questions are the same is the
    caller's to check.

    Raises:
        ValueError: a side is empty or holds a NaN.

    Source: TOFU (arXiv 2401.06121).

    >>> forget_quality([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])[:4], forget_quality([0.1, 0.2], [1.1, 1.2]).D
    ((1.0, 0.0, 3, 3), 1.0)
    """
    first, second = (np.asarray(side, dtype=float).ravel() for side in (unlearned, retain))
    if not len(first) or not len(second) or np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("forget quality needs truth ratios of both models, none of them NaN")
    from scipy import stats  # a second to import

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = stats.ks_2samp(first, second)
    # What scipy's "auto" means: exact up to 10,000 values, asymptotic beyond or where it gave the exact form up.
    gave_up = any(issubclass(one.category, RuntimeWarning) for one in told)
    method = "asymp" if gave_up or max(len(first), len(second)) > 10_000 else "exact"
    p = float(found.pvalue)
    log10 = math.log10(p) if p > 0 else -math.inf
    return ForgetQuality(p, float(found.statistic), len(first), len(second), log10, method)


@cache
def _lattice(n: int) -> tuple[float, ...]:
    from scipy import stats

    base = np.arange(n, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the exact form is given up for some k, as in any test
        return tuple(float(stats.ks_2samp(base, base + k - 0.5 * (k > 0)).pvalue) for k in range(n + 1))


def ks_lattice(p: float, n: int, *, digits: int = 4) -> list[int]:
    """The k for which D = k/n of two samples of n gives a printed p-value, cut or rounded to so many digits.

    For equal n a p-value takes n + 1 values only, so a printed one tells which n it belongs to.

    >>> ks_lattice(0.7933, 200), ks_lattice(0.4046, 40), ks_lattice(0.5182, 400)
    ([13], [8], [])
    """
    if not (0 <= p <= 1 and n > 0):
        raise ValueError(f"a p-value lies in [0, 1] and n is at least 1, not {p} and {n}")
    unit = 10.0 ** (-digits) if p >= 10.0 ** (1 - digits) else 10.0 ** (math.floor(math.log10(p)) - 2) if p else 0.0
    return [
        k for k, value in enumerate(_lattice(n)) if -unit / 2 - 1e-12 * p <= value - p < unit * (1 - 1e-9) or value == p
    ]


def exact_memorisation(hits: Sequence[bool]) -> float:
    """Share of the answer's tokens that the model would have chosen itself, each after the right ones before it.

    Args:
        hits: for each token whether it is the most likely one; without the end token, as open-unlearning has it.

    Raises:
        ValueError: there is no token.

    >>> exact_memorisation([True, True, False])
    0.6666666666666666
    """
    if not len(hits):
        raise ValueError("an answer without tokens")
    return sum(map(bool, hits)) / len(hits)


def extraction_strength(hits: Sequence[bool], compat: Literal["open_unlearning"] | None = None) -> float:
    """Share of the answer that the model finishes by itself: 1 - k/L, k the tokens to give before the rest is right.

    Args:
        hits: as for :func:`exact_memorisation`.
        compat: ``open_unlearning`` returns 1/L where not even the last token is right, else 0.

    Raises:
        ValueError: there is no token.

    >>> extraction_strength([False, True, True, True]), extraction_strength([True, False])
    (0.75, 0.0)
    """
    length = len(hits)
    if not length:
        raise ValueError("an answer without tokens")
    right = next((place for place, hit in enumerate(reversed(hits)) if not hit), length)
    if not right and compat == "open_unlearning":
        return 1.0 - (length - 1) / length
    return right / length


def min_k(log_probs: npt.ArrayLike, k: float = 0.4) -> float:
    """Min-K%: minus the mean of the lowest share k of the tokens' log-probabilities; low for text that was trained on.

    Raises:
        ValueError: there is no token, or k is not in (0, 1].

    >>> min_k([-0.1, -2.0, -4.0], 0.67)
    3.0
    """
    values = np.sort(np.asarray(log_probs, dtype=float).ravel())
    if not len(values) or np.isnan(values).any() or not 0 < k <= 1:
        raise ValueError("min-k needs log-probabilities, none of them NaN, and a share k in (0, 1]")
    return -float(values[: max(1, int(k * len(values)))].mean())


def min_k_plus_plus(log_probs: npt.ArrayLike, mean: npt.ArrayLike, variance: npt.ArrayLike, k: float = 0.4) -> float:
    """Min-K%++: the same of log-probabilities in standard deviations of the whole next-token distribution.

    Args:
        log_probs: of the tokens, shape (n,).
        mean: expected log-probability at each place, sum of p log p.
        variance: its variance, taken as 1e-6 at least.
        k: share of the tokens.

    Raises:
        ValueError: as for :func:`min_k`, or the shapes differ.

    >>> min_k_plus_plus([-1.0, -3.0], [-1.0, -1.0], [1.0, 4.0], k=1.0)
    0.5
    """
    values, means, variances = (np.asarray(column, dtype=float).ravel() for column in (log_probs, mean, variance))
    if not values.shape == means.shape == variances.shape:
        raise ValueError(f"shapes differ: {values.shape}, {means.shape}, {variances.shape}")
    return min_k((values - means) / np.sqrt(np.maximum(variances, 1e-6)), k)


def zlib_score(loss: float, text: str) -> float:
    """The average loss over the bytes that the text takes when it is compressed.

    >>> round(zlib_score(1.5, "Hina Ameen was born in Karachi, Pakistan."), 7)
    0.0306122
    """
    return loss / len(zlib.compress(text.encode("utf-8")))


def auc(forget: npt.ArrayLike, holdout: npt.ArrayLike) -> float:
    """Chance that a forget text has a lower score than a holdout text, ties counting half: 1 is a leak, 0.5 is ideal.

    Far below 0.5 tells the sets apart as well.

    Raises:
        ValueError: a side is empty or holds a NaN.

    >>> auc([0.2, 0.5, 0.4, 1.3], [1.0, 2.0, 0.45, 3.0, 1.2])
    0.8
    """
    first, second = (np.asarray(side, dtype=float).ravel() for side in (forget, holdout))
    if not len(first) or not len(second) or np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("an AUC needs scores of both sets, none of them NaN")
    return member_auc([(1.0, value) for value in first.tolist()] + [(0.0, value) for value in second.tolist()]).point


def member_auc(items: Sequence[MemberItem]) -> Resampled:
    """:func:`auc` of (member, score) items."""
    columns = np.asarray(items, dtype=float).reshape(-1, 2)[:, ::-1]
    if np.isnan(columns).any():
        raise ValueError("an AUC needs a score of every doc")
    distinct, rows = distinct_rows(columns)  # sorted by score
    scores, place = np.unique(distinct[:, 0], return_inverse=True)
    places = np.zeros((len(distinct), len(scores)))
    places[np.arange(len(distinct)), place.reshape(-1)] = 1.0
    member = distinct[:, 1] > 0

    def of_counts(counts: Floats) -> Floats:
        forget, holdout = (counts[:, side] @ places[side] for side in (member, ~member))
        above = holdout.sum(1, keepdims=True) - np.cumsum(holdout, axis=1) + holdout / 2
        pairs = forget.sum(1) * holdout.sum(1)
        return ratio((forget * above).sum(1), pairs, otherwise=math.nan)

    return Resampled(rows, len(distinct), of_counts)


def privleak(auc: float, reference_auc: float) -> float:
    """PrivLeak: how far 1 - AUC is from that of the retain model, in percent of the latter; 0 is ideal.

    Source: MUSE (arXiv 2407.06460); locuslab/open-unlearning.

    >>> round(privleak(0.8, 0.5), 6)
    -60.0
    """
    return ((1 - auc) - (1 - reference_auc)) / (1 - reference_auc + _TINY) * 100


def rel_diff(auc: float, reference_auc: float) -> float:
    """How far an AUC is from that of the retain model, in percent of the latter.

    >>> round(rel_diff(0.6, 0.5), 6)
    20.0
    """
    return (auc - reference_auc) / (reference_auc + _TINY) * 100


def rwku_recall(prediction: str, reference: str) -> float:
    """ROUGE-L recall as RWKU's authors compute it: case-sensitive, with punctuation, of sets of words.

    Texts are cut into sentences at full stops, and these into words at blanks. For each sentence of the reference the
    words of its longest common subsequence with each sentence of the prediction are united; recall is the share of
    the reference's distinct words that is found. 0 for a prediction or a reference without any word.

    Source: PyPI ``rouge`` 1.0.1, which RWKU (arXiv 2406.10890) calls; that raises where this is 0.

    >>> rwku_recall("the beatles", "The Beatles"), rwku_recall("d c b a", "a b c d"), rwku_recall("the", "the the the")
    (0.0, 0.25, 1.0)
    """
    said, right = _sentences(prediction), _sentences(reference)
    words = {word for sentence in right for word in sentence}
    if not said or not words:
        return 0.0
    found = {word for sentence in right for other in said for word in _common(sentence, other)}
    return len(found) / len(words)


def _sentences(text: str) -> list[list[str]]:
    pieces = (" ".join(piece.split()) for piece in text.split("."))
    return [piece.split(" ") for piece in pieces if piece]


def _common(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """A longest common subsequence; of several the one that the ``rouge`` package takes."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first, 1):
        for j, other in enumerate(second, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if one == other else max(table[i - 1][j], table[i][j - 1])
    i, j, found = len(first), len(second), []
    while i and j:
        if first[i - 1] == second[j - 1]:
            found.append(first[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def rouge_l_recall(prediction: str, reference: str, *, stemmer: bool = True) -> float:
    """ROUGE-L recall in [0, 1]: how much of the reference is said, in its order.

    Source: the ``rouge-score`` package, as TOFU and open-unlearning call it.

    >>> rouge_l_recall("He wrote it in Rome.", "written in Rome")
    0.6666666666666666
    """
    return float(_scorer(stemmer).score(reference, prediction)["rougeL"].recall)


@cache
def _scorer(stemmer: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # imports half of nltk and sklearn: tables need none of it

    return RougeScorer(["rougeL"], use_stemmer=stemmer)


_NEXT_PAIR = re.compile(r"\n[^\S\n]*\n|\nQuestion|Question:")


def first_answer(text: str) -> str:
    r"""What was answered before the model went on with a blank line or with a further question of its own.

    Source: MUSE's ``knowmem`` evaluation cuts so.

    >>> first_answer("In Rome.\nQuestion: And when?\nAnswer: Never."), first_answer(" Rome\n\nThe end")
    ('In Rome.', ' Rome')
    """
    return _NEXT_PAIR.split(text, maxsplit=1)[0]


def _ratios(part: Part) -> CorpusMetric[RatioItem]:
    def build(items: Sequence[RatioItem]) -> Resampled:
        values = [(float(value), mode) for value, mode in items]
        return nanmean([math.nan if math.isnan(value) else closeness(value, part, mode) for value, mode in values])  # type: ignore[arg-type]

    return CorpusMetric(build)


agg_forget_truth_ratio = _ratios("forget")
"""Mean closeness of the truth ratios to 1, of (ratio, definition) items; NaN ratios are docs of other subsets."""
agg_known_truth_ratio = _ratios("retain")
"""Mean of max(0, 1 - R), of (ratio, definition) items; NaN ratios are docs of other subsets."""


@CorpusMetric
def agg_member_auc(items: Sequence[MemberItem]) -> Resampled:
    """Chance that a text that was trained on has the lower score, of (member, score) items.

    >>> agg_member_auc([(1, 0.2), (0, 1.0), (0, 0.1)])
    0.5
    """
    return member_auc(items)
