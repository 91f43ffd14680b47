"""Retention needs the same leaves before and after, and names the base run."""

import io

import pytest
from rich.console import Console

from harness_ext.errors import InputError
from harness_ext.leaderboards import markdown, terminal
from harness_ext.leaderboards.build import with_base
from harness_ext.leaderboards.table import Table
from harness_ext.results.reading.frame import Row, to_frame, to_rows
from harness_ext.tasks.eibench_gi.table import build


def run(model: str, scores: dict[str, float], **changes: object) -> list[Row]:
    known = {"origin": "measured", "bench": "eibench_gi", "run": f"{model}.json", "run_hash": f"{model}hash"}
    return [
        Row.model_validate(
            {**known, "model": model, "task": f"eibench_gi_{part}", "part": part, "metric": "gi_score", "value": value}
            | {"n": 100, "n_total": 100, "higher_is_better": True}
            | changes
        )
        for part, value in scores.items()
    ]


BEFORE = {"boolq": 71.2, "rte": 60.0, "sciq": 55.5}
AFTER = {"boolq": 69.0, "rte": 61.5, "sciq": 40.25}


def shown(table: Table) -> dict[str, str]:
    return {column.name: cell.text for column, cell in zip(table.columns, table.rows[0], strict=True)}


def test_retention_is_shown_with_its_worst_leaf_and_the_hash_of_the_base_run() -> None:
    kept, leaves = build([*run("base", BEFORE), *run("tuned", AFTER, method="moei", base="base")])
    assert shown(kept) == {
        "Model": "tuned (moei of base)",
        "Base model": "base",
        "gi_before": "62.23",
        "gi_after": "56.92",
        "gi_retention": "0.915",
        "gi_delta": "-5.32",
        "Worst leaf": "sciq (-15.25)",
        "Leaves": "3",
        "n": "100",
    }
    assert any("base.json (sha256 basehash)" in note for note in kept.notes)
    assert len(leaves.rows) == 6


def test_leaves_on_one_side_only_are_named_and_nothing_is_averaged_unless_asked() -> None:
    rows = [*run("base", BEFORE), *run("tuned", {"boolq": 69.0, "cb": 50.0}, method="moei", base="base")]
    refused, _ = build(rows)
    assert refused.rows == ()
    terminal.show([refused], Console(file=io.StringIO(), width=80))
    assert "Worst leaf" in markdown.render([refused])
    assert any("rte, sciq, cb" in note for note in refused.notes)
    asked, _ = build(rows, partial=True)
    assert shown(asked)["gi_before"] == "71.20"
    assert any("left out: rte, sciq, cb" in note for note in asked.notes)


def test_leaves_over_other_docs_do_not_count() -> None:
    rows = [*run("base", BEFORE), *run("tuned", AFTER, method="moei", base="base", n=20)]
    (only,) = build(rows)
    assert only.title == "EiBench-R: general ability"


def test_affect_is_no_general_ability() -> None:
    before, after = BEFORE | {"sst2": 90.0}, AFTER | {"sst2": 10.0}
    kept, _ = build([*run("base", before), *run("tuned", after, method="moei", base="base")])
    assert shown(kept)["gi_before"] == "62.23"


def test_without_a_base_model_there_is_no_retention() -> None:
    (only,) = build([*run("base", BEFORE), *run("tuned", AFTER)])
    assert only.title == "EiBench-R: general ability"


def test_a_base_model_can_be_given_for_runs_that_name_none() -> None:
    frame = to_frame([*run("base", BEFORE), *run("tuned", AFTER), *run("other", AFTER, method="x", base="elsewhere")])
    named = to_rows(with_base(frame, "base"))
    assert {(row.model, row.base) for row in named} == {("base", ""), ("tuned", "base"), ("other", "elsewhere")}
    kept, _ = build(named)
    assert shown(kept)["Model"] == "tuned"
    with pytest.raises(InputError, match=r"base, other \(x of elsewhere\), tuned"):
        with_base(frame, "gone")
