"""The proxy tasks for general intelligence on the released files, through the pure functions and through lm-eval."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness_ext.scoring.generation import superni_exact, superni_rouge
from harness_ext.tasks.eibench_gi import docs

SIZES = {
    **{"boolq": 3270, "rte": 277, "cb": 56, "copa": 100, "wic": 638, "commonsenseqa": 100, "sciq": 100, "quoref": 100},
    **{"sst2": 872, "emotion875": 100},
}
PARTS = {
    "task073_commonsenseqa_answer_generation": "commonsenseqa",
    "task591_sciq_answer_generation": "sciq",
}
PREDICTORS: dict[str, Callable[[int, docs.Doc, Any], str]] = {
    "first_value": lambda i, doc, values: values[0],
    "cyclic_0": lambda i, doc, values: values[i % len(values)],
    "const_the": lambda i, doc, values: "the",
    "last_input_word": lambda i, doc, values: doc["input"].split()[-1],
    "oracle": lambda i, doc, values: doc["gold"][0],
}


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "eibench/related.json").read_text(encoding="utf-8"))["gi_proxy"]
    return content


def test_sizes_and_values(mirror: Path) -> None:
    assert {part: len(docs.read(part)) for part in docs.PARTS} == SIZES
    for part, known in docs.PARTS.items():
        gold = {answer for doc in docs.read(part) for answer in doc["gold"]}
        assert not known.values or gold == set(known.values)


def test_definitions_stay_as_they_are(mirror: Path) -> None:
    assert docs.read("copa")[0]["instruction"] == ""
    emotion = docs.read("emotion875")[0]["instruction"]
    assert [label for label in docs.PARTS["emotion875"].values if f"'{label}'" not in emotion] == ["sadness"]


def test_control_characters_are_kept(mirror: Path) -> None:
    assert sum(ch in doc["input"] for doc in docs.read("rte") for ch in map(chr, range(0x80, 0xA0))) == 2


@pytest.mark.parametrize("name", ["boolq", "rte", *PARTS])
def test_predictors(expected: dict[str, Any], mirror: Path, replay_scores: Any, name: str) -> None:
    part = PARTS.get(name, name)
    read = docs.read(part)
    for predictor, case in expected[name].items():
        if predictor == "values":
            assert tuple(case) == docs.PARTS[part].values
            continue
        answers = [PREDICTORS[predictor](i, doc, docs.PARTS[part].values) for i, doc in enumerate(read)]
        gold = [doc["gold"] for doc in read]
        assert len(read) == case["n"]
        for metric, pure in (("exact_match", superni_exact), ("rougeL_stem", superni_rouge)):
            mean = sum(map(pure, answers, gold)) / len(gold)
            assert mean == pytest.approx(case[metric], abs=1e-4), (predictor, metric)
        leaf = f"eibench_gi_{part}"
        values = replay_scores({leaf: dict(zip([doc["id"] for doc in read], answers, strict=True))})[leaf]
        assert values["gi_score"] == values["t2t_em"] == pytest.approx(case["exact_match"], abs=1e-4), predictor
        assert values["t2t_rougeL"] == pytest.approx(case["rougeL_stem"], abs=1e-4), predictor
        assert values["parse_failure"] == 0


def test_an_oracle_gets_100_on_every_leaf_and_in_both_groups(mirror: Path, replay_scores: Any) -> None:
    answers = {f"eibench_gi_{part}": {d["id"]: d["gold"][-1] for d in docs.read(part)} for part in docs.PARTS}
    values = replay_scores(answers)
    assert {leaf: scores["gi_score"] for leaf, scores in values.items()} == pytest.approx(dict.fromkeys(answers, 100))
    assert {scores["parse_failure"] for scores in values.values()} == {0}


def test_likelihoods_give_the_score_of_the_likeliest_value(mirror: Path, replay_scores: Any) -> None:
    values = docs.PARTS["rte"].values
    answers = {doc["id"]: [-1.0, -2.0] for doc in docs.read("rte")}
    found = replay_scores({"eibench_gi_rte_ll": answers})["eibench_gi_rte_ll"]
    assert values[0] == "entailment"
    assert found["gi_score"] == pytest.approx(52.7076, abs=1e-4)
    assert found["acc_norm"] == pytest.approx(52.7076, abs=1e-4)
