"""Released and synthetic predictions on the real gold answers, through the pure scoring functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch
from harness_ext.scoring import classification as c
from harness_ext.scoring import generation as g
from harness_ext.scoring import regression as r
from harness_ext.scoring.spans import exact, token_f1
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import all_parts, ecf, mime_outputs, part_of, reccon
from harness_ext.tasks.eibench.readers.empathetic_dialogues import EMOTIONS

SETS = {"goemotions", "semeval_ec"}
LABELLED = {part.name for part in all_parts().values() if part.labels} - SETS
Expected = dict[tuple[str, str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def expected(golden: Path, mirror: Path) -> Expected:
    """Metrics by (task, split, predictor)."""
    rows = json.loads((golden / "eibench/scores.json").read_text())["scores"]
    return {(row["task"], row["split"], row["predictor"]): row["metrics"] for row in rows}


OTHERWISE = {"bp_none", "mean_words", "dist_1_counts", "dist_2_counts", "dist_3_counts"}
"""Recorded numbers that are no metric of ours; the last four are checked by :func:`counts_and_lengths`."""


def compare(found: dict[str, float], wanted: dict[str, Any]) -> None:
    """Every recorded metric is found, and agrees to the four decimals that are recorded."""
    wanted = {name: value for name, value in wanted.items() if name not in OTHERWISE}
    assert wanted.keys() - found.keys() == set()
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-3)


def gold_of(leaf: str, split: str) -> list[dict[str, Any]]:
    name, _, cap = split.partition("/cap")
    rows = docs.read(leaf, name)  # type: ignore[arg-type]
    return docs.keep(rows, [row["id"] for row in rows], leaf, cap or "all")


def label_scores(gold: list[str], predicted: list[str], labels: tuple[str, ...]) -> dict[str, float]:
    return {
        "acc": c.accuracy(gold, predicted),
        "macro_f1": c.macro_f1(gold, predicted, labels),
        "weighted_f1": c.weighted_f1(gold, predicted, labels),
        "macro_recall": c.macro_recall(gold, predicted, labels),
        "micro_f1_excl": c.micro_f1(gold, predicted, labels[1:]),
        "f1_irony": c.micro_f1(gold, predicted, labels[1:2]),
    }


def reply_scores(hypotheses: list[str], references: list[str]) -> dict[str, float]:
    stemmed = g.rouge(hypotheses, references, stemmer=True)
    return {
        **g.rouge(hypotheses, references),
        **{f"{name}_stem": score for name, score in stemmed.items()},
        "bleu_13a": g.bleu(hypotheses, references),
        "bleu_none": g.bleu(hypotheses, references, "none"),
        **{f"dist_{n}": g.dist_n(hypotheses, n) for n in (1, 2, 3)},
    }


def counts_and_lengths(hypotheses: list[str], wanted: dict[str, Any]) -> None:
    """Dist-n is the recorded number of distinct n-grams over that of all, and the answers are as long as recorded."""
    for n in (1, 2, 3):
        distinct, everything = wanted[f"dist_{n}_counts"]
        assert g.dist_n(hypotheses, n) == pytest.approx(100 * distinct / everything, rel=1e-12)
    words = sum(len(text.split()) for text in hypotheses)
    assert words / len(hypotheses) == pytest.approx(wanted["mean_words"], abs=1e-4)


def test_constant_and_cyclic_label_predictions(expected: Expected) -> None:
    checked = 0
    for (leaf, split, predictor), wanted in expected.items():
        kind, _, value = predictor.partition(":")
        if kind not in ("const", "cyclic") or leaf.removeprefix("eibench_") not in LABELLED:
            continue
        gold, labels = [row["gold"] for row in gold_of(leaf, split)], part_of(leaf).labels
        cyclic = [labels[(i + int(value or 0)) % len(labels)] for i in range(len(gold))] if kind == "cyclic" else []
        compare(label_scores(gold, cyclic or [value] * len(gold), labels), wanted)
        checked += 1
    assert checked == 24


def test_tweeteval_authors_predictions(expected: Expected) -> None:
    labels = part_of("tweet_emotion").labels
    gold = [row["gold"] for row in gold_of("eibench_tweet_emotion", "test")]
    numbers = fetch("tweeteval", "predictions/emotion.txt").read_text().split()
    wanted = expected["eibench_tweet_emotion", "test", "replay: authors' RoBERTa-Retrained predictions"]
    compare(label_scores(gold, [labels[int(n)] for n in numbers], labels), wanted)


def test_label_sets(expected: Expected) -> None:
    checked = 0
    for (leaf, split, predictor), wanted in expected.items():
        if leaf.removeprefix("eibench_") not in SETS:
            continue
        gold, labels = [row["gold"] for row in gold_of(leaf, split)], part_of(leaf).labels
        kind, _, value = predictor.partition(":")
        constant = [name for name in value.split("+") if name]
        predicted = [
            constant if kind == "set" else [labels[(i + k) % len(labels)] for k in (0, 1)] for i in range(len(gold))
        ]
        found = {
            "jaccard": sum(map(c.jaccard, gold, predicted)) / len(gold),
            "micro_f1": c.set_micro_f1(gold, predicted, labels),
            "macro_f1": c.set_macro_f1(gold, predicted, labels),
        }
        compare(found, wanted)
        checked += 1
    assert checked == 7


NUMBERS: dict[str, Callable[[int, float], float]] = {
    "mod10": lambda i, gold: (i % 10) / 10,
    "const:0.5": lambda i, gold: 0.5,
    "round1": lambda i, gold: round(gold, 1),
}


def test_real_numbers(expected: Expected) -> None:
    checked = 0
    for (leaf, split, predictor), wanted in expected.items():
        if predictor not in NUMBERS:
            continue
        gold = [row["gold"] for row in gold_of(leaf, split)]
        predicted = [NUMBERS[predictor](i, value) for i, value in enumerate(gold)]
        scores = {name: getattr(r, name)(gold, predicted) for name in ("pearson", "spearman", "mae")}
        compare(scores, wanted)
        checked += 1
    assert checked == 5


CAUSES: dict[str, Callable[[int], list[int]]] = {
    "self": lambda t: [t],
    "none": lambda t: [],
    "previous": lambda t: [t - 1],
}


def test_causal_utterances(expected: Expected) -> None:
    checked = 0
    for (leaf, split, predictor), wanted in expected.items():
        if leaf != "eibench_cee":
            continue
        items = []
        for row in gold_of(leaf, split):
            target = int(row["id"].rpartition("_")[2])
            items.append(c.decisions(row["gold"], CAUSES[predictor](target), range(1, target + 1)))
        compare(c.decision_scores(items)._asdict(), wanted)
        checked += 1
    assert checked == 5


def test_cause_pairs_one_by_one(expected: Expected) -> None:
    gold, predicted = [], []
    for row in docs.read("cee_pair", "dev"):
        *_, target, candidate, _ = row["id"].split("_")
        gold.append(row["gold"])
        predicted.append("yes" if candidate == target else "no")
    found = {
        "acc": c.accuracy(gold, predicted),
        "pos_f1": c.micro_f1(gold, predicted, ["yes"]),
        "macro_f1": c.macro_f1(gold, predicted, ("no", "yes")),
        "positives": gold.count("yes"),
        "negatives": gold.count("no"),
    }
    compare(found, expected["eibench_cee_pair", "dev", "yes iff candidate = target"])


def test_cause_spans_answered_with_the_whole_target_utterance(expected: Expected) -> None:
    utterances = {target.id: target.history[-1].text for target in reccon.targets("test")}
    rows = docs.read("cause_span", "test")
    pairs = [(row["gold"], utterances[row["id"].rpartition("_")[0]]) for row in rows]
    found = {
        "exact": sum(exact(*pair) for pair in pairs) / len(pairs),
        "f1": sum(token_f1(*pair) for pair in pairs) / len(pairs),
    }
    compare(found, expected["eibench_cause_span", "test", "copy target utterance"])


@pytest.mark.parametrize(("predictor", "offsets"), [("self", [0]), ("self+previous", [0, -1])])
def test_emotion_cause_pairs(expected: Expected, predictor: str, offsets: list[int]) -> None:
    items = []
    for dialogue in ecf.read_dialogues("dev"):
        emotional = [i for i, emotion in enumerate(dialogue.emotions, start=1) if emotion != "neutral"]
        found = {(i, i + offset) for i in emotional for offset in offsets if i + offset >= 1}
        gold = set(dialogue.pairs)
        items.append((len(gold & found), len(found - gold), len(gold - found)))
    compare(c.pair_scores(items)._asdict(), expected["eibench_ecf", "dev", predictor])


@pytest.mark.parametrize(("predictor", "chosen"), [("all options", range(5)), ("first option", range(1))])
def test_listener_reactions(expected: Expected, predictor: str, chosen: range) -> None:
    records = part_of("cicero_reaction").read("test")
    predicted = [[k for k in chosen if k < record.meta["options"]] for record in records]
    items = [c.decisions(q.gold, p, range(q.meta["options"])) for q, p in zip(records, predicted, strict=True)]
    found = {
        "exact_set": 100 * sum(q.gold == p for q, p in zip(records, predicted, strict=True)) / len(records),
        "macro_f1": c.decision_scores(items).macro_f1,
    }
    compare(found, expected["eibench_cicero_reaction", "test", predictor])


@pytest.mark.parametrize(
    ("leaf", "predictor"),
    [
        ("eibench_ed_response", "const:I am sorry to hear that."),
        ("eibench_ed_response", "oracle (gold reply)"),
        ("eibench_esc_response", "const:I understand how you feel."),
    ],
)
def test_replies(expected: Expected, leaf: str, predictor: str) -> None:
    references = [row["gold"] for row in gold_of(leaf, "test")]
    constant = predictor.removeprefix("const:")
    hypotheses = references if predictor.startswith("oracle") else [constant] * len(references)
    wanted = expected[leaf, "test", predictor]
    compare(reply_scores(hypotheses, references), wanted)
    counts_and_lengths(hypotheses, wanted)


def test_mime_replies_and_emotions(expected: Expected) -> None:
    turns = mime_outputs.read_turns()
    scores = reply_scores([t.beam for t in turns], [t.reference for t in turns])
    compare(scores, expected["mime_outputs", "output.txt", "replay: Beam against Ref"])
    counts_and_lengths([t.beam for t in turns], expected["mime_outputs", "output.txt", "replay: Beam against Ref"])
    assert scores["bleu_none"] == pytest.approx(3.13, abs=0.01)  # what the corpus states in its own header
    emotions = label_scores([t.emotion for t in turns], [t.predicted for t in turns], EMOTIONS)
    compare(emotions, expected["mime_32way", "5,255 turns of output.txt", "replay: MIME predicted_emotion"])


def test_text_metrics_on_hand_made_pairs(golden: Path) -> None:
    for case in json.loads((golden / "eibench/aggregate.json").read_text())["generation"]:
        pairs = list(zip(case["references"], case["hypotheses"], strict=True))
        found = reply_scores(case["hypotheses"], case["references"]) | {
            "exact": sum(exact(*pair) for pair in pairs) / len(pairs),
            "squad_f1": sum(token_f1(*pair) for pair in pairs) / len(pairs),
        }
        compare(found, case["expected"])
