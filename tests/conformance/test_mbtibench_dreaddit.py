"""The released Dreaddit posts, personality scores and round-1 answers against docs, lines, prompts and metrics."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch, load_card
from harness_ext.scoring import soft_labels
from harness_ext.tasks.mbtibench import dreaddit, scores
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS
from harness_ext.tasks.mbtibench.personality import orientation, read_estimates
from harness_ext.tasks.mbtibench.prompts import Pack, build_dreaddit_personality, build_dreaddit_stress, load_pack

pytestmark = pytest.mark.usefixtures("mirror")
WORDS = {"y": "yes", "n": "no", "?": None}


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "mbtibench" / "dreaddit.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def hashes(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "mbtibench" / "prompt_hashes.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def authors_file(golden: Path) -> str:
    return str(golden / "mbtibench" / "prompt_pack_authors.json")


@pytest.fixture(scope="module")
def authors(authors_file: str) -> Pack:
    return load_pack(authors_file)


@pytest.fixture(scope="module")
def letters(expected: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """GPT-4o's choices as the file a user would give."""
    choices = {dimension: expected["personality"]["gpt-4o"][dimension]["hard"] for dimension in DIMENSIONS}
    rows = [{"id": number, **{name: hard[number - 1] for name, hard in choices.items()}} for number in range(1, 301)]
    file = tmp_path_factory.mktemp("personality") / "hard.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def stress_docs(condition: Any, letters: str, **chosen: Any) -> list[dict[str, Any]]:
    return list(dreaddit.load_stress(condition, personality_hard=letters, **chosen)["test"])


def message_hash(messages: list[dict[str, str]]) -> str:
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def test_card_pins_the_released_files() -> None:
    card = load_card("dreaddit")
    assert card.file("test.jsonl").sha256.startswith("a38d60b542bcff9a")
    assert card.file("soft--gpt-4o--zero-shot.db").sha256.startswith("6e7bbc122a9ed1ad")


def test_posts_and_labels_are_as_released(letters: str) -> None:
    docs = stress_docs("none", letters)
    assert [doc["id"] for doc in docs] == list(range(1, 301))
    assert sum(doc["label"] == "yes" for doc in docs) == 157
    assert all(doc["posts_text"].startswith("Post: ") for doc in docs)
    assert round(sum(len(doc["posts_text"].split()) for doc in docs) / 300) == 86  # with the word "Post:"


def test_always_yes_scores_what_the_trivial_row_says(letters: str, expected: dict[str, Any]) -> None:
    values = [scores.stress(doc, ["[[yes]]"]) for doc in stress_docs("none", letters)]
    assert soft_labels.agg_hard_acc([value["acc"] for value in values]) == pytest.approx(
        expected["trivial"]["always_yes"]["acc"], abs=1e-9
    )
    assert soft_labels.agg_hard_f1([value["f1"] for value in values]) == pytest.approx(
        expected["trivial"]["always_yes"]["f1"], abs=1e-9
    )


def test_released_database_holds_the_golden_scores(expected: dict[str, Any]) -> None:
    estimates = read_estimates(fetch("dreaddit", "soft--gpt-4o--zero-shot.db"))
    for position, dimension in enumerate(DIMENSIONS):
        raw = expected["personality"]["gpt-4o"][dimension]["soft_1_9"]
        assert [estimates.by_id[number + 1][position] for number in range(300)] == [(x - 1) / 8 for x in raw]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_described_scores_are_the_golden_ones(expected: dict[str, Any], dimension: str) -> None:
    raw = expected["personality"]["gpt-4o"][dimension]["soft_1_9"]
    wanted = expected["personality_stats"]["gpt-4o"][dimension]
    docs = dreaddit.load_personality(dimension)["test"]
    values = [scores.personality(doc, [f"[[{x:g}]]"]) for doc, x in zip(docs, raw, strict=True)]
    for metric, name in (
        ("mean_score", "mean_score"),
        ("extremity_pred", "extremity"),
        ("extreme_share_pred", "share_le2_or_ge8"),
        ("share_5", "share_5"),
        ("distinct_scores", "distinct_scores"),
    ):
        found = getattr(soft_labels, f"agg_{metric}")([value[metric] for value in values])
        assert found == pytest.approx(wanted[name], abs=1e-9), metric
    assert sum(value["parse_failure"] for value in values) == wanted["unparsed_soft"]


def test_lines_are_the_golden_ones_in_every_condition(letters: str, expected: dict[str, Any]) -> None:
    for condition in ("hard", "soft", "soft_inverted"):
        shown = {str(doc["id"]): doc["mbti_lines"] for doc in stress_docs(condition, letters)}
        for number, lines in expected["mbti_lines"].items():
            assert shown[number] == lines[condition], (number, condition)


def test_checker_flags_every_decidable_line_of_the_released_soft_condition(letters: str) -> None:
    estimates = read_estimates(fetch("dreaddit", "soft--gpt-4o--zero-shot.db")).by_id
    for condition, verdict in (("soft", "correct"), ("soft_inverted", "inverted")):
        for doc in stress_docs(condition, letters):
            for line, value in zip(doc["mbti_lines"].splitlines(), estimates[doc["id"]], strict=True):
                assert orientation(line, value) == ("ambiguous" if value == 0.5 else verdict)


@pytest.mark.parametrize("condition", ["none", "hard", "soft", "soft_inverted"])
def test_stress_prompts_of_the_authors_are_rendered_exactly(
    letters: str, hashes: dict[str, Any], authors: Pack, authors_file: str, condition: str
) -> None:
    docs = stress_docs(condition, letters, prompt_pack=authors_file, system_role="chat")
    for number, wanted in hashes["dreaddit_stress"][condition].items():
        doc = docs[int(number) - 1]
        messages = build_dreaddit_stress(authors.content, doc["posts_text"], doc["mbti_lines"] or None)
        assert message_hash(messages) == wanted
        assert [doc["system"], doc["user"]] == [message["content"] for message in messages[:2]]


def test_personality_prompts_of_the_authors_are_rendered_exactly(
    letters: str, hashes: dict[str, Any], authors: Pack
) -> None:
    posts = {str(doc["id"]): doc["posts_text"] for doc in stress_docs("none", letters)}
    assert len(hashes["dreaddit_personality"]) == 24
    for key, wanted in hashes["dreaddit_personality"].items():
        number, dimension, kind, method = key.split("|")
        messages = build_dreaddit_personality(authors.content, method, kind, dimension, posts[number])
        assert message_hash(messages) == wanted, key


@pytest.mark.parametrize("condition", ["none", "hard", "soft_inverted"])
def test_round_one_answers_score_as_published(
    letters: str, expected: dict[str, Any], golden: Path, condition: str
) -> None:
    round_one = expected["round_1"][condition]
    answers = [f"[[{WORDS[letter]}]]" for letter in round_one["parsed_compat"]]
    lines = (golden / "mbtibench" / "dreaddit_responses_round1.jsonl").read_text(encoding="utf-8").split("\n")
    stored = [row for row in map(json.loads, filter(None, lines)) if row["condition"] == condition]
    assert len(stored) == 51
    for row in stored:
        answers[row["id"] - 1] = row["response"]
    values = [
        scores.stress(doc, [answer]) for doc, answer in zip(stress_docs(condition, letters), answers, strict=True)
    ]
    assert [value["acc"][1] for value in values] == [WORDS[letter] for letter in round_one["parsed_strict"]]
    assert [value["acc_compat"][1] for value in values] == [WORDS[letter] for letter in round_one["parsed_compat"]]
    for key, aggregate, number in (
        ("acc", soft_labels.agg_hard_acc, round_one["strict_invalid_is_wrong"]["acc"]),
        ("f1", soft_labels.agg_hard_f1, round_one["strict_invalid_is_wrong"]["f1"]),
        ("acc_compat", soft_labels.agg_hard_acc, round_one["compat"]["acc"]),
        ("f1_compat", soft_labels.agg_hard_f1_compat, round_one["compat"]["f1"]),
    ):
        assert aggregate([value[key] for value in values]) == pytest.approx(number, abs=1e-9), key
    assert sum(value["invalid"] for value in values) == round_one["n_invalid_strict"]
