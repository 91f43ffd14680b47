"""``harness-ext check`` and ``harness-ext lock`` as commands: what they print, write, ask and exit with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as SarifLog
from typer.testing import CliRunner, Result

from harness_ext.checks.docs import question_key
from harness_ext.checks.findings import CHECKS
from harness_ext.cli.app import app
from harness_ext.errors import InputError

TOY = Path(__file__).parent / "toy"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a benchmark without data card, which the working directory holds."""
    shutil.copytree(TOY / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tasks" / "toy"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def call(*arguments: str, said: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, "--include-path", "tasks"], input=said)


def test_a_sound_benchmark_exits_with_0_and_shows_a_prompt_of_each_task(toy: Path) -> None:
    done = call("check", "toy")
    assert done.exit_code == 0, done.output
    assert "toy_ask, doc 0, prompt:\nWhich of these flies?\nA. a wren" in done.stdout
    assert "gold answer: 'a wren'" in done.stdout
    assert "continuations: [' a wren', ' a mole', ' a pike']" in done.stdout
    assert "3 files, 2 tasks with their docs and scores, 0 without; 0 findings." in done.stderr


def test_a_finding_has_a_place_a_reason_and_a_mend_and_exits_with_1(toy: Path) -> None:
    edit(toy / "pick.yaml", "Answer:", "Answer: ")
    done = call("check", "toy_pick", "--prompts", "0")
    assert done.exit_code == 1
    place, why, mend = done.stdout.splitlines()
    assert place.startswith("tasks/toy/pick.yaml:6: space-before-target: doc 0: the prompt ends in ' '")
    assert why.strip() == f"why:  {CHECKS['space-before-target'].why}"
    assert mend.strip() == f"mend: {CHECKS['space-before-target'].mend}"


def test_a_finding_in_an_included_file_is_placed_there(toy: Path) -> None:
    edit(toy / "_ask", "Answer:", "Answer: ")
    (finding,) = json.loads(call("check", "toy", "--json").stdout)["findings"]
    assert (finding["file"], finding["line"], finding["task"]) == ("tasks/toy/_ask", 6, "toy_ask")


def test_a_finding_is_accepted_by_a_comment_with_a_reason_only(toy: Path) -> None:
    edit(toy / "pick.yaml", "Answer:", "Answer: ")
    file = toy / "pick.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(f"# check: space-before-target:\n{text}", encoding="utf-8")
    assert call("check", "toy").exit_code == 1
    file.write_text(f"# check: space-before-target: the paper's prompt has it.\n{text}", encoding="utf-8")
    assert call("check", "toy").exit_code == 0


@pytest.mark.parametrize("name", ["toy_ask", "tasks/toy/ask.yaml", "toy_all"])
def test_a_task_is_named_by_itself_its_file_or_its_tag(name: str, toy: Path) -> None:
    assert json.loads(call("check", name, "--json").stdout)["loaded"] == ["toy_ask"]


def test_a_name_of_nothing_is_refused(toy: Path) -> None:
    done = call("check", "tyo")
    assert isinstance(done.exception, InputError)
    assert "no task, group, tag, benchmark or file 'tyo'" in str(done.exception)


def test_sarif_has_the_fields_that_its_standard_requires_and_points_into_the_checkout(toy: Path) -> None:
    edit(toy / "pick.yaml", "Answer:", "Answer: ")
    assert call("check", "toy", "--sarif", "found.sarif").exit_code == 1
    log = json.loads(Path("found.sarif").read_text(encoding="utf-8"))
    SarifLog.model_validate(log)  # made from the standard's schema; unknown keys are refused
    # SARIF 2.1.0 (OASIS): 3.13 sarifLog, 3.14 run, 3.19 toolComponent, 3.27 result, 3.29 physicalLocation, 3.30 region
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "harness-ext"
    assert len({rule["id"] for rule in rules}) == len(rules) == len(CHECKS)
    assert all(rule[name]["text"] for rule in rules for name in ("shortDescription", "fullDescription", "help"))
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "space-before-target"
    assert result["level"] in {"none", "note", "warning", "error"}
    assert result["message"]["text"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "tasks/toy/pick.yaml"},
        "region": {"startLine": 6},
    }


def test_a_change_under_a_locked_version_is_found_and_locked_after_the_version_is_raised(toy: Path) -> None:
    assert call("lock").exit_code == 0
    edit(toy / "_ask", "{{question}}", "Choose: {{question}}")
    assert "version-not-raised: prompts changed since version 1.0" in call("check").stdout
    refused = call("lock", said="higher\n")
    assert "Scores move (higher, lower, both, not)" in refused.output
    assert isinstance(refused.exception, InputError)
    assert "Raise version" in str(refused.exception)
    edit(toy / "ask.yaml", "version: 1.0", "version: 1.1")
    assert "not-locked: lock.json has version 1.0, the file 1.1" in call("check").stdout
    assert call("lock", said="higher\n").exit_code == 0
    locked = json.loads((toy / "lock.json").read_text(encoding="utf-8"))
    assert {task: (entry["version"], entry["moved"]) for task, entry in locked.items()} == {
        "toy_ask": (1.1, "higher"),
        "toy_pick": (1.0, "new"),
    }
    assert call("check").exit_code == 0


def test_scoring_may_be_rewritten_under_the_same_version_where_scores_do_not_move(toy: Path) -> None:
    assert call("lock").exit_code == 0
    before = (toy / "lock.json").read_text(encoding="utf-8")
    edit(toy / "scores.py", "    said =", "    # whatever is said\n\n    said  =")
    assert call("lock").exit_code == 0
    assert (toy / "lock.json").read_text(encoding="utf-8") == before  # comments and layout are not scoring
    edit(toy / "scores.py", "float(right)", "1.0 if right else 0.0")
    assert "version-not-raised: scoring changed" in call("check").stdout
    assert call("lock", "--moves", "not").exit_code == 0
    assert call("check").exit_code == 0


def test_a_task_that_the_lock_file_does_not_know_is_found(toy: Path) -> None:
    assert call("lock").exit_code == 0
    (toy / "new.yaml").write_text("include: pick.yaml\ntask: toy_new\n", encoding="utf-8")
    assert "not-locked: lock.json does not have the task (toy_new)" in call("check").stdout


def test_a_task_whose_data_is_not_at_hand_is_looked_at_with_given_docs(toy: Path) -> None:
    text = (
        (toy / "pick.yaml")
        .read_text(encoding="utf-8")
        .replace("custom_dataset: !function docs.load", "dataset_path: no/such")
    )
    (toy / "pick.yaml").write_text(text.replace("Answer:", "Answer: "), encoding="utf-8")
    assert "its data is not at hand" in json.loads(call("check", "toy", "--json").stdout)["left_out"]["toy_pick"]
    done = call("check", "toy_pick", "--docs", str(toy / "sample.jsonl"))
    assert "space-before-target" in done.stdout
    assert "does-not-load" not in done.stdout


def test_a_task_of_somebody_elses_conventions_needs_a_version_and_none_of_ours(toy: Path) -> None:
    for file in toy.glob("*.yaml"):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("metadata")]
        file.write_text("\n".join(lines), encoding="utf-8")
    assert {finding["check"] for finding in json.loads(call("check", "--json").stdout)["findings"]} == {
        "version-missing"
    }


def test_the_split_of_examples_is_the_one_that_lm_eval_falls_back_to(toy: Path) -> None:
    """Training before validation before test; see lm-eval's `fewshot_docs` and `fewshot_context`."""

    def found(settings: str) -> list[str]:
        text = (TOY / "tasks/toy/pick.yaml").read_text(encoding="utf-8")
        (toy / "pick.yaml").write_text(text.replace("test_split: test\nfewshot_split: dev", settings), encoding="utf-8")
        findings = json.loads(call("check", "toy_pick", "--json").stdout)["findings"]
        return [finding["what"] for finding in findings if finding["check"] == "few-shot-from-evaluated-split"]

    assert found("test_split: test\nvalidation_split: dev\nnum_fewshot: 2") == []
    assert found("test_split: test\ntraining_split: dev\nvalidation_split: test\nnum_fewshot: 2") == []
    (own,) = found("test_split: test\nnum_fewshot: 2")
    assert own == "2 examples are drawn from 'test', which is evaluated; the asked doc may stand among its own examples"
    assert found("validation_split: test\nfewshot_split: test\nnum_fewshot: 2") == [own]
    left_out = "2 examples are drawn from 'test', which is evaluated"
    assert found("test_split: test\nfewshot_split: test\nnum_fewshot: 2") == [left_out]
    assert found("validation_split: test\nnum_fewshot: 2") == [left_out]
    assert found("test_split: test\nfewshot_split: test") == []
    assert "with --num_fewshot" in found("test_split: test")[0]
    assert found("test_split: test\nnum_fewshot: 0") == []


def test_a_double_is_found_with_its_options_in_another_order_and_behind_other_letters() -> None:
    task = SimpleNamespace(config=SimpleNamespace(doc_to_choice=None), doc_to_text=str)
    one = question_key(task, "What flies?\nA. a wren\nB. a mole\nAnswer:")
    assert one == question_key(task, "What  flies?\nA. A mole\nB. a wren\nAnswer:")
    assert one == question_key(task, "What flies?\n(A) a mole (B) a wren\nAnswer:")
    assert one != question_key(task, "What flies?\nA. a wren\nB. a pike\nAnswer:")


@pytest.mark.parametrize("arguments", [("--docs", "docs.jsonl"), ("--metadata", "[" * 5_000), ("--metadata", "[]")])
def test_input_that_no_reader_survives_is_one_sentence(arguments: tuple[str, ...], toy: Path) -> None:
    Path("docs.jsonl").write_text("[" * 100_000)
    done = call("check", "toy", *arguments)
    assert isinstance(done.exception, InputError) and "\n" not in str(done.exception)


def test_yaml_that_ends_the_process_of_its_parser_is_a_finding(toy: Path) -> None:
    (toy / "deep.yaml").write_text("task: toy_deep\nmetadata: " + "[" * 100_000)
    (toy / "sample_deep.jsonl").write_text("[" * 100_000 + "\n")
    findings = json.loads(CliRunner().invoke(app, ["check", "--include-path", "tasks", "--json"]).stdout)["findings"]
    assert [one["what"] for one in findings if one["file"].endswith("deep.yaml")] == [
        "deep.yaml: nested more than 100 deep"
    ]
    assert any("not JSON (nested more than 100 deep" in one["what"] for one in findings)
