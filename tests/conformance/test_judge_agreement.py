"""The command against the numbers computed from XSTest's completions and human labels."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.data import fetch

MODELS = ("gpt4", "llama2orig")
RULES = ("xstest", "refdir12", "qi29", "wei_lt20", "garak_mitigation", "garak_prefixes")
GOLD = ["--gold-col", "final_label", "--gold-map"]
GOLD_MAP = "1_full_compliance=compliance,2_full_refusal=refusal,3_partial_refusal=partial"
runner = CliRunner()


@pytest.fixture(scope="module")
def files(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The released files of both models, and one with the rows of both and the model's name."""
    own = {model: fetch("xstest", f"xstest_v2_completions_{model}.csv") for model in MODELS}
    pooled = tmp_path_factory.mktemp("pooled") / "both.csv"
    rows = []
    for model, path in own.items():
        with path.open(encoding="utf-8", newline="") as lines:
            rows += [{"model": model, **row} for row in csv.DictReader(lines)]
    with pooled.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return own | {"pooled": pooled}


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content = json.loads((golden / "safety" / "xstest_dev.json").read_text(encoding="utf-8"))
    return {**content["models"], "pooled": content["pooled"]}


def measured(path: Path, tmp_path: Path, *options: str) -> dict[str, Any]:
    out = tmp_path / "agreement.json"
    done = runner.invoke(app, ["judge-agreement", "--labels", str(path), *GOLD, GOLD_MAP, *options, "--json", str(out)])
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return content


def test_the_numbers_of_the_issue(files: dict[str, Path], tmp_path: Path) -> None:
    judged = ["--text-col", "completion", "--judge", "rule:xstest", "--positive", "any_refusal"]
    found = measured(files["gpt4"], tmp_path, *judged)
    assert (round(found["overall"]["accuracy"], 4), round(found["overall"]["kappa"], 4)) == (0.9356, 0.8711)
    low, high = found["intervals"]["overall"]["accuracy"]
    assert 0.90 < low < 0.9356 < high < 0.96


@pytest.mark.parametrize("positive", ["any_refusal", "full_refusal"])
@pytest.mark.parametrize("rule", RULES)
def test_every_published_rule_for_both_models_and_pooled(
    rule: str, positive: str, files: dict[str, Path], expected: dict[str, Any], tmp_path: Path
) -> None:
    judged = ["--text-col", "completion", "--judge", f"rule:{rule}", "--positive", positive, "--by", "model"]
    found = measured(files["pooled"], tmp_path, *judged)
    assert set(found["by"]) == set(MODELS)
    for name, scores in [("pooled", found["overall"]), *found["by"].items()]:
        golden = expected[name]["judges"][rule][positive]
        assert {key: scores[key] for key in golden} == pytest.approx(golden, abs=1e-6)
        assert scores["n_invalid"] == 0


def test_agreement_in_three_classes(files: dict[str, Path], expected: dict[str, Any], tmp_path: Path) -> None:
    judged = ["--text-col", "completion", "--judge", "rule:xstest", "--positive", "any_refusal", "--by", "model"]
    found = measured(files["pooled"], tmp_path, *judged)["classes"]
    for name, scores in [("pooled", found["overall"]), *found["by"].items()]:
        golden = expected[name]["xstest_threeway"]
        assert {key: scores[key] for key in golden} == pytest.approx(golden, abs=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_refusals_by_type(model: str, files: dict[str, Path], expected: dict[str, Any], tmp_path: Path) -> None:
    judged = ["--text-col", "completion", "--judge", "rule:xstest", "--positive", "any_refusal", "--by", "type"]
    found = measured(files[model], tmp_path, *judged)["by"]
    with files[model].open(encoding="utf-8", newline="") as lines:
        people = Counter(row["type"] for row in csv.DictReader(lines) if row["final_label"] != "1_full_compliance")
    golden = expected[model]["per_type"]
    assert len(golden) == 18
    assert {name: own["xstest_refusals"] for name, own in golden.items()} == {
        name: scores["tp"] + scores["fp"] for name, scores in found.items()
    }
    assert {name: scores["tp"] + scores["fn"] for name, scores in found.items()} == {
        name: people[name] for name in golden
    }
    assert any(scores["kappa"] is None for scores in found.values())  # all refused, and people agree


@pytest.mark.parametrize("model", MODELS)
def test_labels_that_the_authors_stored(model: str, expected: dict[str, Any], mirror: Path, tmp_path: Path) -> None:
    streval = fetch("xstest", f"xstest_v2_completions_{model}_streval.csv")
    gpteval = fetch("xstest", f"xstest_v2_completions_{model}_gpteval.csv")
    by_rule = measured(streval, tmp_path, "--pred-col", "strmatch_label", "--positive", "any_refusal")
    golden = expected[model]["judges"]["xstest"]["any_refusal"]
    assert {key: by_rule["overall"][key] for key in golden} == pytest.approx(golden, abs=1e-6)
    for parser in ([], ["--pred-parser", "xstest_3class"]):
        found = measured(gpteval, tmp_path, "--pred-col", "gpt4_label", "--positive", "full_refusal", *parser)
        stored = expected[model]["judges"]["gpt4_stored"]
        for golden, scores in (
            (stored["full_refusal_excluding_invalid"], found["overall"]),
            (stored["threeway_excluding_invalid"], found["classes"]["overall"]),
        ):
            assert {key: scores[key] for key in golden} == pytest.approx(golden, abs=1e-6)


def test_our_own_rule_is_said_to_be_made_with_a_look_at_these_rows(files: dict[str, Path], tmp_path: Path) -> None:
    options = ["--text-col", "completion", "--judge", "rule:default_en", "--positive", "any_refusal"]
    (note,) = measured(files["gpt4"], tmp_path, *options)["notes"]
    assert "XSTest completions of gpt4 and llama2orig" in note
    assert "in-sample" in note
    assert "Out of fold: accuracy 0.941, κ 0.870" in note
