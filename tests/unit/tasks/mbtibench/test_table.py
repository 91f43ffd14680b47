"""The MBTIBench table never praises a model that did not answer."""

import math
from pathlib import Path

import pytest

from harness_ext.leaderboards.build import tables, with_published
from harness_ext.leaderboards.table import Cell, Table
from harness_ext.results.published.tables import load
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.runs import read
from harness_ext.tasks.mbtibench.table import DIMENSIONS, build

DUMMY = Path(__file__).parents[2] / "results" / "table_results" / "mbtibench_dummy"
CONSTANT = to_rows(load("baselines", "mbtibench"))


def run(model: str, s_rmse: float, variant: str = "zero_shot", **changes: object) -> list[Row]:
    values = {"s_rmse": s_rmse, "s_mae": s_rmse - 0.4, "parse_failure": 0.0, "spearman": 0.3, "s_rmse_worst": s_rmse}
    known = {"origin": "measured", "model": model, "bench": "mbtibench", "variant": variant, "n": 286, "n_total": 286}
    return [
        Row.model_validate(
            {**known, "task": f"mbtibench_{variant}", "part": part, "metric": metric, "value": value}
            | {name: change for name, change in changes.items() if name not in values}
            | ({"value": changes[metric]} if metric in changes else {})
        )
        for part in DIMENSIONS
        for metric, value in values.items()
    ]


def cells(table: Table, model: str) -> dict[str, Cell]:
    line = next(line for line in table.rows if line[0].text == model)
    return {column.name: cell for column, cell in zip(table.columns, line, strict=True)}


def test_a_model_that_never_answers_does_not_beat_the_constant_and_is_never_bold() -> None:
    (table,) = tables(with_published(read([DUMMY]).frame))
    dummy = cells(table, "dummy")
    assert [dummy[dimension].text for dimension in DIMENSIONS] == ["2.66/2.29", "2.70/2.31", "2.82/2.43", "3.04/2.59"]
    assert dummy["Mean"].text == "2.80/2.40"
    assert dummy["Beats constant"].text == "no (+0.000)"
    assert dummy["Parse failure"].text == "100.0 %"
    assert dummy["Spearman"].text == "undefined"
    assert dummy["S-RMSE worst"].value > 6
    assert not any(cell.best for cell in dummy.values())
    assert any("dummy" in note and "does not beat the constant" in note for note in table.notes)


def test_the_best_trusted_row_is_bold() -> None:
    (table,) = build([*CONSTANT, *run("a", 2.4), *run("b", 2.5)])
    assert cells(table, "a")["Mean"].best
    assert not cells(table, "b")["Mean"].best


@pytest.mark.parametrize(
    "changes",
    [
        {"parse_failure": 0.06},
        {"spearman": math.nan},
        {"n": 40},
    ],
    ids=["unparsed", "constant", "limited"],
)
def test_a_row_that_cannot_be_trusted_is_never_bold(changes: dict[str, float]) -> None:
    (table,) = build([*CONSTANT, *run("a", 2.4, **changes), *run("b", 2.6), *run("c", 2.65)])
    assert not any(cell.best for cell in cells(table, "a").values())
    assert cells(table, "b")["Mean"].best


def test_nothing_is_bold_when_nothing_beats_the_constant() -> None:
    (table,) = build([*CONSTANT, *run("a", 3.1), *run("b", 3.2)])
    assert not any(cell.best for line in table.rows for cell in line)


def test_published_and_trivial_rows_are_never_bold() -> None:
    (table,) = build([*CONSTANT, *to_rows(load("published", "mbtibench")), *run("a", 2.4), *run("b", 2.5)])
    sources = {cell.text for line in table.rows for cell in line if cell.best for cell in line[1:2]}
    assert sources == {"measured"}
    assert cells(table, "gpt-4o-mini")["Beats constant"].text == "yes (-0.048)"


def test_the_worst_case_stands_beside_rows_that_failed_to_answer() -> None:
    (table,) = build([*CONSTANT, *run("a", 2.4, parse_failure=0.5, s_rmse_worst=5.0), *run("b", 2.5)])
    assert cells(table, "a")["S-RMSE worst"].text == "5.00"
    assert cells(table, "b")["S-RMSE worst"].text == "–"


def test_a_limited_run_has_no_difference_to_the_constant() -> None:
    (table,) = build([*CONSTANT, *run("a", 2.4, n=40)])
    assert cells(table, "a")["Beats constant"].text == "–"
    assert "first 40 of 286 docs" in cells(table, "a")["Setting"].text


def test_a_missing_dimension_leaves_the_mean_empty() -> None:
    (table,) = build([*CONSTANT, *(row for row in run("a", 2.4) if row.part != "J/P")])
    assert cells(table, "a")["Mean"].text == "–"


def test_variants_are_ranked_within_their_model() -> None:
    rows = [*CONSTANT, *run("a", 2.4), *run("a", 2.5, "few_shot"), *run("b", 2.6)]
    (table,) = build(rows)
    rank = [column.name for column in table.columns].index("Rank")
    ranks = {(line[0].text, line[2].text): line[rank].text for line in table.rows if line[1].text == "measured"}
    assert ranks == {("a", "zero_shot"): "1.00", ("a", "few_shot"): "2.00", ("b", "zero_shot"): "–"}


def test_sample_data_never_meets_published_numbers() -> None:
    sample = run("a", 2.0, data="sample")
    benchmark, apart = build([*CONSTANT, *run("a", 2.4), *run("b", 2.5), *sample])
    assert len([line for line in benchmark.rows if line[1].text == "measured"]) == 2
    assert [line[1].text for line in apart.rows] == ["measured"]
    assert "no benchmark scores" in apart.title
    assert not any(cell.best for line in apart.rows for cell in line)
    (only,) = build([*sample, *CONSTANT][: len(sample)])
    assert only.kind == "sample"


def test_tasks_without_soft_labels_get_a_table_of_their_own() -> None:
    hard = [
        Row(origin="measured", model="a", bench="mbtibench", variant="hard_zero_shot", task="t", metric="f1", value=1.0)
    ]
    first, second = build([*CONSTANT, *run("a", 2.4), *hard])
    assert second.title == "MBTIBench: tasks without soft-label scores"
    assert len(first.rows) == 7


def test_a_measured_row_says_how_it_differs_from_the_published_ones() -> None:
    rows = [*CONSTANT, *to_rows(load("published", "mbtibench"))]
    (own,) = build([*rows, *run("a", 2.4)])
    assert any(note.startswith("a (zero_shot) differs") and "own prompts" in note for note in own.notes)
    same = {"prompt_pack": "authors ab", "chat_template_hash": "x", "setting": "truncation o200k80"}
    (like,) = build([*rows, *run("a", 2.4, **same)])
    assert not any("differs from the published setting" in note for note in like.notes)
