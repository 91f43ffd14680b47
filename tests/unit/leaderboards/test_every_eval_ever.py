"""Records of Every Eval Ever: what the field's converter leaves open is taken from task and samples, or refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.scoring.soft_labels import agg_s_rmse

runner = CliRunner()


def nanmean(items: Any) -> float:
    return float(np.nanmean(items))


Change = Callable[[dict[str, Any]], object]


def changed(folder: Path, change: Change) -> Path:
    """The run with another results file."""
    (file,) = folder.glob("results_*")
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return folder


def export(folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records and sample rows; their form is looked at by tests/e2e/test_export.py."""
    out = folder.parent / "exported"
    command = ["export", str(folder), "--to", "every-eval-ever", "--organization", "lab", "-o", str(out), *arguments]
    done = runner.invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    records = [json.loads(file.read_text()) for file in sorted(out.rglob("*.json"))]
    rows = [json.loads(line) for file in sorted(out.rglob("*.jsonl")) for line in file.read_text().splitlines()]
    return records, rows


def only(records: list[dict[str, Any]], metric: str = "acc") -> dict[str, Any]:
    """The one result of a metric."""
    (found,) = [
        own for one in records for own in one["evaluation_results"] if own["metric_config"]["metric_name"] == metric
    ]
    return found


def test_n_is_the_number_of_docs_that_entered_this_metric(write_run: Any) -> None:
    samples = [{"acc": 1.0, "f": 1.0}, {"acc": math.nan, "f": 0.0}, {"acc": 0.0, "f": 1.0}]
    records, rows = export(write_run("m", samples, aggregations={"acc": nanmean, "f": nanmean}))
    assert only(records)["score_details"]["uncertainty"]["num_samples"] == 2
    assert only(records, "f")["score_details"]["uncertainty"]["num_samples"] == 3
    assert [row["sample_id"] for row in rows if "/acc/" in row["evaluation_result_id"]] == ["d0", "d2"]


def test_without_samples_nobody_knows_n_and_none_is_said(write_run: Any) -> None:
    folder = write_run("m", [{}, {}])
    for file in folder.glob("samples_*"):
        file.unlink()
    records, rows = export(folder)
    assert rows == [] and "detailed_evaluation_results" not in records[0]
    assert "uncertainty" not in only(records)["score_details"]
    assert only(records)["score_details"]["details"]["docs_of_the_task"] == "2"


@pytest.mark.parametrize("higher", [True, False])
def test_the_direction_is_the_tasks_and_turns_what_is_correct(write_run: Any, higher: bool) -> None:
    def told(content: dict[str, Any]) -> None:
        content["higher_is_better"]["toy"]["acc"] = higher

    records, rows = export(changed(write_run("m", [{"acc": 1.0}, {"acc": 0.0}]), told))
    assert only(records)["metric_config"]["lower_is_better"] is not higher
    assert [row["evaluation"]["is_correct"] for row in rows] == [higher, not higher]
    assert f"is {int(higher)}, the best" in only(records)["metric_config"]["additional_details"]["is_correct"]


def test_an_interval_is_exported_as_tables_print_it(write_run: Any) -> None:
    folder = write_run("m", [{"acc": float(number % 3 == 0)} for number in range(30)])
    records, _ = export(folder)
    table = runner.invoke(app, ["table", str(folder), "--format", "csv"]).stdout.splitlines()
    row = dict(zip(table[0].split(","), table[1].split(","), strict=False))
    interval = only(records)["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == (float(row["low"]), float(row["high"]))
    assert interval["lower"] < 1 / 3 < interval["upper"] and interval["confidence_level"] == 0.95


def test_soft_labels_score_their_distance_and_are_correct_only_where_they_are_equal(write_run: Any) -> None:
    samples = [{"s_rmse": [0.25, 0.75]}, {"s_rmse": [0.5, 0.5]}]
    _, rows = export(write_run("m", samples, aggregations={"s_rmse": agg_s_rmse}))
    assert [row["evaluation"] for row in rows] == [
        {"score": 0.5, "is_correct": False},
        {"score": 0.0, "is_correct": True},
    ]


def test_values_that_do_not_say_when_a_doc_is_right_give_no_sample_rows(write_run: Any) -> None:
    records, rows = export(write_run("m", [{"acc": 3.5}, {"acc": 80.0}]))
    assert rows == []
    assert "no sample rows" in only(records)["metric_config"]["additional_details"]["is_correct"]


def test_a_dialogue_is_exported_with_all_its_turns(write_run: Any) -> None:
    doc = {"id": "town", "turns": ["Name a town.", {"user": "Is {{answer_1}} a capital?"}]}
    sample = {"doc": doc, "resps": [[json.dumps(["Oslo", "Yes."])]], "parse": "Yes.", "prompt": "Name a town."}
    _, (row,) = export(write_run("m", [sample]))
    assert row["interaction_type"] == "multi_turn" and "output" not in row
    said = [(message["role"], message["content"]) for message in row["messages"]]
    assert said == [
        ("user", "Name a town."),
        ("assistant", "Oslo"),
        ("user", "Is Oslo a capital?"),
        ("assistant", "Yes."),
    ]
    assert row["evaluation"]["num_turns"] == 2
    assert row["answer_attribution"][0]["source"] == "messages[3].content"


def judged(*judges: dict[str, Any]) -> Change:
    """The metric as one that judges give."""

    def change(content: dict[str, Any]) -> None:
        config = content["configs"]["toy"]
        config["filter_list"] = [{"name": "none", "filter": [{"function": "j", "judge": own} for own in judges]}]

    return change


LLM = {
    "judge": "mine",
    "model": "org/judge",
    "prompt": {"name": "harm", "sha256": "0f"},
    "decoding": {"temperature": 0},
}


def judged_run(write_run: Any, *judges: dict[str, Any]) -> Path:
    return changed(
        write_run("m", [{"attack_success": 1.0}, {"attack_success": 0.0}], aggregations={"attack_success": nanmean}),
        judged(*judges),
    )


def test_a_judging_model_is_named_with_its_prompt_and_a_rule_among_the_details(write_run: Any) -> None:
    records, _ = export(judged_run(write_run, LLM))
    scoring = only(records, "attack_success")["metric_config"]["llm_scoring"]
    assert scoring["judges"][0]["model_info"]["id"] == "org/judge" and scoring["judges"][0]["temperature"] == 0
    assert json.loads(scoring["input_prompt"]) == LLM["prompt"] and "aggregation_method" not in scoring
    assert "mine" in only(records, "attack_success")["metric_config"]["additional_details"]["judge"]


def test_several_judges_state_the_rule_that_combines_them_or_are_refused(write_run: Any) -> None:
    both = [LLM | {"combined_by": "majority_vote"}, LLM | {"judge": "other", "model": "org/other"}]
    records, _ = export(judged_run(write_run, *both))
    scoring = only(records, "attack_success")["metric_config"]["llm_scoring"]
    assert len(scoring["judges"]) == 2 and scoring["aggregation_method"] == "majority_vote"
    refused = export_error(judged_run(write_run, LLM, both[1]))
    assert "toy: attack_success of several judges with no rule" in refused


def export_error(folder: Path, *more: Path) -> str:
    out = folder.parent / "refused"
    paths = [str(path) for path in (folder, *more)]
    done = runner.invoke(app, ["export", *paths, "--to", "every-eval-ever", "--organization", "lab", "-o", str(out)])
    assert done.exit_code != 0 and not list(out.rglob("*")), "something was written"
    return re.sub(r"\s+", " ", str(done.exception))


def test_one_task_that_cannot_be_exported_fails_the_export_by_name(write_run: Any) -> None:
    def without_direction(content: dict[str, Any]) -> None:
        content["higher_is_better"] = {"other": {"acc": None}}

    good, bad = write_run("m", [{}]), changed(write_run("m", [{}], task="other"), without_direction)
    assert "other: of none of its metrics the task states a direction" in export_error(good, bad)


def test_a_broken_file_fails_the_export_by_name(write_run: Any) -> None:
    folder = write_run("m", [{}])
    (file,) = folder.glob("samples_*")
    file.write_text(file.read_text()[:-9])
    assert f"{file} could not be used" in export_error(folder)


def test_numbers_without_a_place_in_the_schema_are_named_in_the_record(write_run: Any) -> None:
    def described(content: dict[str, Any]) -> None:
        content["higher_is_better"]["toy"]["bias"] = None
        content["results"]["toy"]["acc,none"] = "N/A"

    samples = [{"acc": 1.0, "bias": 0.1, "f": 1.0}]
    folder = write_run("m", samples, aggregations={"acc": nanmean, "bias": nanmean, "f": nanmean})
    records, _ = export(changed(folder, described))
    assert [own["metric_config"]["metric_name"] for own in records[0]["evaluation_results"]] == ["f"]
    told = records[0]["source_metadata"]["additional_details"]["left_out"]
    assert "bias: neither higher nor lower" in told and "acc,none of toy: undefined" in told


def test_samples_of_personal_sources_are_exported_only_when_asked(write_run: Any) -> None:
    folder = write_run("m", [{"answer": "a private post"}], metadata={"source": "mbtibench"})
    _, rows = export(folder)
    assert rows == []
    _, rows = export(folder, "--show-samples")
    assert rows[0]["output"]["raw"] == ["a private post"]


def test_exporting_again_replaces_the_record(write_run: Any) -> None:
    folder = write_run("org/m", [{}])
    export(folder)
    records, _ = export(folder)
    assert [one["model_info"]["id"] for one in records] == ["org/m"]


def test_a_record_says_where_its_samples_are_and_their_checksum(write_run: Any) -> None:
    import hashlib

    folder = write_run("../..", [{}, {}])
    records, rows = export(folder)
    told = records[0]["detailed_evaluation_results"]
    file = folder.parent / "exported" / told["file_path"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == told["checksum"] and told["total_rows"] == len(rows) == 2
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "exported"}  # no name leads elsewhere


def test_tsv_has_question_options_answer_and_prediction(write_run: Any) -> None:
    import csv

    arguments = {
        f"gen_args_{at}": {"arg_0": "Sky\tor sea?", "arg_1": f" {name}"} for at, name in enumerate(("blue", "red"))
    }
    sample = {"arguments": arguments, "resps": [[["-1", "False"]], [["-2", "False"]]], "gold": "1"}
    folder = write_run("=m", [sample | {"filtered_resps": [["-1", "False"], ["-2", "False"]]}])
    out = folder.parent / "tsv"
    assert runner.invoke(app, ["export", str(folder), "--to", "tsv", "-o", str(out)]).exit_code == 0
    (file,) = out.iterdir()
    with file.open() as lines:
        (row,) = csv.DictReader(lines, delimiter="\t")
    assert row == {
        "index": "0", "question": "Sky\tor sea?", "A": "blue", "B": "red", "answer": "red", "prediction": "blue"
    }  # fmt: skip
