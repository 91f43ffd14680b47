"""RWKU and MUSE: counts, kinds, and stored answers through the replay backend."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness_ext.scoring.unlearning import rouge_l_recall, rwku_recall
from harness_ext.tasks.muse import docs as muse
from harness_ext.tasks.rwku import docs, scores

LEVELS = {
    "forget_l1": "forget_level1", "forget_l2": "forget_level2", "forget_l3": "forget_level3",
    "neighbor_l1": "neighbor_level1", "neighbor_l2": "neighbor_level2",
}  # fmt: skip


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "unlearning/rwku_replay.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("part", LEVELS)
def test_counts_and_kinds(expected: dict[str, Any], mirror: Path, part: Any) -> None:
    rows = [row for _, row in docs.read(part)]
    assert len(rows) == expected["counts"][LEVELS[part]]
    if part == "forget_l3":
        assert Counter(row["type"] for row in rows) == expected["types_forget_level3"]
        assert {docs._type(row["type"]) for row in rows} == set(scores.TYPES)
    else:
        assert Counter(row["type"] for row in rows) == expected["types_other"][LEVELS[part]]


def test_people_come_in_the_order_of_their_numbers(mirror: Path) -> None:
    ids = [id for id, _ in docs.read("forget_l1")]
    numbers = [int(id.partition("_")[0]) for id in ids]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 201))
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("case", [
    ("forget_l1", "echo_query"), ("forget_l2", "echo_query"), ("forget_l3", "echo_query"), ("neighbor_l1", "gold"),
    ("neighbor_l1", "echo_query"), ("forget_l2", "empty"), ("forget_l2", "gold"),
])  # fmt: skip
def test_stored_answers_score_as_released(
    expected: dict[str, Any], mirror: Path, replay_scores: Any, case: tuple[Any, str]
) -> None:
    part, said = case
    answers = {
        f"{part}_{id}": {"echo_query": row["query"], "gold": row["answer"], "empty": ""}[said]
        for id, row in docs.read(part)
    }
    found = replay_scores({f"rwku_{part}": answers})[f"rwku_{part}"]
    golden = expected["scores"][f"{LEVELS[part]}/{said}"]
    assert found["rwku_recall"] == pytest.approx(golden["rouge_pkg_recall"], abs=1e-12)
    assert found["rougeL_recall"] == pytest.approx(golden["rouge_score_recall_stemmed"], abs=1e-12)
    assert found["parse_failure"] == (1.0 if said == "empty" else 0.0)
    if part == "forget_l3":
        by_type = expected["forget_level3_by_type/echo_query"]
        for kind in scores.TYPES:
            own = [value for name, value in by_type.items() if docs._type(name) == kind]
            mean = sum(one["rouge_pkg_recall"] * one["n"] for one in own) / sum(one["n"] for one in own)
            assert found[f"rwku_recall_{kind.replace(' ', '_')}"] == pytest.approx(mean, abs=1e-12)


def test_the_authors_scorer_is_repeated_on_single_texts(expected: dict[str, Any]) -> None:
    for case in expected["unit_rouge_pkg"]:
        assert rwku_recall(case["pred"], case["ref"]) == pytest.approx(case["rouge_pkg_recall"], abs=1e-12)
        assert rouge_l_recall(case["pred"], case["ref"]) == pytest.approx(case["rouge_score_recall_stemmed"], abs=1e-12)


@pytest.mark.parametrize("said", ["echo_question", "gold", "gold_then_next"])
def test_muse(golden: Path, mirror: Path, replay_scores: Any, said: str) -> None:
    expected = json.loads((golden / "unlearning/muse_replay.json").read_text(encoding="utf-8"))
    loaded = {part: muse.load(part) for part in ("forget", "retain")}  # type: ignore[arg-type]
    counts = {"forget": "forget_qa", "retain": "retain2_qa"}
    for part, name in counts.items():
        assert len(loaded[part]["test"]) == expected["counts"][name]
        assert len(loaded[part]["examples"]) == expected["counts"][f"{name}_icl"]
    rows = list(loaded["forget"]["test"])
    answers = {
        row["id"]: {
            "echo_question": row["question"],
            "gold": row["answer"],
            "gold_then_next": f"{row['answer']}\n\nQuestion: {rows[n - 1]['question']}\nAnswer: no",
        }[said]
        for n, row in enumerate(rows)
    }
    found = replay_scores({"muse_news_knowmem_forget": answers})["muse_news_knowmem_forget"]
    golden_scores = expected["forget_qa"][said]
    assert found["rougeL_f1"] == pytest.approx(golden_scores["f1_nostem"], abs=1e-12)
    assert found["rougeL_recall"] == pytest.approx(golden_scores["recall_nostem"], abs=1e-12)
    assert found["rougeL_f1_stem"] == pytest.approx(golden_scores["f1_stem"], abs=1e-12)
