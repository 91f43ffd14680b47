"""Stored answers through lm-eval: the tasks, their prompts, parsers and aggregations together."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_ext.models.replay.lm import Replay
from harness_ext.tasks.eibench import docs
from harness_ext.tasks.eibench.readers import all_parts

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


@functools.cache
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


@pytest.mark.parametrize(
    ("part", "options", "answer", "expected"),
    [
        ("semeval_vreg", {"cap": "all"}, "no number", {"ei_score": 0.0, "parse_failure": 1.0}),
        ("emobench_ea", {}, '{"answer": "A"}', {"ei_score": 13.5}),
        (
            "emobench_eu",
            {},
            '{"answer_q1": "A", "answer_q2": "A"}',
            {"ei_score": 9.5, "emotion": 36.0, "cause": 26.5},
        ),
    ],
)
def test_constant_and_unreadable_answers(
    evaluate: Evaluate,
    mirror: Path,
    part: str,
    options: dict[str, Any],
    answer: str,
    expected: dict[str, float],
) -> None:
    leaf = f"eibench_{part}"
    given = dict.fromkeys(gold_answers(part, **options), answer)
    values = evaluate([leaf], {leaf: given}, **options)["results"][leaf]
    assert {name: values[f"{name},none"] for name in expected} == pytest.approx(expected, abs=1e-3)
