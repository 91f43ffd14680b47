"""From an answer to the values that are averaged over docs, called by lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring import options
from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.generation import first_line, normalise_superni, superni_exact, superni_rouge

Doc = Mapping[str, Any]


def _values(doc: Doc, response: str, metric: str) -> dict[str, float]:
    line, gold = first_line(response), list(doc["gold"])
    scores = {"t2t_em": superni_exact(line, gold), "t2t_rougeL": superni_rouge(line, gold)}
    answer = normalise_superni(line)
    readable = answer in map(normalise_superni, doc["values"]) if doc["values"] else bool(answer)
    return {"gi_score": scores[metric]} | scores | {"parse_failure": float(not readable)}


@of_answer
def exact(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """The first line must be an accepted answer; one that is none of the values at all is a parse failure."""
    return _values(doc, results[0], "t2t_em")


@of_answer
def overlap(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """ROUGE-L of the first line with the best accepted answer."""
    return _values(doc, results[0], "t2t_rougeL")


def likeliest(doc: Doc, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """The likeliest value, also with likelihoods divided by the length of the value."""
    gold = list(doc["values"]).index(doc["gold"][0])
    lengths = [len(value) for value in doc["values"]]
    return {
        "gi_score": 100.0 * (options.likeliest(results) == gold),
        "acc_norm": 100.0 * (options.likeliest(results, lengths) == gold),
    }
