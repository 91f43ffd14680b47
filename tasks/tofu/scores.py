"""From log-likelihoods and answers to the values that are aggregated over docs, called by lm-eval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.unlearning import (
    UTILITY_PARTS,
    MemberItem,
    RatioItem,
    first_answer,
    rouge_l_recall,
    truth_ratio,
    zlib_score,
)

Likelihood = tuple[float, bool]


def losses_of(doc: Mapping[str, Any], log_likelihoods: Sequence[float]) -> list[float]:
    """Average losses, nats a token, of a doc's answers.

    The last log-likelihood is of ``unscored``, where a doc has such white space before every answer, and subtracted.

    Raises:
        ValueError: nobody counted the tokens, or a log-likelihood is NaN or infinite.

    >>> losses_of({"id": "a", "n_tokens": [2, 4]}, [-1.0, -6.0])
    [0.5, 1.5]
    >>> losses_of({"id": "a", "n_tokens": [2, 4], "unscored": " "}, [-1.5, -6.5, -0.5])
    [0.5, 1.5]
    """
    counts = doc["n_tokens"]
    if not counts:
        raise ValueError(
            f"tofu, doc {doc['id']}: no tokenizer is known, so losses a token are not. "
            'Give the model\'s: --metadata \'{"tokenizer": "folder or name on the Hub"}\'.'
        )
    if not all(map(math.isfinite, log_likelihoods)):
        raise ValueError(
            f"tofu, doc {doc['id']}: log-likelihoods {list(log_likelihoods)}; float16 overflows, take float32."
        )
    *answers, space = log_likelihoods if doc.get("unscored") else [*log_likelihoods, 0.0]
    return [(space - value) / count for value, count in zip(answers, counts, strict=True)]


def ratio_of(doc: Mapping[str, Any], log_likelihoods: Sequence[float], definition: str) -> float:
    """The truth ratio of a doc from the log-likelihoods of its choices."""
    losses = losses_of(doc, log_likelihoods)
    base = int(doc["base"])
    return truth_ratio(losses[base], losses[base + 1 :], definition)  # type: ignore[arg-type]


def _choices(doc: Mapping[str, Any], results: Sequence[Likelihood]) -> tuple[float, RatioItem]:
    """Probability of the answer, for real authors and world facts its share beside the wrong ones, and truth ratio."""
    values = [value for value, _ in results]
    losses = losses_of(doc, values)
    prob = math.exp(-losses[0])
    if not doc["base"]:
        prob = 1.0 / math.fsum(math.exp(losses[0] - loss) for loss in losses)
    definition = doc["truth_ratio_definition"]
    return prob, (ratio_of(doc, values, definition), definition)


def forget(doc: Mapping[str, Any], results: Sequence[Likelihood]) -> dict[str, float | RatioItem]:
    """How likely the answer that is to be forgotten is, alone and beside wrong ones."""
    prob, ratio = _choices(doc, results)
    return {"prob": prob, "truth_ratio": ratio}


def utility(doc: Mapping[str, Any], results: Sequence[Likelihood]) -> dict[str, float | RatioItem]:
    """The same of what is to be kept, a metric each set; NaN for the other sets."""
    prob, ratio = _choices(doc, results)
    found: dict[str, float | RatioItem] = {}
    for part in UTILITY_PARTS:
        own = part == doc["subset"]
        found[f"{part}_prob"] = prob if own else math.nan
        found[f"{part}_truth_ratio"] = ratio if own else (math.nan, ratio[1])
    return found


def _recall(doc: Mapping[str, Any], text: str) -> float:
    return rouge_l_recall(text if doc["compat"] else first_answer(text), doc["answer"])


@of_answer
def forget_generated(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """How much of the answer that is to be forgotten is written."""
    return {"rougeL_recall": _recall(doc, results[0]), "parse_failure": float(not results[0].strip())}


@of_answer
def utility_generated(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The same of what is to be kept, a metric each set; NaN for the other sets."""
    recall = _recall(doc, results[0])
    found = {f"{part}_rougeL_recall": recall if part == doc["subset"] else math.nan for part in UTILITY_PARTS}
    return found | {"parse_failure": float(not results[0].strip())}


def membership(doc: Mapping[str, Any], results: Sequence[Likelihood]) -> dict[str, MemberItem]:
    """Scores by which one may guess whether an answer was trained on: lower, the likelier."""
    (loss,) = losses_of(doc, [value for value, _ in results])
    member = float(doc["member"])
    return {"mia_loss_auc": (member, loss), "mia_zlib_auc": (member, zlib_score(loss, doc["answer"]))}
