"""Overlap, diversity and perplexity of free text, computed without any download.

Names say the variant: ``rougeL`` is ROUGE-L F-measure without stemmer and ``rougeL_stem`` with Porter's; ``bleu_13a``
is corpus BLEU with mteval-v13a tokenisation and ``bleu_none`` without, for text that is tokenised already. All scores
are 0-100 except perplexities. ROUGE is useless for Chinese: the package keeps only ``[a-z0-9]``.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.resampled import CorpusMetric, Resampled, from_sums, never_resampled, ratio
from harness_ext.scoring.resampled.statistic import Floats

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


LikelihoodItem = tuple[float, float]
"""Log-likelihood of a text in nats, and its number of words or bytes."""

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")


@cache
def _scorer(kinds: tuple[str, ...], stemmer: bool) -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # imports half of nltk and sklearn: tables need none of it

    return RougeScorer(list(kinds), use_stemmer=stemmer)


def rouge_pair(hypothesis: str, reference: str, stemmer: bool = False) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F-measure of one text, 0-100.

    Source: the ``rouge-score`` package.

    >>> rouge_pair("I am sorry", "I am so sorry")["rougeL"]
    85.71428571428571
    """
    scores = _scorer(ROUGE_TYPES, stemmer).score(reference, hypothesis)
    return {kind: 100.0 * scores[kind].fmeasure for kind in ROUGE_TYPES}


def rouge_l(hypothesis: str, reference: str, stemmer: bool = False) -> float:
    """ROUGE-L F-measure of one text alone, 0-100.

    >>> rouge_l("I am sorry", "I am so sorry")
    85.71428571428571
    """
    return 100.0 * float(_scorer(("rougeL",), stemmer).score(reference, hypothesis)["rougeL"].fmeasure)


def _same_length(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            f"{len(hypotheses)} hypotheses, {len(references)} references: equally many are needed, at least 1"
        )


def rouge(hypotheses: Sequence[str], references: Sequence[str], stemmer: bool = False) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L: mean F-measure over docs, 0-100.

    Raises:
        ValueError: the lists are empty or differ in length.

    >>> rouge(["I am sorry", "no"], ["I am so sorry", "yes"])["rougeL"]
    42.857142857142854
    """
    _same_length(hypotheses, references)
    rows = [rouge_pair(h, r, stemmer) for h, r in zip(hypotheses, references, strict=True)]
    return {kind: math.fsum(row[kind] for row in rows) / len(rows) for kind in ROUGE_TYPES}


def bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> float:
    """Corpus BLEU with one reference a doc, 0-100.

    Args:
        hypotheses: the answers.
        references: the gold texts, same length.
        tokenize: a sacrebleu tokeniser: ``"13a"``, ``"none"``, ``"zh"``, …

    Raises:
        ValueError: the lists are empty or differ in length.

    Source: sacrebleu (exponential smoothing, its default).

    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on a mat"]), 4)
    53.7285
    """
    return _bleu(hypotheses, references, tokenize).point


def _bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str) -> Resampled:
    _same_length(hypotheses, references)
    from sacrebleu.metrics import BLEU  # as long to import as numpy

    # force: sacrebleu otherwise warns on stderr about text that looks tokenised, which for some corpora it rightly is
    score = from_sentences(BLEU(tokenize=tokenize, force=True), hypotheses, [references])
    return score.then(lambda values: np.minimum(values, 100.0))  # but for rounding it is


def from_sentences(metric: Any, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Resampled:
    """A corpus metric of sacrebleu's from its counts of each sentence.

    Args:
        metric: an object such as ``BLEU()``, ``CHRF()`` or ``TER()``.
        hypotheses: the answers.
        references: one or more gold texts of every answer: lists as long as ``hypotheses``.

    >>> from sacrebleu import BLEU
    >>> round(from_sentences(BLEU(), ["the cat sat on the mat"], [["the cat sat on a mat"]]).point, 4)
    53.7285
    """
    # What sacrebleu's own significance tests call; its public functions give scores of sentences, not their counts.
    counts = metric._extract_corpus_statistics(list(hypotheses), [list(texts) for texts in references])

    def value(sums: Floats) -> Floats:
        return np.array([metric._compute_score_from_stats(row).score for row in sums.tolist()])

    return from_sums(counts, value)


def dist_n(texts: Iterable[str], n: int) -> float:
    """Distinct n-grams over all n-grams of the whole corpus, 0-100; lower-cased, split at blanks.

    0.0 when no text has n words.

    >>> dist_n(["I see", "i see you"], 1), dist_n(["I see", "i see you"], 2)
    (60.0, 66.66666666666667)
    """
    distinct: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        words = text.lower().split()
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        distinct.update(grams)
        total += len(grams)
    return 100.0 * len(distinct) / total if total else 0.0


def perplexity(items: Iterable[LikelihoodItem]) -> float:
    """``exp(-sum of log-likelihoods / sum of units)``: perplexity a word or a byte, >= 0.

    Args:
        items: (log-likelihood in nats, number of words or bytes) of each gold text.

    Raises:
        ValueError: no unit at all.

    >>> perplexity([(-2.0, 1), (-1.0, 2)])
    2.718281828459045
    """
    return _perplexity(list(items)).point


def _perplexity(items: Sequence[LikelihoodItem]) -> Resampled:
    if not sum(n for _, n in items):
        raise ValueError("perplexity of texts without words is undefined")
    return nats_per_unit(items).then(_exp)


def _exp(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # infinite
        return np.exp(values)


def nats_per_unit(items: Sequence[LikelihoodItem]) -> Resampled:
    """``-sum of log-likelihoods / sum of units`` of ``(log-likelihood, units)`` items; NaN without units.

    >>> nats_per_unit([(-2.0, 1), (-1.0, 2)]).point
    1.0
    """
    columns = np.asarray(items, dtype=float).reshape(-1, 2)
    return from_sums(columns, lambda sums: -ratio(sums[:, 0], sums[:, 1], otherwise=math.nan))


def normalise_superni(text: str) -> str:
    """Lower-case without ASCII punctuation, blanks collapsed; articles stay.

    Source: Super-NaturalInstructions' evaluation, as repeated in the SAPT repository.

    >>> normalise_superni("The  Cat!")
    'the cat'
    """
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())


def superni_exact(prediction: str, references: Sequence[str]) -> float:
    """SuperNI exact match against the best reference, 0.0 or 100.0.

    >>> superni_exact("Joy.", ["joy"]), superni_exact("the joy", ["joy"])
    (100.0, 0.0)
    """
    return 100.0 * any(normalise_superni(prediction) == normalise_superni(reference) for reference in references)


def superni_rouge(prediction: str, references: Sequence[str]) -> float:
    """SuperNI ROUGE-L with stemmer against the best reference, 0-100.

    >>> superni_rouge("running", ["runs"])
    100.0
    """
    return max((rouge_l(prediction, reference, stemmer=True) for reference in references), default=0.0)


def first_line(text: str) -> str:
    r"""The first line that is not blank, stripped; empty when there is none.

    >>> first_line("\n  joy \nbecause")
    'joy'
    """
    return next(filter(None, map(str.strip, text.split("\n"))), "")


@of_answer
def score_answer(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    r"""``process_results`` of a generating task whose right answers, as texts, stand in the doc's ``answers``.

    Case and punctuation do not matter. Of an answer to which every reference is one line its first line is read.

    >>> score_answer({"answers": ["Paris"]}, ["paris.\nIt is the capital."])
    {'exact_match': 100.0, 'rouge_l': 100.0, 'no_answer': 0.0, 'reasoning_cut': 0.0}
    """
    references = doc["answers"]
    answer = results[0] if any("\n" in reference for reference in references) else first_line(results[0])
    return {
        "exact_match": superni_exact(answer, references),
        "rouge_l": superni_rouge(answer, references),
        "no_answer": float(not answer.strip()),
    }


def _bleu_of_items(tokenize: str) -> CorpusMetric[tuple[str, str]]:
    def build(items: Sequence[tuple[str, str]]) -> Resampled:
        return _bleu([hypothesis for hypothesis, _ in items], [reference for _, reference in items], tokenize)

    return CorpusMetric(build)


agg_bleu_13a = _bleu_of_items("13a")
"""Corpus BLEU (13a) of (hypothesis, reference) items, 0-100."""
agg_bleu_none = _bleu_of_items("none")
"""Corpus BLEU without tokenisation of (hypothesis, reference) items, 0-100."""

_MORE_TEXT = "dist-n has no bootstrap interval: a resample repeats documents and repeats add words but no new n-grams"


@never_resampled(_MORE_TEXT)
def agg_dist_1(items: Sequence[str]) -> float:
    """Distinct words over all words of the answers, 0-100.

    >>> agg_dist_1(["a b", "a"])
    66.66666666666667
    """
    return dist_n(items, 1)


@never_resampled(_MORE_TEXT)
def agg_dist_2(items: Sequence[str]) -> float:
    """Distinct word pairs over all word pairs of the answers, 0-100.

    >>> agg_dist_2(["a b a b"])
    66.66666666666667
    """
    return dist_n(items, 2)


@CorpusMetric
def agg_gold_word_ppl(items: Sequence[LikelihoodItem]) -> Resampled:
    """Perplexity a whitespace word of (log-likelihood, words) items; ValueError without a word.

    >>> agg_gold_word_ppl([(0.0, 3)])
    1.0
    """
    return _perplexity(items)


@CorpusMetric
def agg_gold_byte_ppl(items: Sequence[LikelihoodItem]) -> Resampled:
    """Perplexity a UTF-8 byte of (log-likelihood, bytes) items; ValueError without a byte.

    >>> agg_gold_byte_ppl([(0.0, 3)])
    1.0
    """
    return _perplexity(items)
