"""EmoBench on the real items: golden scores of constant and cyclic letters, in both languages and orders."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest

from harness_ext.tasks.eibench import docs as eibench
from harness_ext.tasks.eibench.readers.emobench import items
from harness_ext.tasks.emobench import docs

LEAVES = [("emobench_eu", "understanding"), ("emobench_ea", "application")]


def digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


@pytest.fixture(scope="module")
def expected(golden: Path, mirror: Path) -> dict[str, Any]:
    found = {name: json.loads((golden / f"eibench/{name}.json").read_text()) for name in ("tasks", "scores")}
    wanted = {(row["task"], row["predictor"]): row["metrics"] for row in found["scores"]["scores"]}
    return {"tasks": found["tasks"]["tasks"], "scores": wanted}


def answers(asked: Iterable[dict[str, Any]], predictor: str) -> dict[str, str]:
    """Letters as JSON: A, the i-th of the options, or the gold ones."""
    texts = {}
    for i, doc in enumerate(asked):
        meta = doc["meta"]
        letters = {
            "const letter A": ["A"] * 2,
            "cyclic:0": [ascii_uppercase[i % n] for n in meta["options"]],
            "oracle": doc["gold"],
        }[predictor]
        texts[doc["id"]] = json.dumps(dict(zip(meta["keys"], letters, strict=False)))
    return texts


@pytest.mark.parametrize(("leaf", "question"), LEAVES)
def test_ids_and_answers_have_the_expected_digests(expected: dict[str, Any], leaf: str, question: Any) -> None:
    wanted = expected["tasks"][f"{leaf}_en"]["test"]
    found = docs.load(question, "en")["test"]
    assert len(found) == wanted["n"]
    assert digest(found["id"]) == wanted["ids_sha256"]
    assert digest(found["target"]) == wanted["targets_sha256"]


@pytest.mark.parametrize("predictor", ["const letter A", "cyclic:0"])
@pytest.mark.parametrize(("leaf", "question"), LEAVES)
def test_synthetic_letters_with_every_mean(
    expected: dict[str, Any], replay_scores: Any, leaf: str, question: Any, predictor: str
) -> None:
    wanted = expected["scores"][f"{leaf}_en", predictor]
    found = replay_scores({f"{leaf}_en": answers(docs.load(question, "en")["test"], predictor)})[f"{leaf}_en"]
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-3)
    score = "joint" if question == "understanding" else "acc"
    assert found["ei_score"] == found[score] == found[f"{score}_compat"]
    constant = expected["scores"][f"{leaf}_en", "const letter A"][score]
    assert found["constant_A"] == pytest.approx(constant, abs=1e-3)
    assert found["constant_best"] >= max(constant, found[score])
    assert found["invalid"] == 0


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("order", ["file", "hashed"])
def test_an_oracle_scores_100_in_any_language_and_order(
    mirror: Path, replay_scores: Any, language: Any, order: Any
) -> None:
    given = {
        f"{leaf}_{language}": answers(docs.load(question, language, option_order=order)["test"], "oracle")  # type: ignore[arg-type]
        for leaf, question in LEAVES
    }
    for values in replay_scores(given, option_order=order).values():
        scores = {name: value for name, value in values.items() if name.startswith(("joint", "acc", "ei"))}
        assert {value for name, value in scores.items() if "_stderr" not in name} == {100}


def test_a_model_that_says_nothing_scores_nothing(mirror: Path, replay_scores: Any) -> None:
    given = {doc["id"]: "" for doc in docs.load("understanding", "zh")["test"]}
    values = replay_scores({"emobench_eu_zh": given})["emobench_eu_zh"]
    assert (values["joint"], values["joint_compat"], values["invalid"]) == (0, 0, 1)


def test_twins_and_the_leaves_of_eibench_hold_the_same_items(mirror: Path, replay_scores: Any) -> None:
    for leaf, question in LEAVES:
        for order in ("file", "hashed"):
            own = docs.load(question, "en", option_order=order)["test"]  # type: ignore[arg-type]
            other = eibench.load(leaf, option_order=order)["test"]  # type: ignore[arg-type]
            for column in ("id", "input", "target"):
                assert own[column] == other[column]
    emotion, cause = (docs.load(half, "en", "letter")["test"] for half in ("emotion", "cause"))  # type: ignore[arg-type]
    both = docs.load("understanding", "en")["test"]["gold"]
    assert [a + b for a, b in zip(emotion["gold"], cause["gold"], strict=True)] == both
    likelihoods = {doc["id"]: [-float(letter != "A") for letter in doc["labels"]] for doc in cause}
    values = replay_scores({"emobench_eu_en_cause_ll": likelihoods})["emobench_eu_en_cause_ll"]
    assert values["acc"] == values["constant_A"] == pytest.approx(26.5)


def test_right_answers_sit_in_uneven_places(mirror: Path) -> None:
    chinese = docs.load("cause", "zh", "letter")["test"]
    assert chinese["gold"].count("A") == 132
    assert Counter(map(len, chinese["labels"])) == {4: 139, 6: 60, 7: 1}
    hashed = docs.load("cause", "zh", "letter", option_order="hashed")["test"]
    assert hashed["gold"].count("A") < 66


def test_the_stated_chance_is_the_share_of_right_guesses(mirror: Path) -> None:
    chances = {"en": (3.75, 22.5), "zh": (3.7411, 22.4464)}
    for language, (joint, cause) in chances.items():
        sizes = [(len(i["emotion_choices"]), len(i["cause_choices"])) for i in items("EU", language)]  # type: ignore[arg-type]
        assert 100 * sum(1 / a / b for a, b in sizes) / len(sizes) == pytest.approx(joint, abs=1e-4)
        assert 100 * sum(1 / b for _, b in sizes) / len(sizes) == pytest.approx(cause, abs=1e-4)


@pytest.mark.parametrize(
    ("question", "language", "best", "score"),
    [
        ("understanding", "en", "AB", 11.5),
        ("understanding", "zh", "AA", 24.5),
        ("application", "en", "C", 37.0),
        ("application", "zh", "C", 37.0),
    ],
)
def test_the_best_constant_answers_are_those_the_readme_states(
    mirror: Path, question: Any, language: Any, best: str, score: float
) -> None:
    ((answer, count),) = Counter(docs.load(question, language)["test"]["gold"]).most_common(1)
    assert (answer, count / 2) == (best, score)
