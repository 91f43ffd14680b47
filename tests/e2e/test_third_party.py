"""A package that this project has never heard of is treated like our own: tables, intervals, compare, page and checks.

Its wheel and ours stand in one clean environment without torch; the folder ``third_party`` is its whole source.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parent / "third_party"
TEAS = list(csv.DictReader((SOURCE / "teahouse" / "steeping" / "teas.csv").read_text().splitlines()))


class Guest:
    """The environment, with two models' answers to the guest's tasks and a folder for what is made of them."""

    def __init__(self, environment: Path, folder: Path) -> None:
        self._environment = environment
        self.folder = folder
        rng = random.Random(3)
        self.answers = {
            model: {
                tea["tea"]: float(tea["minutes"]) + sign * rng.choice(errors)
                for tea, sign in zip(TEAS, 8 * [1, -1], strict=True)
            }
            for model, errors in {"kettle": (0, 0.25, 0.5), "samovar": (0.25, 0.5, 1, 3)}.items()
        }

    def call(self, command: str, *arguments: object) -> str:
        done = self.process(command, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def process(self, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        unset = ("HARNESS_EXT_AUTOLOAD", "PYTHONPATH", "VIRTUAL_ENV", "HARNESS_EXT_MIRROR")
        return subprocess.run(
            [str(self._environment / "bin" / command), *map(str, arguments)],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name not in unset} | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, model: str, unit: str = "minutes") -> Path:
        """A run of lm-eval's own command on stored answers."""
        file = self.folder / f"{model}.jsonl"
        rows = [
            {
                "task": f"steeping_ask_{tea['family']}",
                "id": tea["tea"],
                "response": str(self.answers[model][tea["tea"]]),
            }
            for tea in TEAS
        ]
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        output = self.folder / "runs" / f"{model}_{unit}"
        chosen = () if unit == "minutes" else ("--metadata", json.dumps({"unit": unit}))
        self.call("lm_eval", "run", "--model", "replay", "--model_args", f"path={file},model={model}", "--tasks",
                  "steeping", "--output_path", output, "--log_samples", *chosen)  # fmt: skip
        return output

    def median_error(self, model: str, family: str, factor: float = 1) -> float:
        """The expected value of a leaf."""
        own = [tea for tea in TEAS if tea["family"] == family]
        return statistics.median(abs(self.answers[model][tea["tea"]] - factor * float(tea["minutes"])) for tea in own)


@pytest.fixture(scope="module")
def guest(
    checkout: Path,
    wheel: Path,
    build_wheel: Callable[[Path, Path], Path],
    without_most_tasks: Callable[[Path], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Guest:
    folder = tmp_path_factory.mktemp("guest")
    theirs = build_wheel(SOURCE, folder / "dist")
    environment = folder / "venv"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    install = [*uv, "pip", "install", "--quiet", "--python", environment / "bin" / "python"]
    subprocess.run([*install, "--constraints", checkout / "constraints.txt", wheel, theirs], check=True)
    without_most_tasks(environment)
    return Guest(environment, folder)


@pytest.fixture(scope="module")
def runs(guest: Guest) -> dict[str, Path]:
    return {model: guest.run(model) for model in guest.answers} | {"seconds": guest.run("kettle", "seconds")}


@pytest.fixture(scope="module")
def rows(guest: Guest, runs: dict[str, Path]) -> list[dict[str, str]]:
    """The tidy frame of both models' runs in minutes, published rows included."""
    text = guest.call("harness-ext", "table", runs["kettle"], runs["samovar"], "--format", "csv")
    return list(csv.DictReader(io.StringIO(text)))


def measured(rows: list[dict[str, str]], **about: str) -> dict[str, str]:
    (found,) = (
        row for row in rows if row["origin"] == "measured" and all(row[name] == value for name, value in about.items())
    )
    return found


def test_no_file_of_ours_names_it(checkout: Path) -> None:
    ours = [checkout / name for name in ("harness_ext", "tasks", "methods", "leaderboards", "data_cards")]
    texts = (file.read_text(encoding="utf-8") for room in ours for file in room.rglob("*.py"))
    assert not any("teahouse" in text or "steeping" in text for text in texts)


def test_its_tasks_pass_the_checks_that_ours_pass(guest: Guest) -> None:
    report = json.loads(guest.call("harness-ext", "check", "steeping", "--json"))
    assert report["findings"] == []
    assert sorted(report["loaded"]) == ["steeping_ask_black", "steeping_ask_green"]


@pytest.mark.parametrize(
    ("file", "old", "new", "mistake"),
    [
        ("_ask", 'until: ["\\n"], ', "", "generation-kwargs"),
        ("_ask", "false}\n  - {metric: parse", "true}\n  - {metric: parse", "direction-reversed"),
        ("_ask", "Number:", "Number: ", "space-before-target"),
        ("_ask", "does {{tea}} steep", "({{answer}}) does {{tea}} steep", "gold-in-prompt"),
        ("scores.py", "parse_failure\": 0.0", "parse_failure\": 0.0, \"extra\": 1.0", "metric-undeclared"),
        ("ask_green.yaml", "language: en, ", "", "metadata-missing"),
    ],
    ids=lambda value: value if value.replace("-", "").isalpha() else "",
)  # fmt: skip
def test_a_mistake_in_its_tasks_is_found_as_in_ours(
    guest: Guest, tmp_path: Path, file: str, old: str, new: str, mistake: str
) -> None:
    folder = tmp_path / "steeping"
    shutil.copytree(SOURCE / "teahouse" / "steeping", folder)
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("!function teahouse.steeping.", "!function ")
            assert path.name != file or old in text
            path.write_text(text.replace(old, new) if path.name == file else text, encoding="utf-8")
    done = guest.process("harness-ext", "check", "steeping", "--include-path", tmp_path, "--json")
    assert done.returncode == 1, done.stderr
    assert {finding["check"] for finding in json.loads(done.stdout)["findings"]} == {mistake}


def test_its_rows_are_placed_by_what_it_declares(guest: Guest, rows: list[dict[str, str]]) -> None:
    for family, part in (("green", "Green tea"), ("black", "Black tea")):
        row = measured(rows, task=f"steeping_ask_{family}", metric="median_error", model="kettle")
        assert (row["bench"], row["variant"], row["part"], row["setting"]) == ("steeping", "ask", part, "")
        assert float(row["value"]) == guest.median_error("kettle", family)
    group = measured(rows, task="steeping", metric="median_error", model="kettle")
    assert (group["bench"], group["level"]) == ("steeping", "group")


def test_its_aggregation_has_an_interval(rows: list[dict[str, str]]) -> None:
    for family in ("green", "black"):
        row = measured(rows, task=f"steeping_ask_{family}", metric="median_error", model="samovar")
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert float(row["low"]) < float(row["high"])


def test_its_switch_makes_a_row_of_its_own(guest: Guest, runs: dict[str, Path]) -> None:
    text = guest.call("harness-ext", "table", runs["kettle"], runs["seconds"], "--format", "csv")
    both = [
        row
        for row in csv.DictReader(io.StringIO(text))
        if row["origin"] == "measured" and (row["task"], row["metric"]) == ("steeping_ask_green", "median_error")
    ]
    assert {row["setting"] for row in both} == {"", "unit seconds"}
    assert sorted(float(row["value"]) for row in both) == [
        guest.median_error("kettle", "green"),
        guest.median_error("kettle", "green", 60),
    ]


def test_its_published_numbers_stand_in_the_table_and_are_checked(guest: Guest, rows: list[dict[str, str]]) -> None:
    (published,) = (row for row in rows if row["origin"] == "published")
    assert (published["model"], published["part"], float(published["value"])) == ("Tea master", "Green tea", 0.25)
    assert "Tea master" in guest.call("harness-ext", "published", "show", "steeping")
    assert json.loads(guest.call("harness-ext", "published", "validate", "--json"))["findings"] == []


def test_its_runs_are_compared_by_its_own_aggregation(guest: Guest, runs: dict[str, Path]) -> None:
    text = guest.call("harness-ext", "compare", runs["kettle"], runs["samovar"], "--json")
    lines = {line["task"]: line for line in json.loads(text)["comparisons"]}
    for family in ("green", "black"):
        line = lines[f"steeping_ask_{family}"]
        values = [guest.median_error(model, family) for model in ("kettle", "samovar")]
        assert line["metric"] == "median_error"
        assert [line["value_a"], line["value_b"]] == values


def test_its_page_has_its_table_and_its_figure(guest: Guest, runs: dict[str, Path]) -> None:
    page = guest.folder / "page.html"
    guest.call("harness-ext", "table", runs["kettle"], runs["samovar"], "--output", page)
    text = page.read_text(encoding="utf-8")
    for words in ("steeping", "Tea master", "By delicacy", "Delicate", "Robust", "Mean Median error"):
        assert words in text
