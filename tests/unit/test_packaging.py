"""What is in the wheel and the source distribution."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import EntryPoint
from pathlib import PurePosixPath

import pytest

tomllib = pytest.importorskip("tomllib")  # Python 3.11

INSTALLED_FOLDERS = {
    "tasks": "harness_ext/tasks",
    "methods": "harness_ext/methods",
    "leaderboards": "harness_ext/leaderboards",
    "data_cards": "harness_ext/data_cards",
    "harness_ext": "harness_ext",
}


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def project(checkout):
    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def declared_entry_points(project):
    return project["entry-points"]


def test_nothing_but_the_package_its_metadata_and_the_start_up_line_is_at_top_level(contents):
    top_level = {PurePosixPath(name).parts[0] for name in contents}
    (metadata,) = (name for name in top_level if name.endswith(".dist-info"))
    assert top_level == {"harness_ext", metadata, "harness_ext_autoload.pth"}


def test_every_tracked_file_of_the_installed_folders_is_in_the_wheel(contents, checkout):
    git = subprocess.run(
        ["git", "ls-files", *INSTALLED_FOLDERS], cwd=checkout, capture_output=True, text=True, check=False
    )
    if git.returncode != 0:
        pytest.skip("not a git checkout")
    tracked = [file for file in git.stdout.splitlines() if (checkout / file).exists()]
    for file in tracked:
        folder, _, inside = file.partition("/")
        assert contents[f"{INSTALLED_FOLDERS[folder]}/{inside}"] == (checkout / file).read_bytes(), file
    assert len(tracked) > 20


def test_no_cache_or_hidden_file_is_in_the_wheel(contents):
    unwanted = [
        name
        for name in contents
        if name.endswith((".pyc", ".tmp", "~"))
        or any(part.startswith((".", "__pycache__")) for part in name.split("/"))
    ]
    assert unwanted == []


def test_every_importable_folder_has_an_init_file(contents):
    modules = [PurePosixPath(name) for name in contents if name.startswith("harness_ext/") and name.endswith(".py")]
    lacking = {str(module.parent) for module in modules if f"{module.parent}/__init__.py" not in contents}
    assert lacking == set()


def test_the_start_up_line_is_one_line_that_python_runs(contents):
    (line,) = contents["harness_ext_autoload.pth"].decode().splitlines()
    assert line.startswith("import ")
    compile(line, "harness_ext_autoload.pth", "exec")


def test_entry_points_name_groups_that_lm_eval_reads(contents, declared_entry_points):
    assert declared_entry_points["lm_eval.tasks"] == {"harness_ext": "harness_ext.tasks"}
    assert set(declared_entry_points) <= {
        f"lm_eval.{kind}" for kind in ("tasks", "models", "filters", "metrics", "aggregations")
    }
    (entry_points,) = (text.decode() for name, text in contents.items() if name.endswith("entry_points.txt"))
    assert "[lm_eval.tasks]\nharness_ext = harness_ext.tasks" in entry_points


def test_entry_points_lead_to_something(declared_entry_points):
    import lm_eval.models  # noqa: F401  (built-ins are registered before ours)

    for group, entries in declared_entry_points.items():
        for name, value in entries.items():
            EntryPoint(name, value, group).load()


def test_the_sources_build_the_same_wheel(contents, checkout, tmp_path):
    with_sdist = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(checkout)]
    built = subprocess.run(with_sdist, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == contents
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        files = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert {"constraints.txt", "Makefile", "tests/conftest.py", "LICENSE", "README.md"} <= files


def test_constraints_pin_everything_the_package_and_its_extras_ask_for(checkout, project):
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (checkout / "constraints.txt").read_text().splitlines()
    pinned = {}
    for line in lines:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            ((operator, number),) = ((s.operator, s.version) for s in requirement.specifier)
            assert operator == "==", line
            pinned[canonicalize_name(requirement.name)] = number
    asked = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, asked):
        if requirement.name != "harness-ext":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    assert (pinned["torch"], pinned["lm-eval"]) == ("2.13.0", "0.4.13")
