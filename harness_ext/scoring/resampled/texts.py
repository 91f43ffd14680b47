"""Metrics of free text, as functions of document counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sacrebleu.metrics import BLEU

from harness_ext.scoring.resampled.statistic import Floats, NotResampledError, Resampled, from_sums, ratio


def bleu(tokenize: str) -> Callable[[Sequence[tuple[str, str]]], Resampled]:
    """Corpus BLEU of ``(hypothesis, reference)`` items from the n-gram counts of their sentences.

    Args:
        tokenize: a sacrebleu tokeniser, e.g. ``"13a"``.

    >>> round(bleu("13a")([("the cat sat on the mat", "the cat sat on a mat")]).point, 4)
    53.7285
    """

    def build(items: Sequence[tuple[str, str]]) -> Resampled:
        # effective_order changes the score of a sentence, which is not used, and silences a warning about it.
        scorer = BLEU(tokenize=tokenize, effective_order=True, force=True)
        sentences = [scorer.sentence_score(hypothesis, [reference]) for hypothesis, reference in items]
        features = [[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in sentences]
        order = scorer.max_ngram_order

        def value(sums: Floats) -> Floats:
            scores = []
            for row in np.rint(sums).astype(int).tolist():
                correct, total, (sys_len, ref_len) = row[:order], row[order:-2], row[-2:]
                scores.append(BLEU.compute_bleu(correct, total, sys_len, ref_len, smooth_method="exp").score)
            return np.array(scores)

        return from_sums(features, value)

    return build


def perplexity(items: Sequence[tuple[float, float]]) -> Resampled:
    """``exp(-sum of log-likelihoods / sum of units)`` of ``(log-likelihood, units)`` items; NaN without units."""
    return from_sums(items, lambda sums: np.exp(-ratio(sums[:, 0], sums[:, 1], otherwise=float("nan"))))


def bits_per_unit(items: Sequence[tuple[float, float]]) -> Resampled:
    """``-sum of log-likelihoods / sum of units / ln 2`` of ``(log-likelihood, units)`` items."""
    return from_sums(items, lambda sums: -ratio(sums[:, 0], sums[:, 1], otherwise=float("nan")) / np.log(2))


def nats_per_unit(items: Sequence[tuple[float, float]]) -> Resampled:
    """``-sum of log-likelihoods / sum of units`` of ``(log-likelihood, units)`` items."""
    return from_sums(items, lambda sums: -ratio(sums[:, 0], sums[:, 1], otherwise=float("nan")))


def distinct_ngrams(items: Sequence[str]) -> Resampled:
    """Refuses: a resample repeats documents, repeats hold no new n-grams, so its dist-n is always too small."""
    raise NotResampledError(
        "dist-n has no bootstrap interval: a resample repeats documents and repeats add words but no new n-grams"
    )
