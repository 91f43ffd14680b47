"""Stored answers through lm-eval: the tasks, their prompts, parsers and aggregations together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_ext.data import fetch
from harness_ext.models.replay import Replay
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import mime_outputs, part_of

Answers = Mapping[str, Mapping[str, str]]
"""Leaf -> doc id -> answer."""
Evaluate = Callable[..., dict[str, Any]]
LEAVES = ["tweet_emotion", "cee", "ed_response"]


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    def run(tasks: list[str], answers: Answers, limit: int | None = None, **metadata: Any) -> dict[str, Any]:
        path = tmp_path / "answers.jsonl"
        rows = [{"task": leaf, "id": id, "response": text} for leaf, own in answers.items() for id, text in own.items()]
        path.write_text("\n".join(map(json.dumps, rows)))
        folder = str(resources.files("harness_ext.tasks.eibench"))
        manager = TaskManager(include_path=folder, include_defaults=False, metadata=metadata)
        return simple_evaluate(
            model=Replay(str(path)),
            tasks=tasks,
            task_manager=manager,
            limit=limit,
            bootstrap_iters=0,
            log_samples=False,
        )

    return run


def gold_answers(part: str, split: str = "test", **options: Any) -> dict[str, str]:
    return {doc["id"]: docs.answer(doc) for doc in docs.load(part, **options)[split]}


def test_an_oracle_scores_100_on_every_leaf_and_group(evaluate: Evaluate, mirror: Path) -> None:
    results = evaluate(["eibench"], {f"eibench_{part}": gold_answers(part) for part in LEAVES})["results"]
    assert {name: values["ei_score,none"] for name, values in results.items()} == pytest.approx(
        dict.fromkeys(results, 100)
    )
    assert {"eibench", "eibench_ep", "eibench_ec", "eibench_ee"} < results.keys()
    flags = [v for values in results.values() for k, v in values.items() if k in ("invalid,none", "parse_failure,none")]
    assert flags == [0.0] * len(LEAVES)


def test_the_uncapped_group_has_every_doc(evaluate: Evaluate, mirror: Path) -> None:
    answers = {f"eibench_{part}": gold_answers(part, "full") for part in LEAVES}
    report = evaluate(["eibench_full"], answers, limit=2)
    assert report["results"]["eibench_full"]["ei_score,none"] == pytest.approx(100)
    assert report["n-samples"]["eibench_ed_response"]["original"] == 5257


def test_the_group_is_the_plain_mean_of_its_leaves_whatever_their_size(evaluate: Evaluate, mirror: Path) -> None:
    answers = {f"eibench_{part}": gold_answers(part) for part in LEAVES}
    answers["eibench_tweet_emotion"] = dict.fromkeys(answers["eibench_tweet_emotion"], "no idea")
    results = evaluate(["eibench"], answers)["results"]
    assert results["eibench_tweet_emotion"]["ei_score,none"] == 0.0
    assert results["eibench_tweet_emotion"]["invalid,none"] == 1.0
    assert results["eibench"]["ei_score,none"] == pytest.approx(200 / 3)


def test_tweeteval_authors_predictions(evaluate: Evaluate, mirror: Path) -> None:
    labels = part_of("tweet_emotion").labels
    numbers = fetch("tweeteval", "predictions/emotion.txt").read_text().split()
    answers = {f"test_{i}": labels[int(number)] for i, number in enumerate(numbers)}
    values = evaluate(["eibench_tweet_emotion"], {"eibench_tweet_emotion": answers}, cap="all")["results"][
        "eibench_tweet_emotion"
    ]
    assert values["ei_score,none"] == values["macro_f1,none"] == pytest.approx(79.8272, abs=1e-4)
    assert values["acc,none"] == pytest.approx(83.3920, abs=1e-4)
    assert values["weighted_f1,none"] == pytest.approx(83.3192, abs=1e-4)


def test_causes_answered_with_the_target_itself(evaluate: Evaluate, mirror: Path) -> None:
    answers = {id: f"Answer: {id.rpartition('_')[2]}" for id in gold_answers("cee", "full")}
    values = evaluate(["eibench_cee"], {"eibench_cee": answers}, cap="all")["results"]["eibench_cee"]
    assert values["ei_score,none"] == pytest.approx(66.5546, abs=1e-4)
    assert values["pos_f1,none"] == pytest.approx(46.6155, abs=1e-4)
    assert values["neg_f1,none"] == pytest.approx(86.4936, abs=1e-4)


def test_a_constant_reply(evaluate: Evaluate, mirror: Path) -> None:
    answers = dict.fromkeys(gold_answers("ed_response", "full"), "I am sorry to hear that.")
    values = evaluate(["eibench_ed_response"], {"eibench_ed_response": answers}, cap="all")["results"][
        "eibench_ed_response"
    ]
    assert values["ei_score,none"] == pytest.approx(11.3090, abs=1e-4)
    assert values["bleu_13a,none"] == pytest.approx(0.9332, abs=1e-4)
    assert values["dist_1,none"] == pytest.approx(0.0190, abs=1e-4)


def test_mime_stored_outputs(evaluate: Evaluate, mirror: Path) -> None:
    turns = mime_outputs.read_turns()
    answers = {
        "eibench_mime_response": {str(i): turn.beam for i, turn in enumerate(turns)},
        "eibench_mime_emotion": {str(i): turn.predicted for i, turn in enumerate(turns)},
    }
    results = evaluate(list(answers), answers, cap="all")["results"]
    assert results["eibench_mime_response"]["bleu_none,none"] == pytest.approx(3.1262, abs=1e-4)
    assert results["eibench_mime_response"]["bleu_13a,none"] == pytest.approx(3.1555, abs=1e-4)
    assert results["eibench_mime_response"]["rougeL,none"] == pytest.approx(16.5577, abs=1e-4)
    assert results["eibench_mime_emotion"]["macro_f1,none"] == pytest.approx(33.8157, abs=1e-4)
