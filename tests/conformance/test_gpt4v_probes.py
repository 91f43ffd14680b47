"""The probes against the golden answers, the paper's own puzzles, and real answers of a model to letter questions."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest

from harness_ext.data import fetch, load_card
from harness_ext.scoring import probes, vqa
from harness_ext.scoring.labels import parse_letter
from harness_ext.scoring.refusal_rules import classify
from harness_ext.tasks.gpt4v_probes import docs, scores
from harness_ext.tasks.gpt4v_probes.synth.puzzles import evaluate

DIRECT = "MMMU-Benchmark/MMMU/bb0b95a945998d91dfef37e969e07d49d1139438/mmmu-pro/output"


@pytest.fixture(scope="module")
def scorers(golden: Path) -> Any:
    return json.loads((golden / "vision/gpt4v_scorers.json").read_text(encoding="utf-8"))


def read(golden: Path, name: str) -> Any:
    return json.loads((golden / "vision" / name).read_text(encoding="utf-8"))


def test_short_answers(scorers: Any) -> None:
    for case in scorers["vqa"]["exact_match_contains"]:
        assert vqa.exact_match(case["gold"], case["answer"]) == case["exact_match"], case
        assert vqa.contains(case["gold"], case["answer"]) == case["contains"], case
    soft = scorers["vqa"]["soft"]
    assert {said: round(vqa.soft(soft["golds"], said), 4) for said in soft["expect"]} == soft["expect"]


def test_differences(scorers: Any, golden: Path) -> None:
    regions = read(golden, "gpt4v_spot_gold.json")
    for case in scorers["spot"]:
        assert sorted(probes.cells(case["answer"])) == case["cells"]
        found = probes.spot(regions[case["puzzle"]], probes.cells(case["answer"]))
        names = ("p", "r", "f1", "found", "expected", "adj")
        assert dict(zip(names, (round(value, 4) for value in found), strict=True)) == case["expect"]


def test_numbers_characters_texts_and_places(scorers: Any) -> None:
    for case in scorers["last_number"]:
        assert probes.last_number(case["text"]) == case["expect"]
    for case in scorers["zh_char"]:
        assert probes.claimed_character(case["text"]) == case["claim"]
        assert probes.zh_char(case["gold"], case["text"]) == case["score"]
    for case in scorers["zh_text"]:
        assert round(probes.cer(case["gold"], case["text"]), 4) == case["cer"]
        assert round(probes.text_score(case["gold"], case["text"]), 4) == case["score"]
    for case in scorers["position_f1"]:
        assert round(probes.position_f1(case["gold"], case["pred"]), 4) == case["expect"]
    for traditional, simplified in scorers["zh_traditional_to_simplified"].items():
        assert probes.zh_char(simplified, traditional) is True


def test_refusals(scorers: Any) -> None:
    for case in scorers["refusal"]:
        assert (classify(case["text"], "trait_refusal") == "refusal") == case["refused"], case
    stats = scorers["refusal_metrics"]
    found = probes.refusal_stats({trait: tuple(counts) for trait, counts in stats["refused_of"].items()})
    assert found._asdict() == stats["expect"]


def test_letters(scorers: Any) -> None:
    for case in scorers["letters"]:
        assert parse_letter(case["text"], case["letters"]) == case["expect"], case


def test_letters_of_a_hundred_real_answers_with_reasons(golden: Path) -> None:
    lines = (golden / "vision/mmmu_pro_gpt4o_cot_100.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    said = [parse_letter(row["response"], ascii_uppercase[: row["n_options"]]) for row in rows]
    assert sum(letter == row["official"] for letter, row in zip(said, rows, strict=True)) >= 98


def test_letters_of_1730_real_answers(mirror: Path) -> None:
    (file,) = (mirror / DIRECT).glob("gpt-4o_standard*direct.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    said = [parse_letter(row["response"], ascii_uppercase[: len(ast.literal_eval(row["options"]))]) for row in rows]
    opened = [(re.match(r"([A-J])\. ", row["response"]), letter) for row, letter in zip(rows, said, strict=True)]
    right = [match[1] == letter for match, letter in opened if match]
    assert (len(rows), len(right)) == (1730, 1219)
    assert sum(right) >= 1218
    assert said.count(None) <= 17
    accuracy = sum(letter == row["answer"] for letter, row in zip(said, rows, strict=True)) / len(rows)
    assert accuracy == pytest.approx(0.4289, abs=0.005)


@pytest.mark.parametrize(
    ("part", "expected"), [("color", (574, 0.5453)), ("shape", (140, 0.6286)), ("size_larger", (200, 0.6550))]
)
def test_the_shorter_option_of_vicomte(mirror: Path, part: str, expected: tuple[int, float]) -> None:
    found = docs.load(f"vicomte_{part.partition('_')[0]}")["test"].select_columns(["id", "options", "answer"])
    rows = [row for row in found if row["id"].startswith(f"{part}_")]
    right = [
        min(row["options"], key=lambda text: (len(text), text)) == row["options"]["AB".index(row["answer"])]
        for row in rows
    ]
    assert (len(rows), round(sum(right) / len(right), 4)) == expected


def test_every_equation_of_the_real_puzzles_holds_with_its_values(golden: Path) -> None:
    puzzles = docs.puzzles()["math"]
    assert list(puzzles) == [str(number) for number in range(1, 11)]
    for puzzle in puzzles.values():
        values = dict(zip("abc", puzzle["values"].values(), strict=True))
        for equation in puzzle["equations"]:
            side, _, total = equation.partition("=")
            assert evaluate(side, values) == int(total), puzzle
        assert evaluate(puzzle["asked"], values) == puzzle["answer"]
    for number, gold in read(golden, "gpt4v_math_gold.json").items():
        assert (list(puzzles[number]["values"].values()), puzzles[number]["answer"]) == (
            list(gold["values"].values()),
            gold["answer"],
        )


def test_solutions_of_the_other_real_puzzles_are_the_golden_ones(golden: Path) -> None:
    for number, gold in read(golden, "gpt4v_drawguess_gold.json").items():
        assert docs.puzzles()["drawguess"][number]["accept"] == gold["accept"]
    for number, regions in read(golden, "gpt4v_spot_gold.json").items():
        kept = [{key: region[key] for key in ("cell", "cells")} for region in regions]
        assert docs.puzzles()["spot_grid"][number] == kept


def test_real_puzzles_load_on_white_and_the_released_wrong_word_is_rejected(mirror: Path) -> None:
    for part, count in (("math", 10), ("spot_grid", 2), ("drawguess", 10)):
        found = docs.load(part)["test"]
        assert len(found) == count
        assert {picture.mode for row in found for picture in row["images"]} == {"RGB"}
    claw = next(row for row in docs.load("drawguess")["test"] if row["id"] == "drawguess_9")
    assert scores.drawguess(claw, ["A washing machine"])["acc"] == 0
    assert scores.drawguess(claw, ["a claw machine"])["acc"] == 1
    words = fetch("gpt4v_evaluation", "drawguess/words.txt").read_text(encoding="utf-8")
    assert "[Image9] Hints: Object, Machine" in words


def test_the_card_accounts_for_656_instances(golden: Path) -> None:
    prose = load_card("gpt4v_probes").prose
    rows = re.findall(r"^\| (\w+) \| (\d-shot) \| .* \| (\d+) \|$", prose, re.MULTILINE)
    wanted = [
        (row["block"], row["setting"], str(row["n"])) for row in read(golden, "gpt4v_probe_counts.json")["probes"]
    ]
    assert rows == wanted
    assert sum(int(n) for _, _, n in rows) == 656
    assert [n for block, _, n in rows if block == "refusal"] == ["20", "11", "25"]
    assert "The last line is inferred" in prose
