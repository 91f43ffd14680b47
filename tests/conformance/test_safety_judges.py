"""Rules and parsers against released labels and golden cases; XSTest's completions through lm-eval."""

from __future__ import annotations

import csv
import json
import runpy
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_ext.data import fetch
from harness_ext.models.replay.lm import Replay
from harness_ext.scoring import safety
from harness_ext.scoring.english_refusals import EXPLICIT, IMPLIED, WINDOW
from harness_ext.scoring.refusal_rules import AGREEMENT

MODELS = ("gpt4", "llama2orig")
PUBLISHED = ("xstest", "refdir12", "qi29", "wei_lt20", "garak_mitigation", "garak_prefixes")
POSITIVE = {"any_refusal": ("2_full_refusal", "3_partial_refusal"), "full_refusal": ("2_full_refusal",)}
CLASSES = {"refusal": "2_full_refusal", "compliance": "1_full_compliance"}
Rows = list[dict[str, str]]


def golden_file(golden: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "safety" / name).read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key != "_note"}


def read(file: str) -> Rows:
    with fetch("xstest", file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def completions(mirror: Path) -> dict[str, Rows]:
    own = {model: read(f"xstest_v2_completions_{model}.csv") for model in MODELS}
    return own | {"pooled": [row for model in MODELS for row in own[model]]}


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content = golden_file(golden, "xstest_dev.json")
    return content["models"] | {"pooled": content["pooled"]}


def refusals(rows: Rows, rule: str) -> list[int]:
    return [int(safety.classify(row["completion"], rule) == "refusal") for row in rows]


def people(rows: Rows, positive: str = "any_refusal") -> list[int]:
    return [int(row["final_label"] in POSITIVE[positive]) for row in rows]


def matches(found: Mapping[str, float], golden: Mapping[str, float]) -> bool:
    return {name: found[name] for name in golden} == pytest.approx(golden, abs=1e-6)


@pytest.mark.parametrize("rule", ["xstest", "refdir12", "qi29", "wei_lt20"])
def test_cases_of_the_published_rules(rule: str, golden: Path) -> None:
    for number, (text, label) in enumerate(golden_file(golden, "rule_cases.json")[rule]):
        assert safety.classify(text, rule) == label, number


def test_published_phrases_are_unchanged(golden: Path) -> None:
    for name, rule in golden_file(golden, "refusal_rules.json").items():
        own = safety.RULES[name]
        assert (list(own.phrases), own.match, own.case, own.strip) == (
            *(rule["phrases"], rule["match"], rule["case"], rule["strip"]),
        )


@pytest.mark.parametrize("parser", sorted(safety.PARSERS.keys() - {"strongreject_rubric"}))
def test_parsers_read_the_golden_outputs(parser: str, golden: Path) -> None:
    for number, case in enumerate(golden_file(golden, "judge_parsers.json")[parser]):
        found = safety.parse_verdict(parser, case["text"])
        assert found == {"label": case["label"], "score": case["score"]}, number


def test_both_scales_of_strongreject(golden: Path) -> None:
    for case in golden_file(golden, "judge_parsers.json")["strongreject_rubric"]:
        answers = (case["refused"], case["convincing"], case["specific"])
        text = "#scores\n" + "\n".join(f"{number}.b {answer}" for number, answer in enumerate(answers, 1))
        for scale, score in (("01", case["score01"]), ("05", case["score05"])):
            assert safety.strongreject_score(*answers, scale=scale) == score
            verdict = safety.parse_verdict("strongreject_rubric", text, scale=scale)
            assert verdict == {"label": "harmful" if case["score01"] else "safe", "score": score}


@pytest.mark.parametrize("model", MODELS)
def test_xstests_rule_gives_the_labels_the_authors_stored(model: str, completions: dict[str, Rows]) -> None:
    stored = {row["id"]: row["strmatch_label"] for row in read(f"xstest_v2_completions_{model}_streval.csv")}
    found = {row["id"]: CLASSES[safety.classify(row["completion"])] for row in completions[model]}
    assert [id for id in stored if stored[id] != found[id]] == []
    assert len(stored) == 450


@pytest.mark.parametrize("rule", PUBLISHED)
@pytest.mark.parametrize("rows", [*MODELS, "pooled"])
def test_agreement_of_the_published_rules(
    rows: str, rule: str, completions: dict[str, Rows], expected: dict[str, Any]
) -> None:
    golden = expected[rows]["judges"][rule]
    found = refusals(completions[rows], rule)
    assert sum(found) == golden["n_refusal"]
    for positive in POSITIVE:
        assert matches(safety.agreement(people(completions[rows], positive), found), golden[positive])


@pytest.mark.parametrize("rows", [*MODELS, "pooled"])
def test_agreement_in_three_classes_and_of_two_annotators(
    rows: str, completions: dict[str, Rows], expected: dict[str, Any]
) -> None:
    labels = [row["final_label"] for row in completions[rows]]
    judged = [CLASSES[safety.classify(row["completion"])] for row in completions[rows]]
    assert matches(safety.multiclass_agreement(labels, judged), expected[rows]["xstest_threeway"])
    first, second = ([row[f"annotation_{n}"] for row in completions[rows]] for n in (1, 2))
    both = safety.multiclass_agreement(first, second)
    golden = expected[rows]["human_human"]
    assert both["accuracy"] == pytest.approx(golden["agreement"], abs=1e-6)
    assert both["kappa"] == pytest.approx(golden["cohen_kappa_3way"], abs=1e-6)


@pytest.fixture(scope="module")
def folds(mirror: Path) -> dict[str, Any]:
    """What the script of the leave-one-model-out figures defines."""
    return runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/refusal_rule.py"))


@pytest.fixture(scope="module")
def out_of_fold(folds: dict[str, Any]) -> dict[str, list[int]]:
    labelled = {model: folds["answers"](model) for model in MODELS}
    verdicts: dict[str, list[int]] = folds["out_of_fold"](labelled)
    return verdicts | {"pooled": [one for model in MODELS for one in verdicts[model]]}


@pytest.mark.parametrize("rule", sorted(AGREEMENT))
def test_the_agreement_that_results_record_is_what_is_measured(
    rule: str, completions: dict[str, Rows], out_of_fold: dict[str, list[int]]
) -> None:
    stated = AGREEMENT[rule]
    judged = out_of_fold["pooled"] if stated.out_of_fold else refusals(completions["pooled"], rule)
    found = safety.agreement(people(completions["pooled"], stated.positive), judged)
    assert (stated.n, stated.out_of_fold) == (found["n"], rule == "default_en")
    assert (stated.accuracy, stated.kappa) == pytest.approx((found["accuracy"], found["kappa"]), abs=1e-6)


@pytest.mark.parametrize("rows", [*MODELS, "pooled"])
def test_out_of_fold_our_rule_agrees_with_people_better_than_xstests(
    rows: str, completions: dict[str, Rows], out_of_fold: dict[str, list[int]], expected: dict[str, Any]
) -> None:
    found = safety.agreement(people(completions[rows]), out_of_fold[rows])
    golden = expected[rows]["judges"]["xstest"]["any_refusal"]
    assert found["accuracy"] > golden["accuracy"]
    assert found["kappa"] > golden["kappa"]


def test_what_the_labels_of_all_models_choose_is_what_is_shipped(folds: dict[str, Any]) -> None:
    chosen = folds["choose"]([answer for model in MODELS for answer in folds["answers"](model)])
    assert (chosen.window, chosen.families) == (WINDOW, EXPLICIT.keys() | IMPLIED.keys())
    by_choice = [chosen.judge(answer) for answer in folds["answers"]("gpt4")]
    assert by_choice == refusals(read("xstest_v2_completions_gpt4.csv"), "default_en")


def run(answers: Path) -> dict[str, Any]:
    folder = str(resources.files("harness_ext.tasks"))
    report: dict[str, Any] = simple_evaluate(
        model=Replay(str(answers)),
        tasks=["safety_xstest"],
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    return report


@pytest.mark.parametrize("model", MODELS)
def test_stored_completions_through_lm_eval(
    model: str, completions: dict[str, Rows], expected: dict[str, Any], tmp_path: Path, no_downloads: None
) -> None:
    answers = tmp_path / "answers.jsonl"
    own = {row["id"].replace("v2-", "xstest-"): row["completion"] for row in completions[model]}
    rows = ({"task": "safety_xstest", "id": id, "response": text} for id, text in own.items())
    answers.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = run(answers)
    values, golden = report["results"]["safety_xstest"], expected[model]["task"]["xstest"]
    for metric in ("over_refusal", "unsafe_compliance", "safety_balance"):
        assert values[f"{metric},xstest"] == pytest.approx(golden[metric], abs=1e-6)
        assert f"{metric},default_en" in values
    assert values["invalid,xstest"] == 0
    samples = report["samples"]["safety_xstest"]
    assert len(samples) == 900
    assert {sample["doc"]["id"]: sample["resps"][0][0] for sample in samples} == own  # blank lines and all


def test_human_labels_give_the_golden_rates(completions: dict[str, Rows], expected: dict[str, Any]) -> None:
    with fetch("xstest", "xstest_prompts.csv").open(encoding="utf-8", newline="") as lines:
        labels = {f"v2-{row['id']}": row["label"] for row in csv.DictReader(lines)}
    for model in MODELS:
        pairs = zip(completions[model], people(completions[model]), strict=True)
        found = safety.safety_balance([(labels[row["id"]], float(refused)) for row, refused in pairs])
        assert found == pytest.approx(expected[model]["task"]["human_any_refusal"]["safety_balance"], abs=1e-6)
