"""harness-ext view: one page beside the results, built again when a result arrives, never half written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import InputError

RESULTS = Path(__file__).parents[1] / "results" / "lm_eval_results"
runner = CliRunner()


def view(*arguments: object) -> Any:
    return runner.invoke(app, ["view", *map(str, arguments), "--no-watch", "--no-browser"])


def test_the_page_lies_beside_the_results_and_stays_as_it_is(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "0.4.13", tmp_path / "runs")
    done = view(tmp_path / "runs")
    assert done.exit_code == 0, done.output
    assert "toy_choose" in (tmp_path / "runs" / "view.html").read_text(encoding="utf-8")
    assert "data-refresh=" not in (tmp_path / "runs" / "view.html").read_text(encoding="utf-8").partition("<head>")[0]
    assert list((tmp_path / "runs").glob(".view*")) == []


def test_a_base_is_compared_with(tmp_path: Path) -> None:
    done = view(RESULTS / "0.4.13", "--base", "no such model", "--output", tmp_path / "page.html")
    assert isinstance(done.exception, InputError) and "no result of a model" in str(done.exception)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_without_a_result_there_is_one_clear_error(tmp_path: Path, folder: str) -> None:
    assert isinstance(view(tmp_path / folder).exception, InputError)


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = view(RESULTS / "0.4.13", "--output", tmp_path / "file" / "page.html")
    assert isinstance(done.exception, InputError) and "Give another --output" in str(done.exception)


def test_results_that_arrive_are_shown_and_the_page_stops_loading_itself_in_the_end(tmp_path: Path) -> None:
    folder, page = tmp_path / "runs", tmp_path / "runs" / "view.html"
    folder.mkdir()
    # What is started by a job in the background ignores Ctrl-C, unless it says otherwise.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from harness_ext.cli import main, view; view.POLL = 0.1; main()"
    command = [sys.executable, "-c", code]
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        running = subprocess.Popen(
            [*command, "view", str(folder), "--watch", "--no-browser"], stderr=file, env={**os.environ}
        )
    try:
        until(lambda: "Waiting for the first result" in errors.read_text())
        shutil.copytree(RESULTS / "0.4.13", folder / "first")
        until(page.exists)
        until(lambda: 'data-refresh="15"' in page.read_text(encoding="utf-8").partition("<head>")[0])
        assert "1 result file ·" in page.read_text(encoding="utf-8")
        shutil.copytree(RESULTS / "0.4.12", folder / "second")
        until(lambda: "2 result files ·" in page.read_text(encoding="utf-8"))
    finally:
        running.send_signal(signal.SIGINT)
        code = running.wait(timeout=60)
    assert code == 130
    assert "data-refresh=" not in page.read_text(encoding="utf-8").partition("<head>")[0]


def until(what: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)
