"""Docs and scoring of the toy tasks: small enough to check every number by hand."""

from __future__ import annotations

import math
from typing import Any

import datasets

CAPITALS = {"fr": ("France", "Paris"), "it": ("Italy", "Rome"), "jp": ("Japan", "Tokyo"), "pe": ("Peru", "Lima")}
COMPLETIONS = [
    ("The sky is", ["blue", "green"], 0, 0.7),
    ("Grass is", ["blue", "green"], 1, 0.2),
    ("Snow is", ["white", "black"], 0, 0.5),
]
MOODS = {
    "I won a prize.": [8, 0, 2], "My train was late again.": [0, 7, 3], "It is Tuesday.": [1, 1, 8],
    "They forgot my birthday.": [0, 9, 1], "We danced all night.": [9, 0, 1], "He read my diary!": [0, 10, 0],
}  # fmt: skip
"""Votes of ten annotators for joy, anger and neither."""


def capitals(ids: bool = True, **_: Any) -> dict[str, datasets.Dataset]:
    rows = [{"id": key, "country": country, "capital": city} for key, (country, city) in CAPITALS.items()]
    docs = datasets.Dataset.from_list(rows)
    return {"test": docs if ids else docs.remove_columns("id")}


def moods(**_: Any) -> dict[str, datasets.Dataset]:
    labels = ["joy", "anger", "neither"]
    rows = [{"id": text, "text": text, "labels": labels, "soft_label": votes} for text, votes in MOODS.items()]
    return {"test": datasets.Dataset.from_list(rows)}


def pictures(**_: Any) -> dict[str, datasets.Dataset]:
    rows = [{"id": name, "colour": name} for name in ("red", "green", "blue")]
    return {"test": datasets.Dataset.from_list(rows)}


def picture(doc: dict[str, Any]) -> list[bytes]:
    """Stands for an image: the replay backend must not look at it."""
    return [doc["colour"].encode()]


def completions(**_: Any) -> dict[str, datasets.Dataset]:
    rows = [
        {"id": number, "text": text, "choices": choices, "answer": answer, "soft": soft}
        for number, (text, choices, answer, soft) in enumerate(COMPLETIONS, start=101)
    ]
    return {"test": datasets.Dataset.from_list(rows)}


def lettered(**_: Any) -> dict[str, datasets.Dataset]:
    rows = [
        {"id": 1, "question": "Which is a fruit?", "choices": ["plum", "brick"], "answer": 0},
        {"id": 2, "question": "Which is a colour?", "choices": ["run", "red"], "answer": 1},
        {"id": 3, "question": "Which can fly?", "choices": ["owl", "oak"], "answer": 0},
    ]
    return {"test": datasets.Dataset.from_list(rows)}


def score_completion(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, Any]:
    likelihoods = [math.exp(value) for value, _ in results]
    first = likelihoods[0] / sum(likelihoods)
    best = likelihoods.index(max(likelihoods))
    return {"acc": float(best == doc["answer"]), "rmse": (first, doc["soft"])}


def rmse(pairs: list[tuple[float, float]]) -> float:
    return math.sqrt(sum((predicted - gold) ** 2 for predicted, gold in pairs) / len(pairs))


def last_answers(responses: list[list[str]], _docs: list[dict[str, Any]]) -> list[str]:
    return [repeats[-1] for repeats in responses]
