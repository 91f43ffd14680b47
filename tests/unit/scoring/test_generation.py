"""Text metrics: properties, and what the names promise."""

from __future__ import annotations

import math

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.scoring import generation

texts = st.lists(
    st.lists(st.sampled_from(["I", "i", "am", "sorry", "running", "!"]), max_size=8).map(" ".join), min_size=1
)


@given(hypotheses=texts)
def test_scores_lie_between_0_and_100(hypotheses: list[str]) -> None:
    references = hypotheses[::-1]
    scores = [*generation.rouge(hypotheses, references).values(), generation.bleu(hypotheses, references)]
    scores += [generation.dist_n(hypotheses, n) for n in (1, 2, 3)]
    assert all(0.0 <= score <= 100.0 for score in scores)


@given(hypotheses=texts, n=st.integers(1, 3))
def test_distinct_ngrams_are_counted_over_the_whole_corpus(hypotheses: list[str], n: int) -> None:
    grams = [g for t in hypotheses for w in [t.lower().split()] for g in zip(*(w[i:] for i in range(n)), strict=False)]
    assert generation.dist_n(hypotheses, n) == pytest.approx(100 * len(set(grams)) / len(grams) if grams else 0.0)


def test_only_the_stemmer_makes_inflected_words_equal() -> None:
    assert generation.rouge(["running"], ["runs"])["rougeL"] == 0.0
    assert generation.rouge(["running"], ["runs"], stemmer=True)["rougeL"] == 100.0


def test_bleu_without_tokeniser_keeps_punctuation_attached() -> None:
    hypothesis, reference = ["what a nice long day today ."], ["what a nice long day today."]
    assert generation.bleu(hypothesis, reference, "13a") == pytest.approx(100.0)
    assert generation.bleu(hypothesis, reference, "none") == pytest.approx(
        sacrebleu.corpus_bleu(hypothesis, [reference], tokenize="none").score
    )
    assert generation.bleu(hypothesis, reference, "none") < 100.0


def test_perplexity_is_pooled_over_units_and_not_averaged_over_docs() -> None:
    assert generation.perplexity([(-math.log(8), 3), (0.0, 1)]) == pytest.approx(8 ** (1 / 4))


def test_superni_keeps_articles_and_takes_the_best_reference() -> None:
    assert generation.superni_exact("The cat!", ["a cat", "the cat"]) == 100.0
    assert generation.superni_exact("cat", ["the cat"]) == 0.0
    assert generation.superni_rouge("runs fast", ["dog", "running fast"]) == 100.0


@pytest.mark.parametrize("score", [generation.rouge, generation.bleu])
def test_no_docs_or_unequal_lists_are_refused(score: object) -> None:
    for hypotheses, references in (([], []), (["a"], [])):
        with pytest.raises(ValueError, match="equally many"):
            score(hypotheses, references)  # type: ignore[operator]
