"""Stored answers through lm-eval: the tasks, their prompts, parsers and aggregations together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_ext.data import fetch
from harness_ext.models.replay import Replay
from harness_ext.scoring.classification import agg_pair_f1
from harness_ext.tasks.eibench import docs, scores
from harness_ext.tasks.eibench.readers import all_parts, ecf, mime_outputs, part_of

FOLDER = resources.files("harness_ext.tasks.eibench")
Answers = Mapping[str, Mapping[str, str | list[float]]]
"""Leaf -> doc id -> text or log-likelihoods."""
Evaluate = Callable[..., dict[str, Any]]
LEAVES = [
    part.name
    for part in all_parts().values()
    if part.aspect != "extension" and (FOLDER / f"{part.name}.yaml").is_file()
]
EXTENSION = ["semeval_eireg_anger", "semeval_eireg_joy", "tweet_offensive", "tweet_hate", "cee_pair"]
TWINS = ["meld", "semeval_ec", "cee", "cicero_reaction", "emobench_eu_emotion", "emobench_eu_cause", "emobench_ea"]


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    def run(tasks: list[str], answers: Answers, limit: int | None = None, **metadata: Any) -> dict[str, Any]:
        path = tmp_path / "answers.jsonl"
        rows = [
            {"task": leaf, "id": id, "response" if isinstance(answer, str) else "loglikelihoods": answer}
            for leaf, own in answers.items()
            for id, answer in own.items()
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
        manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=metadata)
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


def test_an_oracle_scores_100_on_all_21_leaves_and_their_groups(evaluate: Evaluate, mirror: Path) -> None:
    assert len(LEAVES) == 21
    results = evaluate(["eibench"], {f"eibench_{part}": gold_answers(part) for part in LEAVES})["results"]
    scores = {name: values["ei_score,none"] for name, values in results.items()}
    assert scores == pytest.approx(dict.fromkeys(scores, 100))
    assert {f"eibench_{part}" for part in LEAVES} | {
        "eibench",
        "eibench_ep",
        "eibench_ec",
        "eibench_ee",
    } == scores.keys()
    assert all(results[f"eibench_{part}"]["sample_len"] == 500 for part in ("meld", "ed_response", "isear"))
    unread = {name: values.get("invalid,none", values.get("parse_failure,none")) for name, values in results.items()}
    # causes outside the dialogue and dialogues without pairs are answered with "none", which is readable
    assert {rate for rate in unread.values() if rate is not None} == {0.0}


def test_an_oracle_scores_100_outside_the_averages(evaluate: Evaluate, mirror: Path) -> None:
    answers = {f"eibench_{part}": gold_answers(part) for part in EXTENSION}
    results = evaluate(list(answers), answers)["results"]
    assert {name: values["ei_score,none"] for name, values in results.items()} == pytest.approx(
        dict.fromkeys(answers, 100)
    )


def test_a_twin_that_finds_the_gold_choice_likeliest_scores_100(evaluate: Evaluate, mirror: Path) -> None:
    answers: dict[str, dict[str, list[float]]] = {}
    for part in TWINS:
        form = {"emobench_ea": "letter", "meld": "answer"}.get(part, "yes_no" if "emobench" not in part else "answer")
        answers[f"eibench_{part}_ll"] = {
            doc["id"]: [-1.0 if i == docs.choice_number(doc) else -2.0 for i in range(len(doc["labels"]))]
            for doc in docs.load(part, cap=40, form=form)["test"]  # type: ignore[arg-type]
        }
    results = evaluate(list(answers), answers, cap=40)["results"]
    assert {name: values["ei_score,none"] for name, values in results.items()} == pytest.approx(
        dict.fromkeys(answers, 100)
    )


def test_the_likelihood_of_the_gold_reply_is_a_perplexity(evaluate: Evaluate, mirror: Path) -> None:
    answers = {"eibench_ed_response_ll": {id: [-2.0] for id in gold_answers("ed_response", cap=20)}}
    values = evaluate(list(answers), answers, cap=20)["results"]["eibench_ed_response_ll"]
    words = sum(len(text.split()) for text in gold_answers("ed_response", cap=20).values())
    assert values["gold_word_ppl,none"] == pytest.approx(math.exp(40 / words))


def test_the_uncapped_group_has_every_doc(evaluate: Evaluate, mirror: Path) -> None:
    answers = {f"eibench_{part}": gold_answers(part, "full") for part in LEAVES}
    report = evaluate(["eibench_full"], answers, limit=2)
    asked = {name: size["original"] for name, size in report["n-samples"].items()}
    assert asked == {leaf: len(own) for leaf, own in answers.items()}
    assert asked["eibench_tweet_sentiment"] == 12_284


def test_the_group_is_the_plain_mean_of_its_leaves_whatever_their_size(evaluate: Evaluate, mirror: Path) -> None:
    answers: dict[str, dict[str, str]] = {f"eibench_{part}": gold_answers(part) for part in LEAVES}
    answers["eibench_cicero_reaction"] = dict.fromkeys(answers["eibench_cicero_reaction"], "no idea")
    results = evaluate(["eibench"], answers)["results"]
    assert results["eibench_cicero_reaction"]["ei_score,none"] == 0.0
    assert results["eibench_cicero_reaction"]["parse_failure,none"] == 1.0
    assert results["eibench_ec"]["ei_score,none"] == pytest.approx(80)
    assert results["eibench"]["ei_score,none"] == pytest.approx(2000 / 21)


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


@pytest.mark.parametrize(
    ("part", "options", "answers", "expected"),
    [
        ("meld", {"cap": "all"}, lambda i, labels: "neutral", {"acc": 48.1226, "ei_score": 31.2685}),
        ("meld", {}, lambda i, labels: labels[i % 7], {"acc": 13.2, "ei_score": 16.7463}),
        ("dailydialog", {}, lambda i, labels: labels[i % 7], {"ei_score": 5.0096}),
        (
            "semeval_ec",
            {"cap": "all"},
            lambda i, labels: "anger and disgust",
            {"ei_score": 24.8968, "micro_f1": 30.5832},
        ),
        ("semeval_ec", {}, lambda i, labels: f"{labels[i % 11]}, {labels[(i + 1) % 11]}", {"ei_score": 12.8633}),
        ("semeval_vreg", {"cap": "all"}, lambda i, labels: f"{(i % 10) / 10}", {"ei_score": 3.0921, "mae": 0.293941}),
        ("semeval_vreg", {"cap": "all"}, lambda i, labels: "no number", {"ei_score": 0.0, "parse_failure": 1.0}),
        ("cicero_reaction", {}, lambda i, labels: "1, 2, 3, 4, 5", {"ei_score": 0.7092, "macro_f1": 35.9438}),
        ("esc_response", {"cap": "all"}, lambda i, labels: "I understand how you feel.", {"ei_score": 12.0173}),
        ("emobench_ea", {}, lambda i, labels: '{"answer": "A"}', {"ei_score": 13.5}),
        (
            "emobench_eu",
            {},
            lambda i, labels: '{"answer_q1": "A", "answer_q2": "A"}',
            {"ei_score": 9.5, "emotion": 36.0, "cause": 26.5},
        ),
    ],
)
def test_synthetic_predictions(
    evaluate: Evaluate,
    mirror: Path,
    part: str,
    options: dict[str, Any],
    answers: Callable[[int, list[str]], str],
    expected: dict[str, float],
) -> None:
    leaf, labels = f"eibench_{part}", list(part_of(part).labels)
    given = {id: answers(i, labels) for i, id in enumerate(gold_answers(part, **options))}
    values = evaluate([leaf], {leaf: given}, **options)["results"][leaf]
    assert {name: values[f"{name},none"] for name in expected} == pytest.approx(expected, abs=1e-3)


def test_emotion_cause_pairs_of_the_dev_dialogues(evaluate: Evaluate, mirror: Path) -> None:
    found = {
        d.id: " ".join(f"({i}, {i})" for i, emotion in enumerate(d.emotions, start=1) if emotion != "neutral") or "none"
        for d in ecf.read_dialogues("dev")
    }
    values = [scores.pairs(doc, [found[doc["id"]]]) for doc in docs.load("ecf")["dev"]]
    assert agg_pair_f1([value["pair_f1"] for value in values]) == pytest.approx(54.1069, abs=1e-3)
