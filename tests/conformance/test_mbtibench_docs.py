"""The released MBTIBench records and the authors' prompt pack against the docs and prompts made from them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness_ext.data import load_card
from harness_ext.scoring import soft_labels
from harness_ext.tasks.mbtibench import docs, scores
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS
from harness_ext.tasks.mbtibench.posts import join_posts, truncation, used_posts
from harness_ext.tasks.mbtibench.prompts import Pack, build, load_pack

pytestmark = pytest.mark.usefixtures("mirror")
each_dimension = pytest.mark.parametrize("dimension", DIMENSIONS)

TABLE = {  # mean y, sd, first and second pole, Acc and macro-F1 of the majority pole
    "E/I": (0.467591, 0.289429, 160, 126, 55.944, 35.874),
    "S/N": (0.486374, 0.297530, 150, 136, 52.448, 34.404),
    "T/F": (0.503479, 0.308144, 141, 145, 50.699, 33.643),
    "J/P": (0.532058, 0.319873, 136, 150, 52.448, 34.404),
}


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return docs.read_records()


@pytest.fixture(scope="module")
def hashes(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "mbtibench" / "prompt_hashes.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def authors_file(golden: Path) -> Path:
    return golden / "mbtibench" / "prompt_pack_authors.json"


@pytest.fixture(scope="module")
def authors(authors_file: Path) -> Pack:
    return load_pack(str(authors_file))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def message_hash(messages: Sequence[dict[str, str]]) -> str:
    return sha256(json.dumps(messages, ensure_ascii=False, sort_keys=True))


def column(records: list[dict[str, Any]], dimension: str) -> np.ndarray:
    return np.array([record["softlabels"][dimension] for record in records])


def test_card_pins_the_released_file() -> None:
    file = load_card("mbtibench").file("mbtibench.jsonl")
    assert file.sha256 == "2e447188001926be48d1097f99afc02f1dbdf08e303e496c1c79a7a60079688b"
    assert (file.bytes, file.rows) == (1_878_189, 286)


def test_records_are_contiguous_and_of_three_sources(records: list[dict[str, Any]]) -> None:
    assert [record["id"] for record in records] == list(range(1, 287))
    assert [record["source"] for record in records] == ["kaggle"] * 96 + ["pandora"] * 94 + ["twitter"] * 96


def test_short_posts_are_skipped_but_every_author_keeps_some(records: list[dict[str, Any]]) -> None:
    posts = [post for record in records for post in record["posts"]]
    assert (len(posts), len(set(posts))) == (8875, 8819)
    assert sum(len(post) <= 10 for post in posts) == 243
    assert sum(len(used_posts(record["posts"])) for record in records) == 8632
    assert all(used_posts(record["posts"]) for record in records)


@pytest.mark.parametrize(
    ("source", "fewest", "most", "words"), [("kaggle", 4, 50, 472), ("pandora", 12, 50, 2471), ("twitter", 2, 72, 440)]
)
def test_authors_wrote_as_much_as_the_card_says(
    records: list[dict[str, Any]], source: str, fewest: int, most: int, words: int
) -> None:
    posts = [record["posts"] for record in records if record["source"] == source]
    assert (min(map(len, posts)), max(map(len, posts))) == (fewest, most)
    assert round(np.mean([sum(len(post.split()) for post in author) for author in posts])) == words


def test_posts_are_kept_as_released(records: list[dict[str, Any]]) -> None:
    posts = [post for record in records for post in record["posts"]]
    assert not any(set("{}\n") & set(post) for post in posts)
    assert sum(post != post.strip() for post in posts) == 2631
    broken = [record for record in records if any("\ufffd" in post for post in record["posts"])]
    assert len(broken) == 6
    for record in broken:
        assert "\ufffd" in join_posts(record["posts"])


def test_authors_who_name_personality_types_are_marked() -> None:
    marked = Counter(doc["source"] for doc in docs.load("E/I")["test"] if doc["trait_words"])
    assert marked == {"kaggle": 35, "pandora": 41}


@each_dimension
def test_soft_label_zero_is_the_first_pole(records: list[dict[str, Any]], dimension: str) -> None:
    first, second = DIMENSIONS[dimension].poles
    soft, hard = column(records, dimension), np.array([record["hardlabels"][dimension] for record in records])
    assert set(hard) == {first, second}
    assert ((soft > 0.5) == (hard == second)).all()
    assert not (soft == 0.5).any()
    mean, sd, n_first, n_second, acc, f1 = TABLE[dimension]
    assert (soft.mean(), soft.std()) == pytest.approx((mean, sd), abs=5e-7)
    assert ((hard == first).sum(), (hard == second).sum()) == (n_first, n_second)
    majority = first if n_first > n_second else second
    always = soft_labels.hard_metrics(list(hard), [majority] * len(hard), (first, second))
    assert (always["acc"], always["f1"]) == pytest.approx((acc, f1), abs=5e-4)


def test_there_are_few_distinct_soft_labels_and_many_at_the_ends(records: list[dict[str, Any]]) -> None:
    columns = [column(records, dimension) for dimension in DIMENSIONS]
    assert [len(set(soft)) for soft in columns] == [38, 41, 42, 43]
    assert [int((soft == 0).sum()) for soft in columns] == [7, 11, 19, 10]
    assert [int((soft == 1).sum()) for soft in columns] == [1, 8, 19, 47]


def test_annotation_can_be_weaker_and_the_label_stronger(records: list[dict[str, Any]]) -> None:
    label = {"".join(record["annotation"]["S/N"].values()): round(record["softlabels"]["S/N"], 4) for record in records}
    assert (label["S-S-S-"], label["S+S-S-"]) == (0.2318, 0.3166)


def test_table_of_cuts_is_the_golden_one(golden: Path, records: list[dict[str, Any]]) -> None:
    table = json.loads((golden / "mbtibench" / "truncation_o200k80.json").read_text(encoding="utf-8"))
    cut = truncation("o200k80")
    found = {str(record["id"]): cut(record["id"], record["posts"]) for record in records}
    wanted = {key: {int(number): length for number, length in cuts.items()} for key, cuts in table["cuts"].items()}
    assert {key: cuts for key, cuts in found.items() if cuts} == wanted
    assert (sum(map(len, wanted.values())), len(wanted)) == (1098, 154)
    for record in records:
        texts = used_posts(record["posts"])
        assert all(length < len(texts[number - 1]) for number, length in cut(record["id"], record["posts"]).items())


def test_word_cut_is_close_to_the_token_cut(records: list[dict[str, Any]]) -> None:
    words, tokens = truncation("words:67"), truncation("o200k80")
    lengths = [
        sum(len(join_posts(record["posts"], cut(record["id"], record["posts"]))) for record in records)
        for cut in (words, tokens)
    ]
    assert lengths[0] / lengths[1] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("record_id", ["1", "191"])
def test_joined_posts_are_those_of_the_authors(
    records: list[dict[str, Any]], hashes: dict[str, Any], record_id: str
) -> None:
    posts, wanted = records[int(record_id) - 1]["posts"], hashes["joined_posts"][record_id]
    raw, cut = join_posts(posts), join_posts(posts, truncation("o200k80")(int(record_id), posts))
    assert (len(raw), sha256(raw)) == (wanted["raw_len"], wanted["raw_sha256"])
    assert (len(cut), sha256(cut)) == (wanted["o200k80_len"], wanted["o200k80_sha256"])


@pytest.mark.parametrize(("table", "mode"), [("mbti_o200k80", "o200k80"), ("mbti_raw", "none")])
def test_authors_prompts_are_rendered_exactly(
    records: list[dict[str, Any]], hashes: dict[str, Any], authors: Pack, table: str, mode: str
) -> None:
    assert len(hashes[table]) == 64
    for key, wanted in hashes[table].items():
        record_id, dimension, kind, method = key.split("|")
        record = records[int(record_id) - 1]
        joined = join_posts(record["posts"], truncation(mode)(record["id"], record["posts"]))
        messages = build(authors.content, method, kind, dimension, record["source"], joined)
        assert message_hash(messages) == wanted, key
        assert len(messages) == hashes["n_messages"][method][dimension]
        calls = sum(message["role"] == "assistant" for message in messages)
        assert calls == hashes["api_calls"][method][dimension]


def test_the_whole_of_psycot_is_fifteen_thousand_calls(hashes: dict[str, Any]) -> None:
    assert 286 * sum(hashes["api_calls"]["psycot"].values()) == 15_444


def test_turns_played_in_order_are_the_authors_conversation(hashes: dict[str, Any], authors_file: Path) -> None:
    asked = [key for key in hashes["multi_turn"] if "|" in key]
    assert asked
    for key in asked:
        record_id, dimension, kind, method = key.split("|")
        pack = {"prompt_pack": str(authors_file), "system_role": "chat"}
        doc = docs.load(dimension, method, kind, **pack)["test"][int(record_id) - 1]
        messages = [{"role": "system", "content": doc["system"]}]
        for call, turn in enumerate(doc["turns"]):
            messages.append({"role": "user", "content": turn})
            if call + 1 < len(doc["turns"]):
                messages.append({"role": "assistant", "content": f"CHOICE: {'ABC'[call % 3]}"})
        wanted = hashes["multi_turn"][key]
        assert len(doc["turns"]) == wanted["n_calls"]
        assert len(messages) == wanted["n_messages_last_call"]
        assert message_hash(messages) == wanted["last_call_sha256"], key


@each_dimension
def test_docs_of_the_authors_pack_carry_its_text_and_hash(dimension: str, authors: Pack, authors_file: Path) -> None:
    recorded: dict[str, Any] = {}
    chosen = {"prompt_pack": str(authors_file), "system_role": "chat", "recorded": recorded}
    for doc in docs.load(dimension, "zero-shot", **chosen)["test"]:
        joined = doc["posts_text"]
        system, user, _ = build(authors.content, "zero-shot", "soft", dimension, doc["source"], joined)
        assert (doc["system"], doc["user"]) == (system["content"], user["content"])
        assert doc["prompt_pack"] == f"mbtibench-authors sha256:{authors.sha256}"
    assert recorded["prompt_pack_sha256"] == hashlib.sha256(authors_file.read_bytes()).hexdigest()


def test_likelihoods_of_the_authors_items_give_the_golden_soft_label(golden: Path, authors_file: Path) -> None:
    wanted = json.loads((golden / "mbtibench" / "expected_score.json").read_text(encoding="utf-8"))["psycot_ll"]
    compared = 0
    for dimension in DIMENSIONS:
        if dimension not in wanted:
            continue
        items = [doc for doc in docs.load_items(dimension, prompt_pack=str(authors_file))["test"] if doc["id"] == 1]
        values = []
        for doc in items:
            lls = [(-float((7 * doc["item"] + 3 * option) % 5), False) for option in range(len(doc["choices"]))]
            values.append(scores.item_likelihoods(doc, lls)["rmse"])
        assert [value[2] for value in values] == pytest.approx(wanted[dimension]["item_values"], abs=1e-9)
        assert abs(items[0]["soft"] - wanted[dimension]["p"]) == pytest.approx(scores.authors_rmse(values), abs=1e-9)
        compared += 1
    assert compared


def test_likelihood_leaves_give_the_golden_dataset_scores(golden: Path) -> None:
    wanted = json.loads((golden / "mbtibench" / "expected_score.json").read_text(encoding="utf-8"))
    lls = {k: [(-((k - score) ** 2) / 4, False) for score in range(1, 10)] for k in range(1, 10)}
    for dimension in (name for name in wanted["dataset"] if name in DIMENSIONS):
        loaded = list(docs.load(dimension)["test"])
        values = [scores.score_likelihoods(doc, lls[1 + (doc["id"] // 3) % 9]) for doc in loaded]
        for metric, number in wanted["dataset"][dimension].items():
            found = getattr(soft_labels, f"agg_{metric}")([value[metric] for value in values])
            assert found == pytest.approx(number, abs=1e-9), metric
        uniform = [scores.score_likelihoods(doc, [(-2.0, False)] * 9)["ordinal_w1"] for doc in loaded]
        if dimension in wanted["ordinal_w1"]:
            assert np.mean(uniform) == pytest.approx(wanted["ordinal_w1"][dimension], abs=1e-9)


def test_no_text_of_the_authors_pack_stands_in_the_repository(authors_file: Path, checkout: Path) -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[at : at + 10]) for at in range(len(words) - 9)}

    theirs = runs(json.dumps(json.loads(authors_file.read_text(encoding="utf-8")), ensure_ascii=False))
    for folder in ("tasks/mbtibench", "tests", "docs", "data_cards"):
        for file in (checkout / folder).rglob("*"):
            if file.is_file() and file.suffix in {".py", ".yaml", ".json", ".jsonl", ".md", ""}:
                assert not theirs & runs(file.read_text(encoding="utf-8")), file
