"""Whether a response stays in its language: its lines, and English words between words of other scripts."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from math import inf, nan
from typing import Any

import numpy as np

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.lid import accepts, identify
from harness_ext.scoring.resampled import CorpusMetric, Resampled
from harness_ext.scoring.resampled.numbers import nanmean
from harness_ext.tasks.lcb.words import english, segmenter

WORD_PASS = ("ar", "hi", "ja", "ko", "ru", "zh")
"""Languages in another script than English, in which an English word can be told."""
FEWEST = 5
"""Words of a line whose language is judged."""

AUTHORS_LEAST = {"fasttext-ftz": 0.3}
"""The detector's score from which the authors believe it."""

_DELETED = str.maketrans({**dict.fromkeys(string.punctuation, ""), "—": " ", "،": ""})

Item = float | tuple[float, float]
"""A value, NaN where it is undefined; as the authors count, with what stands for a share of nothing."""


@CorpusMetric
def agg_share(items: Sequence[Item]) -> Resampled:
    """Mean over the responses that count; where none does undefined, as the authors count 1.

    >>> agg_share([1.0, nan, 0.0]), agg_share([(nan, 1.0)])
    (0.5, 1.0)
    """
    rows = [item if isinstance(item, (tuple, list)) else (item, nan) for item in items]
    nothing = rows[0][1] if rows else nan
    return nanmean([value for value, _ in rows]).then(lambda means: np.where(np.isnan(means), nothing, means))


def lines_of(response: str, language: str, tokenizer: str = "words") -> list[tuple[str, list[str]]]:
    r"""The lines of a response that are judged, each with its words.

    >>> lines_of("Also: das ist ein Satz, oder?\nJa.\nQ: Und nun?", "de")
    [('Also das ist ein Satz oder', ['Also', 'das', 'ist', 'ein', 'Satz', 'oder'])]
    """
    segment = segmenter(language, tokenizer)
    text = response.partition("\nQ:")[0].strip().translate(_DELETED)
    found = ((line, segment(line)) for line in text.split("\n"))
    return [(line, words) for line, words in found if len(words) >= FEWEST]


def confusion(doc: Mapping[str, Any], response: str, by: str) -> dict[str, float]:
    """Line pass, word pass and share of right lines of one response, NaN where undefined, by one detector."""
    language = doc["language"]
    lines = lines_of(response, language, doc["tokenizer"])
    if not lines:
        return {"lpr": nan, "wpr": nan, "line_acc": nan, "skipped": 1.0}
    found = [identify(line, by) for line, _ in lines]
    if doc["compat"]:
        right = [one.code == language and one.score > AUTHORS_LEAST.get(by, -inf) for one in found]
    else:
        right = [accepts(language, one.code) for one in found]
    word_pass = nan
    if all(right) and language in WORD_PASS:
        known = english(doc["words"])
        word_pass = float(not any(word.strip() in known for _, words in lines for word in words))
    return {"lpr": float(all(right)), "wpr": word_pass, "line_acc": sum(right) / len(right), "skipped": 0.0}


@of_answer
def response(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """The scores of one response by the run's detector."""
    found: dict[str, Any] = confusion(doc, results[0], doc["lid"])
    if doc["compat"]:
        shares = {"lpr", "line_acc", *(["wpr"] if doc["language"] in WORD_PASS else [])}
        found |= {name: (found[name], 1.0) for name in shares}
    return found
