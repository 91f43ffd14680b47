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
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import all_parts, mime_outputs, part_of
from harness_ext.tasks.eibench.readers.empathetic_dialogues import EMOTIONS

LABELLED = {part.name for part in all_parts().values() if part.labels}
Expected = dict[tuple[str, str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def expected(golden: Path, mirror: Path) -> Expected:
    """Metrics by (task, split, predictor)."""
    rows = json.loads((golden / "eibench/scores.json").read_text())["scores"]
    return {(row["task"], row["split"], row["predictor"]): row["metrics"] for row in rows}


def compare(found: dict[str, float], wanted: dict[str, Any], *, least: int = 1) -> None:
    """Every number in both agrees to the four decimals that are recorded."""
    shared = found.keys() & wanted.keys()
    assert len(shared) >= least
    assert {name: found[name] for name in shared} == pytest.approx({name: wanted[name] for name in shared}, abs=1e-3)


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


def test_constant_and_cyclic_label_predictions(expected: Expected) -> None:
    checked = 0
    for (leaf, split, predictor), wanted in expected.items():
        kind, _, value = predictor.partition(":")
        if kind not in ("const", "cyclic") or leaf.removeprefix("eibench_") not in LABELLED:
            continue
        gold, labels = [row["gold"] for row in gold_of(leaf, split)], part_of(leaf).labels
        cyclic = [labels[(i + int(value or 0)) % len(labels)] for i in range(len(gold))] if kind == "cyclic" else []
        compare(label_scores(gold, cyclic or [value] * len(gold), labels), wanted, least=4)
        checked += 1
    assert checked >= 7


def test_tweeteval_authors_predictions(expected: Expected) -> None:
    labels = part_of("tweet_emotion").labels
    gold = [row["gold"] for row in gold_of("eibench_tweet_emotion", "test")]
    numbers = fetch("tweeteval", "predictions/emotion.txt").read_text().split()
    wanted = expected["eibench_tweet_emotion", "test", "replay: authors' RoBERTa-Retrained predictions"]
    compare(label_scores(gold, [labels[int(n)] for n in numbers], labels), wanted, least=4)


CAUSES: dict[str, Callable[[int], list[int]]] = {
    "self": lambda t: [t],
    "none": lambda t: [],
    "previous": lambda t: [t - 1],
}


@pytest.mark.parametrize("split", ["test", "dev", "test/cap500"])
@pytest.mark.parametrize("predictor", CAUSES)
def test_causal_utterances(expected: Expected, split: str, predictor: str) -> None:
    if (wanted := expected.get(("eibench_cee", split, predictor))) is None:
        pytest.skip("not recorded")
    items = []
    for row in gold_of("eibench_cee", split):
        target = int(row["id"].rpartition("_")[2])
        items.append(c.decisions(row["gold"], CAUSES[predictor](target), range(1, target + 1)))
    compare(c.decision_scores(items)._asdict(), wanted, least=3)


@pytest.mark.parametrize(
    ("leaf", "predictor"),
    [("eibench_ed_response", "const:I am sorry to hear that."), ("eibench_ed_response", "oracle (gold reply)")],
)
def test_replies(expected: Expected, leaf: str, predictor: str) -> None:
    references = [row["gold"] for row in gold_of(leaf, "test")]
    constant = predictor.removeprefix("const:")
    hypotheses = references if predictor.startswith("oracle") else [constant] * len(references)
    compare(reply_scores(hypotheses, references), expected[leaf, "test", predictor], least=11)


def test_mime_replies_and_emotions(expected: Expected) -> None:
    turns = mime_outputs.read_turns()
    scores = reply_scores([t.beam for t in turns], [t.reference for t in turns])
    compare(scores, expected["mime_outputs", "output.txt", "replay: Beam against Ref"], least=11)
    assert scores["bleu_none"] == pytest.approx(3.13, abs=0.01)  # what the corpus states in its own header
    emotions = label_scores([t.emotion for t in turns], [t.predicted for t in turns], EMOTIONS)
    compare(emotions, expected["mime_32way", "5,255 turns of output.txt", "replay: MIME predicted_emotion"], least=4)


def test_text_metrics_on_hand_made_pairs(golden: Path) -> None:
    for case in json.loads((golden / "eibench/aggregate.json").read_text())["generation"]:
        compare(reply_scores(case["hypotheses"], case["references"]), case["expected"], least=10)
