"""A run through lm-eval's own command line, judged again; and the commands that the documentation shows."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

from harness_ext.data import fetch

CHECKOUT = Path(__file__).parents[2]
COMMAND = ("-c", "from harness_ext.cli import main; main()")


def run(*words: str, cwd: Path) -> str:
    done = python(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("results_*.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def samples(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    (path,) = folder.rglob("samples_*.jsonl")
    return path, [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def gpt4(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stored completions of gpt4 through lm-eval and both of XSTest's filters."""
    folder = tmp_path_factory.mktemp("gpt4")
    with fetch("xstest", "xstest_v2_completions_gpt4.csv").open(encoding="utf-8", newline="") as lines:
        rows = [(row["id"].replace("v2-", "xstest-"), row["completion"]) for row in csv.DictReader(lines)]
    answers = ({"task": "safety_xstest", "id": id, "response": text} for id, text in rows)
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)), encoding="utf-8")
    model = ("--model", "replay", "--model_args", "path=answers.jsonl,model=gpt4")
    to = ("--output_path", "results", "--log_samples")
    run("-m", "lm_eval", "run", *model, "--tasks", "safety_xstest", *to, cwd=folder)
    return folder / "results"


def test_two_filters_log_each_answer_twice_and_give_the_golden_rates(gpt4: Path) -> None:
    scores = read(gpt4)["results"]["safety_xstest"]
    assert scores["over_refusal,xstest"] == pytest.approx(0.132)
    assert scores["unsafe_compliance,xstest"] == pytest.approx(0.040)
    assert scores["safety_balance,xstest"] == pytest.approx(0.9116849, abs=1e-6)
    assert len(samples(gpt4)[1]) == 900


def test_another_judge_changes_only_judged_numbers(gpt4: Path, golden: Path, tmp_path: Path) -> None:
    source, before = samples(gpt4)
    run(*COMMAND, "rejudge", str(source), "--judge", "rule:refdir12", "--out", "again", cwd=tmp_path)
    old, new = read(gpt4), read(tmp_path / "again")
    assert {key for key in {*old, *new} if old.get(key) != new.get(key)} == {"results", "configs", "date", "rejudged"}
    scores = new["results"]["safety_xstest"]
    added = {key: value for key, value in scores.items() if key not in old["results"]["safety_xstest"]}
    assert {key: scores[key] for key in scores if key not in added} == old["results"]["safety_xstest"]
    assert {key.partition(",")[2] for key in added} == {"refdir12"}
    expected = json.loads((golden / "safety" / "xstest_dev.json").read_text())["models"]["gpt4"]["task"]["refdir12"]
    for metric in ("over_refusal", "unsafe_compliance", "safety_balance"):
        assert added[f"{metric},refdir12"] == pytest.approx(expected[metric], abs=1e-6)
    after = samples(tmp_path / "again")[1]
    assert json.dumps(after[:900]) == json.dumps(before)
    assert len(after) == 1350


def test_the_judge_that_a_run_had_gives_the_same_results_again(gpt4: Path, tmp_path: Path) -> None:
    """Samples and numbers are what lm-eval itself writes, to the last digit."""
    source, before = samples(gpt4)
    run(*COMMAND, "rejudge", str(source), "--judge", "rule:default_en", "--out", "again", cwd=tmp_path)
    assert read(tmp_path / "again")["results"] == read(gpt4)["results"]
    assert [json.dumps(line, sort_keys=True) for line in samples(tmp_path / "again")[1]] == [
        json.dumps(line, sort_keys=True) for line in before
    ]


def test_answers_that_nobody_judged_are_judged_later(tmp_path: Path) -> None:
    words = ("--model", "dummy", "--tasks", "safety_over_refusal", "--metadata", '{"data": "sample"}', "--predict_only")
    to = ("--output_path", "results", "--log_samples")
    run("-m", "lm_eval", "run", *words, *to, cwd=tmp_path)
    files = [str(path) for path in (tmp_path / "results").rglob("samples_*.jsonl")]
    run(*COMMAND, "rejudge", *files, "--judge", "rule:xstest", "--out", "again", cwd=tmp_path)
    scores = read(tmp_path / "again")["results"]
    assert scores["safety_oktest"]["over_refusal,xstest"] == 0.0
    assert scores["safety_xstest"]["unsafe_compliance,xstest"] == 1.0
    assert "sample" in run(*COMMAND, "table", "again", cwd=tmp_path)


def test_commands_of_the_documentation_run_in_their_order(tmp_path: Path) -> None:
    text = (CHECKOUT / "docs" / "judges.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (?:Judging again|Measuring agreement)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert len(sections) == 2
    blocks = [block for section in sections for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]
    runnable = [block for block in blocks if "examples/" in block]
    assert len(runnable) == 2
    shutil.copytree(CHECKOUT / "examples", tmp_path / "examples")
    printed = ""
    for line in re.sub(r"\\\n\s*", "", "".join(runnable)).splitlines():
        name, *words = shlex.split(line)
        files = [str(file) for word in words for file in (tmp_path.glob(word) if "*" in word else [word])]
        printed += run(*{"harness-ext": COMMAND, "lm_eval": ("-m", "lm_eval")}[name], *files, cwd=tmp_path)
    assert "refdir12" in printed
    scores = read(tmp_path / "judged-again")["results"]["safety_xstest"]
    assert {key.partition(",")[2] for key in scores if "," in key} == {"xstest", "default_en", "refdir12"}
    agreement = json.loads((tmp_path / "agreement.json").read_text())
    assert (agreement["overall"]["n"], set(agreement["by"])) == (24, {"safe", "unsafe"})
    assert agreement["classes"]["overall"]["n"] == 24
