"""Any benchmark without a layout of its own: differences as columns, one unit a column, human beside automatic."""

from harness_ext.leaderboards.generic import build
from harness_ext.leaderboards.table import Table
from harness_ext.results.published.tables import load
from harness_ext.results.reading.frame import Row, to_rows


def row(model: str, value: float, metric: str = "acc", **changes: object) -> Row:
    known = {"origin": "measured", "model": model, "bench": "b", "task": "b_x", "part": "x", "higher_is_better": True}
    return Row.model_validate({**known, "metric": metric, "value": value, "n": 9, "n_total": 9} | changes)


def column(table: Table, name: str) -> list[str]:
    at = [found.name for found in table.columns].index(name)
    return [line[at].text for line in table.rows]


def test_the_difference_to_the_base_model_is_a_column() -> None:
    rows = [
        row("base", 0.5),
        row("tuned", 0.6, method="rkld", base="base"),
        row("other", 0.9, method="ga", base="gone"),
    ]
    (table,) = build(rows)
    assert column(table, "Model") == ["base", "tuned (rkld of base)", "other (ga of gone)"]
    assert column(table, "Δ base") == ["–", "+0.1000", "–"]
    assert any(note.startswith("Δ base: the score minus") for note in table.notes)


def test_a_base_run_with_other_settings_is_no_reference() -> None:
    rows = [row("base", 0.5, cap="50"), row("tuned", 0.6, method="rkld", base="base")]
    (table,) = build(rows)
    assert "Δ base" not in [found.name for found in table.columns]


def test_the_difference_to_the_trivial_predictor_is_a_column() -> None:
    (stated,) = build([row("m", 0.5, chance=0.25)])
    assert column(stated, "Δ trivial") == ["+0.2500"]
    (listed,) = build([row("m", 0.5, chance=0.25), row("majority", 0.4, origin="baseline")])
    assert column(listed, "Δ trivial") == ["+0.1000", "–"]


def test_a_run_on_some_docs_has_no_difference_and_is_never_bold() -> None:
    (table,) = build([row("m", 0.5, chance=0.25), row("part", 0.9, chance=0.25, n=3)])
    assert column(table, "Δ trivial") == ["+0.2500", "–"]
    assert not any(cell.best for line in table.rows for cell in line)


def test_the_better_direction_decides_what_is_bold() -> None:
    rows = [row(name, value, "loss", higher_is_better=False) for name, value in (("a", 1.0), ("b", 2.0))]
    (table,) = build(rows)
    assert [cell.text for line in table.rows for cell in line if cell.best] == ["1.0000"]
    (unknown,) = build([one.model_copy(update={"higher_is_better": None}) for one in rows])
    assert not any(cell.best for line in unknown.rows for cell in line)


def test_equal_runs_have_no_best() -> None:
    (table,) = build([row("a", 0.5), row("b", 0.5)])
    assert not any(cell.best for line in table.rows for cell in line)


def test_units_of_sources_are_spelled_out() -> None:
    published = [
        row("p", 63.2, origin="published", unit="percent"),
        row("q", 17, "correct", origin="published", unit="count", n=20),
        row("r", 94.88, "mae", origin="published", unit="x100"),
    ]
    (table,) = build([row("m", 0.5), *published])
    texts = {cell.text: cell.value for line in table.rows for cell in line}
    assert texts["63.2 %"] == 0.632
    assert texts["17 of 20"] == 0.85
    assert texts["0.9488"] == 0.9488


def test_human_and_automatic_numbers_are_in_different_columns_and_name_the_judge() -> None:
    (table,) = build(to_rows(load("published", "gpt4v_probes")))
    judged = [line for line in table.rows if any("judge human" in cell.text for cell in line)]
    assert judged
    at = [found.name for found in table.columns].index("correct ↑")
    assert {line[at].text for line in table.rows if line not in judged} == {"–"}


def test_every_published_benchmark_can_be_drawn() -> None:
    frame = load("published")
    for bench, rows in frame.groupby("bench"):
        (table,) = build(to_rows(rows))
        numbers = [at for at, column in enumerate(table.columns) if column.numeric]
        shown = [line[at] for line in table.rows for at in numbers if line[at].text != "–"]
        cells = rows.drop_duplicates(["model", "method", "variant", "task", "part", "metric", "setting", "num_fewshot"])
        assert len(shown) == len(cells), bench


def test_tables_of_one_source_that_disagree_are_both_shown() -> None:
    (table,) = build(to_rows(load("published", "muse")))
    assert "-57.2600 or -57.3400" in {cell.text for line in table.rows for cell in line}
