"""SECEU on the released documents: their text, the norm, and predictors whose score is known."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness_ext.scoring.seceu import eq_of, score
from harness_ext.tasks.seceu import docs


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "eibench/related.json").read_text(encoding="utf-8"))["seceu"]
    return content


def digest(items: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(items).encode("utf-8")).hexdigest()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_options(expected: dict[str, Any], mirror: Path, language: Any) -> None:
    items, _ = docs.read(language)
    assert digest("|".join(item.options) for item in items) == expected[f"options_{language}_sha256"]
    if language == "en":
        assert list(items[25].options) == expected["item_26_options"]


def test_stories_hold_no_options_and_no_headings(mirror: Path) -> None:
    for language, asks in (("en", "would feel"), ("zh", "觉得")):
        for item in docs.read(language)[0]:  # type: ignore[arg-type]
            assert asks in item.story or "feel" in item.story
            assert "\t" not in item.story
            assert "\n" not in item.story
            assert "Options" not in item.story
            assert not item.story.endswith(item.options)


def test_norm(expected: dict[str, Any], mirror: Path) -> None:
    human = docs.read("en")[1]
    assert digest(",".join(f"{x:.2f}" for x in row) for row in human.standard) == expected["norm"]["standard_sha256"]
    assert digest(f"{x:.2f}" for x in human.template) == expected["norm"]["template_sha256"]
    assert sum(human.template) / 40 == pytest.approx(expected["norm"]["template_mean"], abs=1e-9)
    assert sorted({round(sum(row), 2) for row in human.standard}) == expected["norm"]["sums"]


@pytest.mark.parametrize(("name", "points"), [("uniform", (2.5, 2.5, 2.5, 2.5)), ("rows_4321", (4, 3, 2, 1))])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_constant_answers(
    expected: dict[str, Any], mirror: Path, replay_scores: Any, name: str, points: Any, language: Any
) -> None:
    human = docs.read(language)[1]
    pure = score([points] * 40, human.standard, human.template)
    answer = ", ".join(map(str, points))
    leaf = f"seceu_{language}"
    values = replay_scores({leaf: {f"{language}_{i}": answer for i in range(1, 41)}})[leaf]
    for metric, value in expected[name].items():
        assert getattr(pure, metric) == pytest.approx(value, abs=1e-4)
        assert values[metric] == pytest.approx(value, abs=1e-4)
    assert values["parse_failure"] == values["renormalised"] == 0


def test_an_oracle_is_at_distance_zero_and_has_no_pattern(mirror: Path, replay_scores: Any) -> None:
    answers = {doc["id"]: docs.target(doc) for doc in docs.load("en")["test"]}
    values = replay_scores({"seceu_en": answers})["seceu_en"]
    assert values["seceu"] == 0
    assert values["eq"] == pytest.approx(eq_of(0.0))
    assert values["pattern_r"] != values["pattern_r"]
    assert values["renormalised"] == 0  # sums of 9.99 and 10.01 stay


@pytest.mark.parametrize(("unreadable", "shown"), [(4, True), (5, False)])
def test_the_eq_needs_nine_answers_in_ten(mirror: Path, replay_scores: Any, unreadable: int, shown: bool) -> None:
    answers = {f"en_{i}": "no idea" if i <= unreadable else "4, 3, 2, 1" for i in range(1, 41)}
    values = replay_scores({"seceu_en": answers})["seceu_en"]
    assert (values["eq"] == values["eq"]) == shown
    assert values["seceu"] > 0
    assert values["parse_failure"] == pytest.approx(unreadable / 40)


def test_eq_of_the_published_means(golden: Path, expected: dict[str, Any]) -> None:
    for seceu, eq in expected["eq_of_rounded_seceu"].items():
        assert eq_of(float(seceu)) == pytest.approx(eq, abs=1e-4)
    published: dict[str, dict[str, float]] = {}
    with (golden / "eibench/published.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["task"] == "seceu_en" and row["metric"] in ("seceu", "eq") and row["value"]:
                published.setdefault(row["model"], {})[row["metric"]] = float(row["value"])
    both = {model: values for model, values in published.items() if len(values) == 2}
    assert len(both) == 15
    reproduced = {model for model, values in both.items() if abs(eq_of(values["seceu"]) - values["eq"]) <= 0.5}
    assert both.keys() - reproduced == {"GPT-4"}
