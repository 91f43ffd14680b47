"""EiBench-R tables: both macros, named gaps, caps apart."""

from harness_ext.leaderboards.table import Table
from harness_ext.results.published.tables import load
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.tasks.eibench.aspects import EI_ASPECTS
from harness_ext.tasks.eibench.table import build

LEAVES = [part for parts in EI_ASPECTS.values() for part in parts]


def row(part: str, value: float, metric: str = "ei_score", **changes: object) -> Row:
    known = {"origin": "measured", "model": "m", "bench": "eibench", "task": f"eibench_{part}", "part": part}
    return Row.model_validate(
        {**known, "metric": metric, "value": value, "n": 500, "n_total": 500, "cap": "500"} | changes
    )


def cell(table: Table, column: str, line: int = 0) -> str:
    return table.rows[line][[column.name for column in table.columns].index(column)].text


def test_both_macros_are_shown_and_differ() -> None:
    scores = {part: 90.0 if part in EI_ASPECTS["ee"] else 30.0 for part in LEAVES}
    summary, _ = build([row(part, score) for part, score in scores.items()])
    assert cell(summary, "ei_aspect_macro") == "50.00"
    assert cell(summary, "ei_task_macro") == f"{(17 * 30 + 4 * 90) / 21:.2f}"
    assert cell(summary, "Leaves") == "21 of 21"


def test_a_missing_leaf_is_named_and_its_aspect_not_averaged() -> None:
    rows = [row(part, 40.0) for part in LEAVES if part != "ecf"]
    summary, _ = build(rows)
    assert cell(summary, "ei_ep") == "40.00"
    assert (cell(summary, "ei_ec"), cell(summary, "ei_aspect_macro"), cell(summary, "ei_task_macro")) == ("–", "–", "–")
    assert any("1 of 21 leaves missing" in note and "ecf" in note for note in summary.notes)


def test_on_demand_the_rest_is_averaged_and_the_gap_still_named() -> None:
    summary, _ = build([row(part, 40.0) for part in LEAVES if part != "ecf"], partial=True)
    assert cell(summary, "ei_ec") == "40.00"
    assert any("ecf" in note for note in summary.notes)


def test_lm_evals_group_mean_stands_beside_the_macros() -> None:
    group = row("", 12.5, task="eibench", level="group")
    summary, _ = build([row("cee", 12.5), group])
    assert cell(summary, "Mean of leaves") == "12.50"


def test_a_run_of_some_leaves_shows_their_mean_and_names_them_instead_of_a_row_of_dashes() -> None:
    summary, _ = build([row("cee", 10.0), row("meld", 30.0)])
    assert [column.name for column in summary.columns] == ["Model", "Setting", "Mean of leaves", "Leaves", "n"]
    assert (cell(summary, "Mean of leaves"), cell(summary, "Leaves"), cell(summary, "n")) == ("20.00", "2 of 21", "500")
    assert any("only 2 of 21 leaves ran (cee, meld)" in note for note in summary.notes)


def test_unparsable_answers_stand_beside_every_score() -> None:
    rows = [row("cee", 40.0), row("cee", 0.25, "parse_failure"), row("meld", 50.0), row("meld", 1.0, "invalid")]
    _, leaves = build(rows)
    shown = {line[1].text: line[3].text for line in leaves.rows}
    assert shown == {"meld": "100.0 %", "cee": "25.0 %"}


def test_caps_never_share_a_table() -> None:
    tables = build([row("cee", 40.0), row("cee", 41.0, cap="all")])
    assert [table.title for table in tables] == [
        "EiBench-R: aspects, at most 500 docs a leaf",
        "EiBench-R: ei_score by leaf, at most 500 docs a leaf",
        "EiBench-R: aspects, all docs",
        "EiBench-R: ei_score by leaf, all docs",
    ]


def test_the_best_of_a_leaf_is_bold_but_never_a_cut_run() -> None:
    rows = [row("cee", 40.0, model="a"), row("cee", 50.0, model="b"), row("cee", 60.0, model="c", n=20)]
    _, leaves = build(rows)
    assert [found.text for found in leaves.rows[0] if found.best] == ["50.00"]


def test_sample_rows_are_apart_and_never_bold() -> None:
    rows = [row("cee", 40.0), row("cee", 99.0, data="sample"), row("cee", 98.0, data="sample", model="b")]
    tables = build(rows)
    assert [table.kind for table in tables] == ["benchmark", "benchmark", "sample", "sample"]
    assert all("no benchmark scores" in table.title for table in tables if table.kind == "sample")
    assert not any(found.best for table in tables[2:] for line in table.rows for found in line)


def test_what_guessing_scores_on_the_real_docs_is_not_said_of_the_sample() -> None:
    rows = [row("emobench_ea", 40.0, chance=25.0), row("emobench_ea", 40.0, data="sample", chance=25.0)]
    said = {table.kind: " ".join(table.notes) for table in build(rows) if "by leaf" in table.title}
    assert "Chance" in said["benchmark"]
    assert "always A scores" in said["benchmark"]
    assert "Chance" not in said["sample"]
    assert "always A scores" not in said["sample"]


def test_every_title_says_that_it_is_a_reconstruction() -> None:
    assert all("EiBench-R" in table.title for table in build([row("cee", 1.0), row("cee", 1.0, data="sample")]))


def test_extension_leaves_are_shown_apart_and_averaged_nowhere() -> None:
    summary, _, extension = build([row("cee", 40.0), row("tweet_hate", 90.0)])
    assert cell(summary, "Leaves") == "1 of 21"
    assert extension.title == "EiBench-R: extension, in no average, at most 500 docs a leaf"
    assert [line[1].text for line in extension.rows] == ["tweet_hate"]
    (alone,) = build([row("tweet_hate", 90.0)])
    assert "extension" in alone.title


def test_published_numbers_stand_beside_the_same_metric_only() -> None:
    theirs = to_rows(load("published", "eibench"))
    *_, published = build([row("goemotions", 20.0), row("goemotions", 21.5, "macro_f1"), *theirs])
    assert [(line[2].text, line[5].text) for line in published.rows] == [
        ("m", "21.50"),
        ("BERT-base (GoEmotions-pytorch)", "50.30"),
    ]
    assert any("trained on the task" in note for note in published.notes)
    assert not any(found.best for line in published.rows for found in line)
    assert len(build([row("ecf", 20.0), *theirs])) == 2
