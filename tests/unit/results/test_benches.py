"""What benchmarks bring is found by name, in our package and in others', and nothing else is imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext.errors import DataError
from harness_ext.leaderboards.build import tables
from harness_ext.results import benches
from harness_ext.results.published.checks import check_all
from harness_ext.results.published.tables import load
from harness_ext.results.reading.frame import Row, to_frame
from harness_ext.results.reading.placement import place

TASKS = Path(__file__).parents[3] / "tasks"
BENCH = """
from harness_ext.results.benches import Bench
BENCH = Bench(headline="gap", parts={"n": "North", "s": "South"})
"""


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a benchmark ``compass`` in a package that is no part of ours."""
    folder = tmp_path / "guest_of_the_tests" / "compass"
    folder.mkdir(parents=True)
    (folder / "compass_n.yaml").write_text("task: compass_n\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(benches, "packages", lambda: (benches.OURS, "guest_of_the_tests", "nowhere.to.be_found"))
    found = (benches.homes, benches._with_tasks, benches.module, benches.declared)
    for lookup in found:
        lookup.cache_clear()
    yield folder
    for lookup in found:
        lookup.cache_clear()
    for name in [name for name in sys.modules if name.startswith("guest_of_the_tests")]:
        del sys.modules[name]


def row(**about: object) -> Row:
    known = {"origin": "measured", "model": "m", "bench": "compass", "task": "compass_n", "metric": "gap", "value": 1.0}
    return Row.model_validate(known | about)


def test_a_guests_declaration_places_its_tasks(guest: Path) -> None:
    (guest / "bench.py").write_text(BENCH)
    assert benches.declared("compass").headline == "gap"
    assert place("compass_steep_n", {}, {}) == ("compass", "steep", "North")
    assert place("compass_steep", {"bench": "compass"}, {}) == ("compass", "steep", "")


def test_a_guest_that_declares_nothing_gets_what_goes_without_saying(guest: Path) -> None:
    assert benches.declared("compass") == benches.Bench()
    assert place("compass_n_ll", {}, {}) == ("compass", "ll", "n")
    (table,) = tables(to_frame([row()]))
    assert table.title == "compass"


def test_a_guests_own_table_is_built(guest: Path) -> None:
    (guest / "table.py").write_text(
        "from harness_ext.leaderboards.table import Table\n"
        "def build(rows, *, partial): return [Table(f'{len(rows)} of {partial}', (), ())]\n"
    )
    assert [table.title for table in tables(to_frame([row()]), partial=True)] == ["1 of True"]


def test_a_broken_module_is_named_with_its_package(guest: Path) -> None:
    (guest / "bench.py").write_text("import a_library_that_nobody_has\n")
    with pytest.raises(DataError, match=r"guest_of_the_tests\.compass\.bench cannot be imported: No module named"):
        benches.declared("compass")


def test_a_guest_cannot_take_the_place_of_a_benchmark_of_ours(guest: Path) -> None:
    taken = guest.parent / "mbtibench"
    taken.mkdir()
    (taken / "bench.py").write_text(BENCH)
    assert benches.homes()["mbtibench"].package == benches.OURS
    assert benches.declared("mbtibench").headline == "s_rmse"


@pytest.mark.parametrize("name", ["..", "compass.bench", "Compass", "__pycache__", "", "os"])
def test_a_name_that_is_no_benchmarks_folder_imports_nothing(guest: Path, name: str) -> None:
    (guest.parent / "__pycache__").mkdir()
    assert benches.module(name, "bench") is None


def test_a_guests_published_numbers_are_loaded_and_checked(guest: Path) -> None:
    header = "model,bench,task,metric,value,unit,citation,locator,transcribed_from"
    (guest / "published.csv").write_text(f"{header}\nmagnet,compass,compass_n,gap,0.5,fraction,c,l,t\n")
    assert load("published", "compass").model.tolist() == ["magnet"]
    assert check_all().findings == []
    (guest / "published.csv").write_text(f"{header}\nmagnet,mbtibench,compass_n,gap,2,fraction,c,l,t\n")
    assert sorted(finding.check for finding in check_all().findings) == ["range", "schema"]
    assert load("published", "mbtibench").model.tolist().count("magnet") == 0


def test_a_guests_check_of_its_published_numbers_is_asked(guest: Path) -> None:
    (guest / "published.csv").write_text(
        "model,bench,task,metric,value,unit,citation,locator,transcribed_from\n"
        "magnet,compass,compass_n,gap,0.5,fraction,c,l,t\n"
    )
    (guest / "bench.py").write_text(
        "from harness_ext.results.published.checks import found\n"
        "def check_published(rows): return [found('poles', row, 'no pole') for row in rows]\n"
    )
    assert [(finding.check, finding.problem) for finding in check_all().findings] == [("poles", "no pole")]


def test_the_naming_rule_places_every_task_of_ours_as_its_metadata_does() -> None:
    files = sorted(TASKS.glob("*/*.yaml"))
    assert files
    for file in files:
        config = load_yaml(file, resolve_func=False)
        told = config["metadata"] if "task" in config and "group" not in config else {"bench": file.parent.name}
        untold = {key: value for key, value in told.items() if key != "bench"}
        name = config.get("group") or config["task"]
        assert place(name, told, {}) == place(name, untold, {})
        assert place(name, told, {}).bench == file.parent.name
