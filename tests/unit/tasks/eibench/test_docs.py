"""Docs of EiBench-R without any real data: instructions, the cap, the sample and yes/no twins."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.data import load_sample
from harness_ext.errors import InputError
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import all_parts

PARTS = all_parts()
KEYS = ["id", "aspect", "task", "instruction_id", "instruction", "input", "target", "gold", "labels", "refs", "meta"]
BUNDLED = load_sample("eibench")
BUNDLED_PARTS = sorted({doc["task"].removeprefix("eibench_") for doc in BUNDLED})


@pytest.mark.parametrize("part", BUNDLED_PARTS)
def test_instructions_are_three_different_texts_that_name_every_label(part: str) -> None:
    used = {docs.instruction(PARTS[part], str(i)) for i in range(60)}
    assert len(used) == len({text for _, text in used}) == 3
    for _, text in used:
        assert text == text.strip()
        assert "{labels}" not in text
        assert all(PARTS[part].show(label) in text for label in PARTS[part].labels)


@given(id=st.text())
def test_the_instruction_is_chosen_by_the_published_hash(id: str) -> None:
    number = int(hashlib.sha256(f"eibench_cee:{id}".encode()).hexdigest()[:8], 16) % 3
    assert docs.instruction(PARTS["cee"], id)[0] == number


@given(ids=st.lists(st.text(), unique=True), cap=st.integers(1, 50))
def test_the_cap_keeps_the_smallest_hashes_in_their_order(ids: list[str], cap: int) -> None:
    kept = docs.keep(ids, ids, "eibench_cee", cap)
    key = {id: hashlib.sha256(f"eibench_cee:{id}".encode()).hexdigest() for id in ids}
    assert kept == [id for id in ids if id in set(sorted(ids, key=key.__getitem__)[:cap])]


@pytest.mark.parametrize("cap", [0, -1, "some", "1.5", True, None])
def test_a_cap_that_is_no_number_is_refused(cap: object) -> None:
    with pytest.raises(InputError, match="cap is"):
        docs.keep(["a"], ["1"], "eibench_cee", cap)  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "value"), [("data", "none"), ("aliases", True), ("data", "reel")])
def test_an_unknown_option_is_refused(option: str, value: object) -> None:
    with pytest.raises(InputError, match=option):
        docs.load("cee", **{option: value})  # type: ignore[arg-type]


def test_an_unknown_part_or_split_is_refused() -> None:
    with pytest.raises(InputError, match="no part 'joy'"):
        docs.load("joy")
    with pytest.raises(InputError, match="no split 'train'"):
        docs.read("cee", "train")  # type: ignore[arg-type]


def test_the_bundled_records_have_the_schema_of_real_docs() -> None:
    assert len(BUNDLED) >= 16
    for doc in BUNDLED:
        part = PARTS[doc["task"].removeprefix("eibench_")]
        assert list(doc) == KEYS
        assert doc["labels"] == list(part.labels or "ABCDEFGHIJ"[: len(doc["labels"])])
        assert doc["aspect"] == part.aspect
        assert (doc["instruction_id"], doc["instruction"]) == docs.instruction(part, doc["id"])
    assert len({(doc["task"], doc["id"]) for doc in BUNDLED}) == len(BUNDLED)
    assert Counter(doc["input"] for doc in BUNDLED).most_common(1)[0][1] <= 2


def test_every_part_has_a_sample_and_a_task() -> None:
    folder = resources.files("harness_ext.tasks.eibench")
    assert sorted(PARTS) == BUNDLED_PARTS
    for part in PARTS:
        assert any((folder / f"{part}{twin}.yaml").is_file() for twin in ("", "_ll")), part


def test_letters_are_asked_for_without_json() -> None:
    plain = docs.load("emobench_ea", data="sample")["test"]
    letters = docs.load("emobench_ea", data="sample", form="letter")["test"]
    assert all("JSON" in text or "{" in text for text in plain["instruction"])
    assert not any("{" in text for text in letters["instruction"])
    assert letters["input"] == plain["input"]


@pytest.mark.parametrize("part", ["semeval_ec", "goemotions", "cicero_reaction"])
def test_yes_no_twins_hold_the_gold_set(part: str) -> None:
    for doc in docs.load(part, data="sample")["test"]:
        twins = [t for t in docs.load(part, data="sample", form="yes_no")["test"] if t["meta"]["of"] == doc["id"]]
        yes = [t["meta"]["candidate"] for t in twins if t["target"] == "yes"]
        assert (yes if part == "cicero_reaction" else [PARTS[part].labels[n] for n in yes]) == doc["gold"]


def test_yes_no_twins_ask_about_every_candidate_once_after_the_shared_text() -> None:
    plain = docs.load("cee", data="sample")["test"]
    twins = docs.load("cee", data="sample", form="yes_no")["test"]
    assert len(twins) == sum(doc["meta"]["utterances"] for doc in plain)
    first = [doc for doc in twins if doc["meta"]["of"] == plain[0]["id"]]
    assert [docs.choices(doc) for doc in first] == [["no", "yes"]] * 2
    assert [docs.choice_number(doc) for doc in first] == [0, 1]
    assert all(doc["input"].startswith(plain[0]["input"]) for doc in first)
    assert len({doc["instruction"] for doc in first}) == 1


def test_aliases_can_be_switched_off() -> None:
    assert {doc["meta"]["aliases"] for doc in docs.load("cee", data="sample", aliases="off")["test"]} == {False}
