"""Plain ``lm_eval`` finds the installed package: real wheels, clean environments, both installers, any order.

No environment here has torch: neither lm-eval nor this package needs it to list tasks or to score stored answers.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

GROUPS = "mbtibench,eibench"
SOURCES = (
    *("harness_ext", "tasks", "methods", "leaderboards", "data_cards"),
    *("pyproject.toml", "hatch_build.py", "harness_ext_autoload.pth", "README.md", "LICENSE"),
)
# Its own, as far as it says what an editable installation is.
LM_EVAL = """\
[build-system]
requires = ["setuptools>=64.0"]
build-backend = "setuptools.build_meta"
[project]
name = "lm_eval"
version = "0.4.13"
dependencies = {dependencies}
scripts = {{ lm_eval = "lm_eval.__main__:cli_evaluate" }}
[tool.setuptools.packages.find]
include = ["lm_eval*"]
"""
EXTRA_TASK = """\
task: toy_sky
custom_dataset: !function toy_sky.load
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: [blue, green]
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
EXTRA_DATA = """\
import datasets

def load(**_):
    docs = [{"question": "The sky is", "answer": 0}, {"question": "Grass is", "answer": 1}]
    return {"test": datasets.Dataset.from_list(docs)}
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in a folder of its own."""

    root: Path
    constraints: Path

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        (folder,) = (self.root / "lib").glob("python*/site-packages")
        return folder

    def run(self, command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's own commands, away from the checkout and from this process's settings."""
        unset = ("HARNESS_EXT_AUTOLOAD", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
        return subprocess.run(
            [str(self.root / "bin" / command), *map(str, arguments)],
            cwd=self.root,
            env={**{name: value for name, value in os.environ.items() if name not in unset}, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def pip(self, action: str, *arguments: object) -> None:
        options = () if action == "uninstall" else ("-c", self.constraints)
        succeeded(self.run("python", "-m", "pip", action, *options, *arguments))

    def uv(self, action: str, *arguments: object) -> None:
        options = () if action == "uninstall" else ("--constraints", self.constraints)
        command = [sys.executable, "-m", "uv", "pip", action, "--python", self.python, *options, *arguments]
        succeeded(subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False))

    def validate(self, tasks: str = GROUPS, *options: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("lm_eval", "validate", "--tasks", tasks, *options, **environment)

    def traces(self) -> list[str]:
        """Files and folders of ours anywhere in the environment."""
        ours = (path for path in self.root.rglob("*") if "harness_ext" in path.name.replace("-", "_"))
        return [str(path.relative_to(self.root)) for path in ours]


def core_requirements(package: str) -> list[str]:
    """What a package asks for without any extra."""
    return [asked for asked in importlib.metadata.requires(package) or [] if "extra ==" not in asked]


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def assert_tasks_are_found(run: subprocess.CompletedProcess[str]) -> None:
    assert "All tasks found and valid" in succeeded(run)


def assert_tasks_are_not_found(run: subprocess.CompletedProcess[str]) -> None:
    assert run.returncode != 0
    assert "Tasks not found: mbtibench" in run.stdout + run.stderr


@pytest.fixture(scope="module")
def empty_environment(checkout, tmp_path_factory):
    """Return a function that makes environments with nothing in them, which uv is going to fill."""

    def make(name: str) -> Environment:
        root = tmp_path_factory.mktemp(name) / "venv"
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, root], check=True)
        return Environment(root, checkout / "constraints.txt")

    return make


@pytest.fixture
def sources(checkout, tmp_path):
    """A copy of the checkout that a test may change."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in SOURCES:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(checkout / name, copy / name)
    return copy


def add_task(folder: Path) -> None:
    (folder / "toy_sky.yaml").write_text(EXTRA_TASK)
    (folder / "toy_sky.py").write_text(EXTRA_DATA)


@pytest.fixture(scope="module")
def whole(empty_environment, wheel):
    """lm-eval with all its tasks, then the wheel."""
    environment = empty_environment("installed")
    environment.uv("install", "lm_eval")
    environment.uv("install", wheel)
    return environment


@pytest.fixture(scope="module")
def listed(whole):
    return succeeded(whole.run("lm_eval", "ls", "tasks"))


@pytest.fixture(scope="module")
def installed(whole, listed, without_most_tasks):
    """What tests only read, once everything was listed."""
    without_most_tasks(whole.root)
    return whole


def test_lm_eval_first_then_the_wheel(installed):
    assert_tasks_are_found(installed.validate())


def test_lm_eval_lists_groups_and_tasks(listed):
    for name in ("mbtibench", "mbtibench_zero_shot", "eibench", "arc_easy"):
        assert f"|{name} " in listed.replace("| ", "|"), name


def test_wheel_first_then_lm_eval_and_lm_eval_again(empty_environment, wheel, without_most_tasks):
    environment = empty_environment("wheel-first")
    environment.uv("install", "--no-deps", wheel)
    assert succeeded(environment.run("python", "-c", "print('starts without lm-eval')")) == "starts without lm-eval\n"
    environment.uv("install", "lm_eval")
    environment.uv("install", wheel)
    environment.uv("install", "--no-deps", "--reinstall-package", "lm_eval", "lm_eval")
    without_most_tasks(environment.root)
    assert_tasks_are_found(environment.validate())


def test_pip_installs_runs_upgrades_and_uninstalls_without_a_trace(
    checkout, sources, wheel, build_wheel, without_most_tasks, tmp_path
):
    environment = Environment(tmp_path / "venv", checkout / "constraints.txt")
    subprocess.run([sys.executable, "-m", "venv", environment.root], check=True)
    environment.pip("install", "--no-compile", wheel)
    assert not list(environment.site_packages.glob("torch*"))
    ours = {path.name for path in environment.site_packages.iterdir() if "harness" in path.name}
    assert ours == {"harness_ext", "harness_ext-0.1.0.dist-info", "harness_ext_autoload.pth"}
    without_most_tasks(environment.root)
    assert_tasks_are_found(environment.validate())

    add_task(sources / "tasks")
    (sources / "tasks" / "mbtibench" / "README.md").unlink(missing_ok=True)
    project = (sources / "pyproject.toml").read_text()
    (sources / "pyproject.toml").write_text(project.replace('version = "0.1.0"', 'version = "0.2.0"'))
    environment.pip("install", "--upgrade", build_wheel(sources, tmp_path / "newer"))
    assert not (environment.site_packages / "harness_ext" / "tasks" / "mbtibench" / "README.md").exists()
    ran = succeeded(environment.run("lm_eval", "run", "--model", "dummy", "--tasks", "toy_sky"))
    assert "|toy_sky|" in ran

    environment.pip("uninstall", "--yes", "harness-ext")
    assert environment.traces() == []
    assert_tasks_are_not_found(environment.validate())
    assert "usage: lm-eval" in succeeded(environment.run("lm_eval", "--help"))


def test_editable_checkout_is_live_and_uninstalls_without_a_trace(empty_environment, sources, without_most_tasks):
    environment = empty_environment("editable")
    environment.uv("install", "--editable", sources)
    assert not (environment.site_packages / "harness_ext").exists()
    without_most_tasks(environment.root)
    assert_tasks_are_found(environment.validate())

    add_task(sources / "tasks")
    ran = succeeded(environment.run("lm_eval", "run", "--model", "dummy", "--tasks", "toy_sky"))
    assert "|toy_sky|" in ran

    moved = sources.rename(sources.with_name("moved"))
    silent = environment.run("python", "-c", "print('starts')")
    assert (silent.stdout, silent.stderr) == ("starts\n", "")
    moved.rename(sources)

    environment.uv("uninstall", "harness-ext")
    assert environment.traces() == []


def test_lm_eval_itself_may_be_editable(empty_environment, installed, wheel, tmp_path):
    checkout = tmp_path / "lm-eval"
    shutil.copytree(installed.site_packages / "lm_eval", checkout / "lm_eval")
    (checkout / "pyproject.toml").write_text(LM_EVAL.format(dependencies=json.dumps(core_requirements("lm_eval"))))

    environment = empty_environment("editable-lm-eval")
    environment.uv("install", "--editable", checkout)
    environment.uv("install", wheel)
    where = succeeded(environment.run("python", "-c", "import lm_eval; print(lm_eval.__file__)"))
    assert Path(where.strip()) == checkout / "lm_eval" / "__init__.py"
    assert_tasks_are_found(environment.validate())


def test_hook_can_be_switched_off_and_the_folder_given_instead(installed):
    off = {"HARNESS_EXT_AUTOLOAD": "0"}
    assert_tasks_are_not_found(installed.validate(**off))
    folder = succeeded(installed.run("harness-ext", "path", "tasks", **off)).strip()
    assert Path(folder) == installed.site_packages / "harness_ext" / "tasks"
    assert_tasks_are_found(installed.validate(GROUPS, "--include_path", folder, **off))


def test_harness_ext_run_needs_no_hook(installed):
    run = installed.run("harness-ext", "run", "--model", "dummy", "--tasks", "mbtibench_zero_shot", "--limit", "1",
                        "--metadata", '{"data": "sample"}', HARNESS_EXT_AUTOLOAD="0")  # fmt: skip
    assert "|mbtibench_zero_shot" in succeeded(run)


def test_naming_our_folder_twice_is_silent(installed):
    folder = succeeded(installed.run("harness-ext", "path", "tasks")).strip()
    assert "overrides existing task" not in succeeded(installed.validate(GROUPS, "--include_path", folder))


def test_isolated_interpreter_finds_the_tasks_too(installed):
    code = "from lm_eval.tasks import TaskManager; print({'mbtibench', 'eibench'} <= set(TaskManager().all_groups))"
    assert succeeded(installed.run("python", "-I", "-c", code)).endswith("True\n")
