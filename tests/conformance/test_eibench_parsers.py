"""The answer parsers on the golden cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness_ext.scoring import affect


@pytest.fixture(scope="module")
def cases(golden: Path) -> dict[str, Any]:
    return json.loads((golden / "eibench/normaliser.json").read_text())


def test_single_labels(cases: dict[str, Any]) -> None:
    for case in cases["single"]:
        known = cases["label_sets"][case["set"]]
        assert affect.parse_label(case["output"], known["labels"], known["aliases"]) == case["expected"], case


def test_label_sets(cases: dict[str, Any]) -> None:
    for case in cases["multi"]:
        known = cases["label_sets"][case["set"]]
        expected = (case["expected"], case["parse_failure"])
        assert affect.parse_label_set(case["output"], known["labels"], known["aliases"]) == expected, case


def test_real_numbers(cases: dict[str, Any]) -> None:
    for case in cases["real"]:
        value, failed = affect.parse_real(case["output"])
        assert (pytest.approx(value), failed) == (case["expected"], case["parse_failure"]), case


def test_utterance_lists(cases: dict[str, Any]) -> None:
    for case in cases["int_list"]:
        assert affect.parse_utterances(case["output"], case["n"]) == (case["expected"], case["parse_failure"]), case


def test_pairs(cases: dict[str, Any]) -> None:
    for case in cases["pairs"]:
        pairs, failed = affect.parse_pairs(case["output"], case["n"])
        assert ([list(pair) for pair in pairs], failed) == (case["expected"], case["parse_failure"]), case


def test_option_letters(cases: dict[str, Any]) -> None:
    for case in cases["letter"]:
        assert affect.parse_option(case["output"], case["n_options"]) == case["expected"], case


def test_option_letters_in_json(cases: dict[str, Any]) -> None:
    for case in cases["json_letters"]:
        assert affect.parse_option_json(case["output"], case["keys"], case["n_options"]) == case["expected"], case
