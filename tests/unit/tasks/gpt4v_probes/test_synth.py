"""Drawn probes: the same twice, other with another seed, solvable in one way, and as guessable as is stated."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness_ext.errors import InputError
from harness_ext.scoring import probes
from harness_ext.tasks import gpt4v_probes
from harness_ext.tasks.gpt4v_probes import docs, synth, texts
from harness_ext.tasks.gpt4v_probes.synth import chinese, physics
from harness_ext.tasks.gpt4v_probes.synth.puzzles import LARGEST, evaluate

GUESSED = 2_000
FOLDER = Path(gpt4v_probes.__file__).parent
LETTERED = [part for part in synth.PARTS if part.startswith("physics") or part in ("depth", "video", "audio_mcq")]
each_part = pytest.mark.parametrize("part", synth.PARTS)


def pixels(part: str, seed: int, i: int) -> list[bytes]:
    return [picture.tobytes() for picture in synth.make(part, seed, i)[0]]


@each_part
def test_a_doc_is_the_same_twice_to_the_pixel(part: str) -> None:
    assert synth.plan(part, 0, 7) == synth.plan(part, 0, 7)
    assert pixels(part, 0, 7) == pixels(part, 0, 7)


@each_part
def test_another_seed_gives_other_docs(part: str) -> None:
    assert [synth.plan(part, 0, i) for i in range(6)] != [synth.plan(part, 1, i) for i in range(6)]


@each_part
def test_levels_take_turns_and_one_can_be_chosen(part: str) -> None:
    assert [synth.plan(part, 0, i)["level"] for i in range(4)] == [1, 2, 3, 1]
    assert {synth.plan(part, 0, i, 3)["level"] for i in range(4)} == {3}


def solutions(doc: dict[str, Any]) -> list[tuple[int, int, int]]:
    """All values in 1 to 60 that satisfy the three equations, by trying them."""
    first, second, third = doc["sides"][:3]
    numbers = range(1, LARGEST + 1)
    ones = [a for a in numbers if evaluate(first, {"a": a}) == doc["totals"][0]]
    twos = [(a, b) for a in ones for b in numbers if evaluate(second, {"a": a, "b": b}) == doc["totals"][1]]
    return [
        (a, b, c) for (a, b), c in itertools.product(twos, numbers)
        if evaluate(third, {"a": a, "b": b, "c": c}) == doc["totals"][2]
    ]  # fmt: skip


def test_200_math_puzzles_have_one_solution_each_and_it_is_the_gold_one() -> None:
    for i in range(200):
        doc = synth.plan("math", 0, i)
        (found,) = solutions(doc)
        assert found == tuple(doc["values"].values())
        assert evaluate(doc["sides"][3], dict(zip("abc", found, strict=True))) == doc["answer"]


@pytest.mark.parametrize("part", ["spot", "spot_grid"])
def test_the_panels_differ_where_the_gold_says_so(part: str) -> None:
    cells = sorted(probes.CELLS)
    for i in range(60):
        doc = synth.plan(part, 0, i)
        differing = [cell for cell, left, right in zip(cells, doc["left"], doc["right"], strict=True) if left != right]
        assert differing == [region["cell"] for region in doc["regions"]]
        assert 3 <= len(differing) <= 8


def test_figures_stand_where_the_gold_says_and_apart_from_each_other() -> None:
    for i in range(60):
        doc = synth.plan("thermal", 0, i)
        assert len(doc["xs"]) == doc["count"] == len(doc["positions"]) <= 5
        assert [("left", "center", "right")[x * 3 // 320] for x in doc["xs"]] == doc["positions"]
        assert all(later - x >= 32 for x, later in itertools.pairwise(doc["xs"]))


@pytest.mark.parametrize("topic", physics.TOPICS)
def test_the_right_option_is_that_of_the_greater_quantity(topic: str) -> None:
    for i in range(60):
        doc = synth.plan(f"physics_{topic}", 0, i)
        first, second = doc["quantities"]
        right = (
            "they are the same"
            if first == pytest.approx(second, rel=1e-9)
            else f"the {'first' if first > second else 'second'}"
        )
        assert doc["options"]["ABC".index(doc["answer"])] == right


def stated_chance(leaf: str) -> float:
    lines = [line for line in (FOLDER / f"{leaf}.yaml").read_text().splitlines() if line.strip().startswith("chance")]
    return float(yaml.safe_load(lines[0])["chance"])


@pytest.mark.parametrize("part", LETTERED)
def test_a_constant_letter_reaches_the_stated_chance(part: str) -> None:
    letters = [synth.plan(part, 0, i)["answer"] for i in range(GUESSED)]
    chance = stated_chance(f"syn_{part}")
    error = (chance * (1 - chance) / GUESSED) ** 0.5
    assert letters.count("A") / GUESSED == pytest.approx(chance, abs=2 * error + 1e-4)


def test_a_constant_character_reaches_the_stated_chance() -> None:
    golds = [synth.plan("zh_char", 0, i)["gold"] for i in range(GUESSED)]
    chance = stated_chance("syn_zh_char")
    assert golds.count("山") / GUESSED == pytest.approx(chance, abs=2 * (chance * (1 - chance) / GUESSED) ** 0.5)


def test_a_constant_order_of_sounds_reaches_the_stated_chance() -> None:
    found = [synth.plan("audio_match", 0, i) for i in range(GUESSED)]
    shares = [sum(a == b for a, b in zip(doc["labels"], doc["sounds"], strict=True)) / 4 for doc in found]
    assert statistics.fmean(shares) == pytest.approx(0.25, abs=2 * statistics.stdev(shares) / GUESSED**0.5)


@pytest.mark.parametrize("named", [1, 5, 12, 16])
def test_random_cells_score_zero_on_average(named: int) -> None:
    found = [
        probes.spot(
            synth.plan("spot_grid", 0, i)["regions"], synth.chance.drawn("guess", i).some(sorted(probes.CELLS), named)
        ).cell_adj
        for i in range(GUESSED)
    ]
    assert statistics.fmean(found) == pytest.approx(0, abs=2 * statistics.stdev(found) / GUESSED**0.5 + 1e-12)


@each_part
def test_the_target_is_no_part_of_the_question(part: str) -> None:
    form = texts.FORMS[part]
    for i in range(5):
        doc = synth.plan(part, 0, i)
        question = form.asked(doc)
        assert not question.endswith(form.target(doc))


def test_pictures_that_need_a_font_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(chinese.FONT, raising=False)
    with pytest.raises(InputError, match=r"20 Chinese pictures of a kind are bundled.*HARNESS_EXT_CJK_FONT"):
        synth.make("zh_char", 0, 20)
    with pytest.raises(InputError, match="HARNESS_EXT_CJK_FONT"):
        synth.make("zh_mcq", 1, 0)
    monkeypatch.setenv(chinese.FONT, __file__)
    with pytest.raises(InputError, match="cannot be read as a font"):
        synth.make("zh_char", 0, 20)


def test_the_paper_has_as_many_instances_as_the_card_counts() -> None:
    drawn = {name: count for name, count in docs.PAPER.items() if name != "spot_grid"}
    assert sum(drawn.values()) == 120 + 40 + 56 + 20 + 60 + 20 + 100
