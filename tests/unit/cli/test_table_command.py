"""harness-ext table as a user meets it: formats, warnings, exit codes, no torch."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import InputError
from harness_ext.leaderboards.markdown import render
from harness_ext.leaderboards.table import Cell, Column, Table
from harness_ext.results.reading.frame import COLUMNS

HERE = Path(__file__).parents[1] / "results"
RESULTS = HERE / "lm_eval_results"
DUMMY = HERE / "table_results" / "mbtibench_dummy"
runner = CliRunner()


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A good run beside a corrupt JSON, a truncated JSONL and a foreign file."""
    shutil.copytree(RESULTS / "0.4.13", tmp_path / "runs" / "good")
    (tmp_path / "runs" / "results_corrupt.json").write_text('{"results": {"toy"')
    whole = next(file for file in (RESULTS / "0.4.13").rglob("samples_toy_write*")).read_text()
    (tmp_path / "runs" / "samples_cut.jsonl").write_text(whole[:-40])
    (tmp_path / "runs" / "notes.txt").write_text("lunch at noon")
    return tmp_path / "runs"


def test_unusable_files_are_named_and_the_rest_still_gives_a_table(damaged: Path) -> None:
    done = runner.invoke(app, ["table", str(damaged)])
    assert done.exit_code == 0
    assert "toy_choose" in done.stdout
    assert "2 files could not be used" in done.stderr
    for name in ("results_corrupt.json", "samples_cut.jsonl"):
        assert name in done.stderr
        assert name not in done.stdout
    assert "notes.txt" not in done.stderr  # it claims to be no result


def test_strict_makes_unusable_files_a_failure(damaged: Path) -> None:
    done = runner.invoke(app, ["table", str(damaged), "--strict"])
    assert done.exit_code == 1
    assert "toy_choose" in done.stdout
    assert runner.invoke(app, ["table", str(RESULTS / "0.4.13"), "--strict"]).exit_code == 0


def test_json_names_every_unusable_file(damaged: Path) -> None:
    for number in range(30):
        (damaged / f"other{number}.json").touch()
    done = runner.invoke(app, ["table", str(damaged), "--json"])
    content = json.loads(done.stdout)
    assert len(content["problems"]) == 32
    assert "… and 12 more" in done.stderr
    assert content["tables"][0]["rows"]


def test_errors_groups_bypass_filters_and_limits_of_a_real_folder() -> None:
    """An N/A error, a group row, a bypass row, two filters and a limited run in one call."""
    folders = [str(RESULTS / name) for name in ("0.4.12", "0.4.12-limit", "0.4.13-predict")]
    done = runner.invoke(app, ["table", *folders, "--format", "md"])
    assert done.exit_code == 0
    assert "999" not in done.stdout
    assert "2 scores of --predict_only" in done.stderr
    limited = [line for line in done.stdout.splitlines() if "first 2 of 3 docs" in line]
    assert limited
    assert not any("**" in line for line in limited)
    assert {"filter strict", "filter lenient"} <= {word.strip() for word in done.stdout.replace(",", "|").split("|")}


def test_csv_is_the_tidy_frame_with_published_rows() -> None:
    done = runner.invoke(app, ["table", str(DUMMY), "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert tuple(rows[0]) == COLUMNS
    assert {row["origin"] for row in rows} == {"measured", "published", "baseline"}
    assert all(row["citation"] and row["locator"] for row in rows if row["origin"] == "published")
    alone = runner.invoke(app, ["table", str(DUMMY), "--format", "csv", "--no-published"])
    assert {row["origin"] for row in csv.DictReader(io.StringIO(alone.stdout))} == {"measured"}


def test_output_is_written_and_the_table_shown(tmp_path: Path) -> None:
    done = runner.invoke(app, ["table", str(DUMMY), "--output", str(tmp_path / "new" / "table.md")])
    assert done.exit_code == 0
    assert "MBTIBench" in done.stdout
    assert (tmp_path / "new" / "table.md").read_text().startswith("## MBTIBench\n")


@pytest.mark.parametrize("arguments", [["--output", "table.doc"], ["nowhere"]], ids=["unknown ending", "no such path"])
def test_wrong_input_is_one_clear_error(arguments: list[str]) -> None:
    done = runner.invoke(app, ["table", str(DUMMY), *arguments])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2


@pytest.mark.parametrize("arguments", [["table", str(DUMMY), "--output"], ["demo", "--output"]])
def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "file").touch()
    done = runner.invoke(app, [*arguments, str(tmp_path / "file" / "table.md")])
    assert isinstance(done.exception, InputError)
    assert "Give another --output" in str(done.exception)


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    assert isinstance(runner.invoke(app, ["table", str(tmp_path)]).exception, InputError)


def test_output_into_a_pipe_has_no_colour() -> None:
    assert "\x1b" not in runner.invoke(app, ["table", str(DUMMY)]).stdout


@pytest.mark.parametrize("width", [70, 80, 120, 200])
def test_no_number_is_cut_by_a_narrow_terminal(width: int) -> None:
    from rich.console import Console

    from harness_ext.leaderboards import build, terminal
    from harness_ext.results.reading.runs import read

    file = io.StringIO()
    tables = build.tables(build.with_published(read([DUMMY]).frame))
    terminal.show(tables, Console(file=file, force_terminal=True, width=width, color_system=None))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "100.0 %" in text
    hidden = [column.name for column in tables[0].columns if column.optional and width < 120]
    assert all(name in text for name in hidden)


def test_text_of_a_model_is_never_markup() -> None:
    name = "a|b**c**<script>[link](x)`\n# no"
    table = Table("T", (Column("Model", numeric=False),), ((Cell(name),),))
    text = render([table])
    assert text.count("\n") == 5
    assert "<script>" not in text
    assert r"a\|b\*\*c\*\*&lt;script>\[link\](x)\` # no" in text


def test_tables_need_neither_torch_nor_lm_eval() -> None:
    code = (
        "import sys\n"
        "class Missing:  # not sys.modules['torch'] = None: scipy takes any entry there for the library itself\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'lm_eval', 'transformers', 'datasets'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"sys.argv = ['harness-ext', 'table', {str(DUMMY)!r}, '--format', 'md']\n"
        "from harness_ext.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "HARNESS_EXT_AUTOLOAD": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "## MBTIBench" in done.stdout


def test_every_output_is_written_in_its_own_format(tmp_path: Path) -> None:
    names = [f"table.{ending}" for ending in ("md", "csv", "tex", "html")]
    options = [word for name in names for word in ("--output", str(tmp_path / name))]
    done = runner.invoke(app, ["table", str(DUMMY), *options])
    assert done.exit_code == 0, done.output
    beginnings = {name: (tmp_path / name).read_text(encoding="utf-8")[:9].lower() for name in names}
    assert beginnings == {
        "table.md": "## mbtibe",
        "table.csv": "origin,ru",
        "table.tex": "% needs \\",
        "table.html": "<!doctype",
    }
    refused = runner.invoke(app, ["table", str(DUMMY), *options, "--format", "md"])
    assert isinstance(refused.exception, InputError) and "one output" in str(refused.exception)


def test_numbers_in_json_are_numbers_and_gaps_are_null() -> None:
    done = runner.invoke(app, ["table", str(DUMMY), "--json", "--no-published"])
    (table,) = json.loads(done.stdout)["tables"]
    cells = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert cells["Model"] == "dummy"
    assert cells["E/I"] == {
        "value": pytest.approx(2.6628, abs=1e-4),
        "low": None,
        "high": None,
        "best": False,
        "text": "2.66/2.29",
    }
    assert cells["Spearman"]["value"] is None


def test_rows_and_columns_are_chosen_by_name() -> None:
    done = runner.invoke(
        app, ["table", str(DUMMY), "--json", "--rows", "GPT-4o*", "--columns", "mean", "--columns", "rank"]
    )
    (table,) = json.loads(done.stdout)["tables"]
    assert table["columns"] == ["Model", "Mean", "Rank"]
    assert {row[0] for row in table["rows"]} == {"gpt-4o", "gpt-4o-mini"}
    for option, known in (("--rows", "gpt-4o-mini"), ("--columns", "Beats constant")):
        refused = runner.invoke(app, ["table", str(DUMMY), option, "no such thing"])
        assert isinstance(refused.exception, InputError) and known in str(refused.exception)


def test_no_number_is_lost_on_the_way_through_csv(tmp_path: Path) -> None:
    from harness_ext.leaderboards import build
    from harness_ext.leaderboards.evidence import Evidence
    from harness_ext.results.reading.runs import read

    evidence = Evidence()
    runs = read([RESULTS / "0.4.13"], evidence.visit)
    frame, _ = build.of_runs(runs, evidence)
    out = tmp_path / "table.csv"
    assert runner.invoke(app, ["table", str(RESULTS / "0.4.13"), "--output", str(out)]).exit_code == 0
    with out.open() as lines:
        again = list(csv.DictReader(lines))
    numbers = list(frame.select_dtypes("float64"))
    assert len(again) == len(frame) > 0 and "value" in numbers
    for name in numbers:
        told = [float(row[name] or "nan") for row in again]
        assert all(
            one == other or (one != one and other != other) for one, other in zip(told, frame[name], strict=True)
        )
