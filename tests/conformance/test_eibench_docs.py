"""Docs of EiBench-R built from the real files: counts and digests of ids, targets and the default cap."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import all_parts, empathetic_dialogues, mime_outputs, reccon

SPLITS = [(part.name, split) for part in all_parts().values() for split in part.splits]


def digest(items: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(items).encode("utf-8")).hexdigest()


@pytest.fixture(scope="module")
def tasks(golden: Path, mirror: Path) -> dict[str, Any]:
    return json.loads((golden / "eibench/tasks.json").read_text())["tasks"]


@pytest.mark.parametrize(("part", "split"), SPLITS)
def test_ids_targets_and_cap_have_the_expected_digests(tasks: dict[str, Any], part: str, split: str) -> None:
    leaf = f"eibench_{part}"
    if (expected := tasks.get(leaf, {}).get(split)) is None:
        pytest.skip(f"no digest of {leaf} {split} is recorded")
    rows = docs.read(part, split)
    ids = [row["id"] for row in rows]
    assert len(rows) == expected["n"]
    assert len(set(ids)) == len(ids)
    assert digest(ids) == expected["ids_sha256"]
    assert digest(row["target"] for row in rows) == expected["targets_sha256"]
    if "counts" in expected:
        assert Counter(row["target"] for row in rows) == expected["counts"]
    if "cap500_n" in expected:
        kept = docs.keep(ids, ids, leaf, 500)
        assert (len(kept), kept[:3]) == (expected["cap500_n"], expected["cap500_first3"])
        assert digest(kept) == expected["cap500_ids_sha256"]


def test_every_part_counts_as_many_docs_as_published(mirror: Path) -> None:
    sizes = {part: tuple(len(docs.read(part, split)) for split in ("test", "dev")) for part in SIZES}
    assert sizes == SIZES


SIZES = {
    "ed_emotion": (2546, 2769),
    "ed_response": (5257, 5736),
    "tweet_emotion": (1421, 374),
    "tweet_irony": (784, 955),
    "tweet_sentiment": (12284, 2000),
    "tweet_offensive": (860, 1324),
    "tweet_hate": (2970, 1000),
    "cee": (1099, 200),
}


def test_what_lm_eval_sees_is_the_capped_split_the_whole_split_and_dev(mirror: Path) -> None:
    splits = docs.load("cee")
    assert {name: len(split) for name, split in splits.items()} == {"test": 500, "full": 1099, "dev": 200}
    assert len(docs.load("cee", cap="all")["test"]) == 1099
    assert docs.load("cee", cap=7)["test"]["id"] == docs.keep(*[splits["full"]["id"]] * 2, "eibench_cee", 7)


def test_empathetic_dialogues_join_text_and_split_in_the_one_possible_way(golden: Path, mirror: Path) -> None:
    expected = json.loads((golden / "eibench/ed_split.json").read_text())
    found = empathetic_dialogues.split_dialogues()
    for name, dialogues in (("test", found.test), ("valid", found.dev), ("train", found.train)):
        listener = [turn for d in dialogues for turn in d.turns if turn.speaker == "Listener"]
        assert {
            "dialogues": len(dialogues),
            "turns": sum(len(d.turns) for d in dialogues),
            "listener_turns": len(listener),
            "conv_ids_sha256": digest(d.id for d in dialogues),
            "emotions_sha256": digest(d.emotion for d in dialogues),
        } == expected[name]
    for row, id in expected["test_rows_resolved"]:
        assert found.test[row].id == id
    assert [d.id for d in found.test[:5]] == expected["first_test_ids"]
    assert found.test[-1].id == expected["last_test_id"]


def test_every_listener_turn_answers_a_speaker_turn(mirror: Path) -> None:
    for dialogue in empathetic_dialogues.split_dialogues().test:
        assert dialogue.turns[0].speaker == "Speaker"


def test_reccon_emotions_are_cleaned_and_outside_causes_dropped(mirror: Path) -> None:
    test, dev = list(reccon.targets("test")), list(reccon.targets("dev"))
    assert Counter(target.emotion for target in test) == {
        "happiness": 677,
        "anger": 149,
        "sadness": 116,
        "surprise": 100,
        "disgust": 32,
        "fear": 25,
    }
    assert [sum(target.number for target in split) for split in (test, dev)] == [7097, 1166]
    assert [sum(len(target.causal) for target in split) for split in (test, dev)] == [1767, 328]
    assert [sum(len(target.causes) for target in split) for split in (test, dev)] == [1894, 347]
    assert [sum(not target.causal for target in split) for split in (test, dev)] == [24, 4]
    assert sum(cluster.startswith("tr_") for cluster in {target.cluster for target in test}) == 121


def test_mime_expanded_contractions_so_its_references_are_not_those_of_the_corpus(mirror: Path) -> None:
    replies = [row["target"].lower() for row in docs.read("ed_response", "test")]
    references = [turn.reference for turn in mime_outputs.read_turns()]
    assert sum("i'm" in reply for reply in replies) > 100
    assert not any("i'm" in reference for reference in references)


def test_tweets_without_text_keep_their_label(mirror: Path) -> None:
    assert [record.input for record in all_parts()["tweet_hate"].read("dev")].count("") == 1
