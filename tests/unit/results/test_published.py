"""Published numbers hold together, and each check notices what it is there for."""

import csv
import io
import json
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, InputError
from harness_ext.results.published.checks import Finding, check, check_all, known_exceptions
from harness_ext.results.published.tables import Source, load, parse, tables
from harness_ext.results.reading.frame import Row, to_rows

runner = CliRunner()


def rows_of(bench: str) -> list[Row]:
    return to_rows(load("published", bench))


def test_all_published_numbers_hold_but_the_known_exceptions() -> None:
    verdict = check_all()
    assert verdict.findings == []
    assert verdict.rows == len(load("published"))
    assert verdict.exceptions == len(known_exceptions())


def test_every_published_number_has_its_source() -> None:
    frame = load("published")
    for column in ("citation", "locator", "transcribed_from", "unit"):
        assert (frame[column] != "").all(), column


def test_the_rank_column_follows_from_the_cells_but_for_three_of_them() -> None:
    found = [finding for finding in check(rows_of("mbtibench"), "mbtibench") if finding.check == "rank"]
    assert [finding.row.partition(" | mbtibench")[0] for finding in found] == [
        "Qwen2-7B | step_by_step",
        "Qwen2-72B | zero_shot",
        "Qwen2-72B | step_by_step",
    ]


def changed(bench: str, at: dict[str, object], change: dict[str, object]) -> list[Finding]:
    """Findings after one row of a file was changed that were not there before."""
    rows = rows_of(bench)
    before = check(rows, bench)
    index = next(i for i, row in enumerate(rows) if all(getattr(row, name) == value for name, value in at.items()))
    rows[index] = rows[index].model_copy(update=change)
    return [finding for finding in check(rows, bench) if finding not in before]


@pytest.mark.parametrize(
    ("bench", "at", "change", "expected"),
    [
        ("mbtibench", {"metric": "rank"}, {"value": 1.5}, "rank"),
        ("mmmlu", {"level": "group"}, {"value": 0.9}, "average"),
        ("continual", {"metric": "AP"}, {"value": 80.0}, "score matrix"),
        ("continual", {"metric": "exact_match"}, {"value": 80.0}, "score matrix"),
        ("seceu", {"metric": "eq"}, {"value": 150.0}, "formula"),
        ("tofu", {"metric": "model_utility", "method": "NPO", "part": "forget05"}, {"value": 0.99}, "harmonic mean"),
        ("mmmlu", {"part": "Korean"}, {"value": 89.3}, "range"),
        ("gpt4v_probes", {"unit": "count"}, {"value": 21.0}, "range"),
        ("gpt4v_probes", {"unit": "count"}, {"value": 16.5}, "range"),
        ("muse", {}, {"unit": "parrots"}, "range"),
        ("muse", {}, {"unit": ""}, "schema"),
        ("muse", {}, {"citation": ""}, "schema"),
        ("muse", {}, {"bench": "tofu"}, "schema"),
        ("muse", {}, {"data": "sample"}, "schema"),
        ("mbtibench", {"metric": "s_rmse"}, {"std": -0.1}, "range"),
    ],
)
def test_a_wrong_number_is_found(bench: str, at: dict[str, object], change: dict[str, object], expected: str) -> None:
    assert expected in {finding.check for finding in changed(bench, at, change)}


def test_a_cell_entered_twice_is_found() -> None:
    rows = rows_of("muse")
    assert [finding.check for finding in check([*rows, rows[5]], "muse")].count("repetition") == 2


def test_an_exception_that_no_longer_occurs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = {("rank", "mbtibench", "nobody"): "gone"}
    monkeypatch.setattr("harness_ext.results.published.checks.known_exceptions", lambda: known_exceptions() | stale)
    assert [finding.row for finding in check_all().findings] == ["nobody"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m,b,t,acc,much", "line 2: value"),
        ("m,b,t,acc,1,2", "line 2"),
        ("m,b,,acc", "line 2"),
    ],
    ids=["no number", "too many cells", "too few cells"],
)
def test_a_broken_line_is_named(tmp_path_factory: pytest.TempPathFactory, line: str, reason: str) -> None:
    file = tmp_path_factory.mktemp("published") / "b.csv"
    file.write_text(f"model,bench,task,metric,value\n{line}\n")
    with pytest.raises(DataError, match=rf"published/b\.csv, {reason}"):
        list(parse(Source("b", file, "published/b.csv"), "published"))


def test_files_use_only_columns_of_the_frame_and_plain_line_ends() -> None:
    for kind in ("published", "baselines"):
        for source in tables(kind):
            text = source.file.read_text(encoding="utf-8")
            assert set(text.partition("\n")[0].split(",")) <= set(Row.model_fields), source.place
            assert "\r" not in text, source.place


def test_no_number_is_attributed_to_the_unreleased_eibench() -> None:
    frame = load("published", "eibench")
    assert not frame.citation.str.contains("2402.10073").any()
    assert not load("published").citation.str.contains("2402.10073").any()


def test_numbers_the_authors_commented_out_are_absent() -> None:
    assert not load("published").model.str.contains("huozi", case=False).any()


def test_list_counts_what_is_there() -> None:
    listed = json.loads(runner.invoke(app, ["published", "list", "--json"]).stdout)
    assert {row["bench"]: row["numbers"] for row in listed}["mbtibench"] == 224
    assert sum(row["numbers"] for row in listed) == len(load("published"))
    assert "mbtibench" in runner.invoke(app, ["published", "list"]).stdout


def test_show_filters_and_prints_every_format() -> None:
    arguments = ["published", "show", "mbtibench", "--model", "4o-mini", "--metric", "rank", "--format"]
    as_csv = list(csv.DictReader(io.StringIO(runner.invoke(app, [*arguments, "csv"]).stdout)))
    as_json = json.loads(runner.invoke(app, [*arguments, "json"]).stdout)
    assert [float(row["value"]) for row in as_csv] == [row["value"] for row in as_json] == [1.0, 2.63, 2.38, 3.88]
    table = runner.invoke(app, [*arguments, "table"]).stdout
    assert "softlabel.png" in table
    assert "arXiv:2412.12510" in table


@pytest.mark.parametrize("arguments", [["nothing"], ["mbtibench", "--model", "nobody"]])
def test_showing_nothing_is_an_error(arguments: list[str]) -> None:
    assert isinstance(runner.invoke(app, ["published", "show", *arguments]).exception, InputError)


def test_validate_says_what_it_checked() -> None:
    done = runner.invoke(app, ["published", "validate"])
    assert done.exit_code == 0
    assert f"{len(load('published'))} published numbers" in done.stdout
    assert json.loads(runner.invoke(app, ["published", "validate", "--json"]).stdout)["findings"] == []


def test_validate_fails_when_something_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_ext.results.published.checks.known_exceptions", dict)
    done = runner.invoke(app, ["published", "validate"])
    assert done.exit_code == 1
    assert "47.37 is no fraction" in done.stdout


def test_the_folder_holds_nothing_but_tables() -> None:
    folder = files("harness_ext.leaderboards") / "published"
    assert {file.name.rpartition(".")[2] for file in folder.iterdir()} == {"csv"}
