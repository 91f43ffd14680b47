"""MBTIBench docs on the bundled sample: fields, choices a user has, and records that are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness_ext.data import load_sample
from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.scoring.em import em_soft_labels, majority_pole
from harness_ext.tasks.mbtibench import docs, dreaddit
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS
from harness_ext.tasks.mbtibench.prompts import load_pack, questionnaire

FIELDS = {
    "id", "source", "dimension", "first", "second", "first_name", "second_name", "soft", "hard", "a1", "a2", "a3",
    "trait_words", "n_posts", "n_used", "posts_text", "system", "user", "turns", "swapped", "prompt_pack", "truncation",
}  # fmt: skip

each_dimension = pytest.mark.parametrize("dimension", DIMENSIONS.values(), ids=lambda dimension: dimension.table)


def sample(**chosen: Any) -> list[dict[str, Any]]:
    return list(docs.load(**{"dimension": "E/I", "data": "sample", **chosen})["test"])


@each_dimension
def test_sample_labels_are_those_of_the_em_algorithm(dimension: Any) -> None:
    records = load_sample("mbtibench")
    votes = [list(record["annotation"][dimension.name].values()) for record in records]
    labels = em_soft_labels(votes, dimension.first, dimension.second)
    assert [record["softlabels"][dimension.name] for record in records] == pytest.approx(list(labels.soft), abs=1e-12)
    hard = majority_pole(votes, dimension.first, dimension.second)
    assert [record["hardlabels"][dimension.name] for record in records] == hard


@each_dimension
def test_sample_covers_all_options_and_the_skip_rule(dimension: Any) -> None:
    records = load_sample("mbtibench")
    assert len(records) >= 16
    assert [record["id"] for record in records] == list(range(100001, 100001 + len(records)))
    votes = {vote for record in records for vote in record["annotation"][dimension.name].values()}
    assert votes == {pole + strength for pole in dimension.poles for strength in "+-"}
    assert sum(len(post) <= 10 for record in records for post in record["posts"]) >= 16
    assert {doc["trait_words"] for doc in sample()} == {True, False}


def test_docs_have_the_documented_fields() -> None:
    for doc in sample():
        assert set(doc) == FIELDS
        assert doc["turns"] == [doc["user"]]
        assert doc["n_used"] < doc["n_posts"]
        assert doc["posts_text"] in doc["user"]
        assert doc["posts_text"].count("Post ") == doc["n_used"]


@each_dimension
def test_multi_call_docs_carry_all_user_turns(dimension: Any) -> None:
    items = len(questionnaire(load_pack().content, dimension.name))
    for kind in ("soft", "hard"):
        for method, turns in (("step-by-step", 2), ("psycot", items + 1)):
            (doc, *_) = sample(dimension=dimension.name, method=method, kind=kind)
            assert len(doc["turns"]) == turns
            assert doc["turns"][0] == doc["user"]
            assert doc["posts_text"] in doc["system"] + doc["user"]


@each_dimension
def test_item_docs_come_author_by_author_with_their_keying(dimension: Any) -> None:
    items = questionnaire(load_pack().content, dimension.name)
    asked = docs.load_items(dimension.name, data="sample")["test"]
    assert [doc["item"] for doc in asked] == list(range(len(items))) * len(load_sample("mbtibench"))
    for doc in asked:
        item = items[doc["item"]]
        assert item["text"] in doc["user"]
        assert doc["choices"] == ["A", "B", "C"]
        assert dict(zip(doc["keyed"], doc["keyed_poles"], strict=True)) == item["option_to_pole"]


def test_prompt_without_posts_differs_from_the_others_only_in_its_posts() -> None:
    (null,) = docs.load_null("E/I", data="sample")["test"]
    for doc in sample():
        assert doc["user"].replace(doc["posts_text"], "") == null["user"]


@pytest.mark.parametrize(("role", "shape"), [("text", "{S}\n\n|{U}"), ("chat", "{S}|{U}"), ("user", "|{S}\n\n{U}")])
def test_system_text_goes_where_the_model_reads_it(role: str, shape: str) -> None:
    (doc, *_) = sample(system_role="chat")
    (laid_out, *_) = sample(system_role=role)
    assert f"{laid_out['system']}|{laid_out['user']}" == shape.format(S=doc["system"], U=doc["user"])


def test_gold_can_be_the_mean_of_the_annotations() -> None:
    values = {"E+": 0, "E-": 1 / 3, "I-": 2 / 3, "I+": 1}
    for doc in sample(gold="mean4"):
        assert doc["soft"] == pytest.approx(sum(values[doc[a]] for a in ("a1", "a2", "a3")) / 3)


def test_posts_are_cut_as_chosen_and_the_doc_says_how() -> None:
    whole, cut = sample(truncate_posts="none"), sample()
    assert {doc["truncation"] for doc in whole} == {"none"}
    assert {doc["truncation"] for doc in cut} == {"words:67"}
    assert sum(a["posts_text"] != b["posts_text"] for a, b in zip(whole, cut, strict=True)) >= 2


def test_what_a_run_used_is_recorded_in_the_metadata_it_was_given() -> None:
    recorded: dict[str, Any] = {}
    docs.load("E/I", data="sample", digits=True, recorded=recorded, pretrained=None, device="cpu", max_length=7)
    pack = load_pack()
    assert recorded == {
        "data": "sample",
        "prompt_pack": "harness-ext",
        "prompt_pack_sha256": pack.sha256,
        "truncation": "words:67",
        "gold": "em",
        "system_role": "text",
        "digits_single_token": None,
    }
    assert sample()[0]["prompt_pack"] == pack.label


def tokenizer_folder(folder: Path, merges: list[tuple[str, str]]) -> Path:
    characters = {character: number for number, character in enumerate(":[]0123456789")}
    merged = {a + b: len(characters) + number for number, (a, b) in enumerate(merges)}
    tokenizer = Tokenizer(models.BPE(characters | merged, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("]", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("merges", "single"), [([], True), ([("[", "[")], True), ([("[", "7")], False), ([("[", "1"), ("[", "2")], False)]
)
def test_digits_are_checked_with_the_models_own_tokenizer(tmp_path: Path, merges: Any, single: bool) -> None:
    recorded: dict[str, Any] = {}
    model = str(tokenizer_folder(tmp_path, merges))
    docs.load("E/I", data="sample", digits=True, recorded=recorded, pretrained=model, dtype="float32")
    assert recorded["digits_single_token"] is single


def test_a_model_without_tokenizer_files_leaves_the_digits_unknown(tmp_path: Path) -> None:
    recorded: dict[str, Any] = {}
    docs.load_null("E/I", data="sample", recorded=recorded, pretrained=str(tmp_path))
    assert recorded["digits_single_token"] is None


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        ({"data": "Sample"}, "data is 'Sample'; give 'real' or 'sample'"),
        ({"gold": "mean"}, "gold is 'mean'; give 'em' or 'mean4'"),
        ({"system_role": "assistant"}, "give 'text', 'chat' or 'user'"),
        ({"truncate_posts": "o200k80"}, "a table for the real posts"),
        ({"truncate_posts": 80}, "truncate_posts is '80'; give"),
        ({"dimension": "E-I"}, "no MBTI dimension 'E-I'; there are E/I, S/N, T/F, J/P"),
        ({"method": "zero_shot"}, r"has no methods\.zero_shot\.soft"),
        ({"prompt_pack": "/nowhere.json"}, "'/nowhere.json' cannot be read"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_choices_there_are(chosen: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        sample(**chosen)


def broken(change: Any) -> list[dict[str, Any]]:
    records = copy.deepcopy(load_sample("mbtibench"))[:3]
    change(records[1])
    return records


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda record: record["softlabels"].update({"E/I": 0.5}), "E/I: soft label 0.5 and hard label"),
        (lambda record: record["softlabels"].update({"S/N": 1.01}), "S/N: soft label 1.01"),
        (lambda record: record["hardlabels"].update({"T/F": "T"}), "T/F: soft label .* and hard label 'T' disagree"),
        (lambda record: record["annotation"]["J/P"].update({"A2": "J"}), "J/P: annotations .* are not three of"),
        (lambda record: record["annotation"]["J/P"].pop("A3"), "J/P: annotations .* are not three of"),
        (lambda record: record.update(posts=["short", "0123456789"]), "no post has more than ten characters"),
    ],
)
def test_a_record_that_breaks_what_scoring_rests_on_is_refused(change: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=f"some.jsonl: record 100002.*{complaint}"):
        docs.check_records(broken(change), "some.jsonl")


def test_real_data_that_is_not_there_fails_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for load in (lambda: docs.load("E/I"), lambda: dreaddit.load_stress("none")):
        with pytest.raises(HarnessExtError, match="jsonl"):
            load()


def test_loaders_return_what_json_can_hold() -> None:
    for loaded in (docs.load("E/I", data="sample"), dreaddit.load_stress("soft", data="sample")):
        for doc in loaded["test"]:
            assert json.loads(json.dumps(doc)) == doc
