"""The tutorial, typed as it stands there into an empty folder: every command works, and prints what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from warm_python import python

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "tutorial.md").read_text(encoding="utf-8")
_PROGRAMS = {"harness-ext": ("-c", "from harness_ext.cli import main; main()"), "lm_eval": ("-m", "lm_eval")}


class Step(NamedTuple):
    """Commands of the page, and the lines that it shows below them."""

    commands: list[str]
    shown: list[str]


def steps() -> list[Step]:
    found = re.findall(r"^```sh\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", PAGE, re.MULTILINE | re.DOTALL)
    return [Step(commands.splitlines(), shown.splitlines()) for commands, shown in found]


def typed(command: str, folder: Path) -> str:
    words = shlex.split(command)
    if words[0] in _PROGRAMS:
        done = python(*_PROGRAMS[words[0]], *words[1:], cwd=folder)
    else:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_every_command_works_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "examples" / "new_task", tmp_path / "examples" / "new_task")
    for step in steps():
        printed = "".join(typed(command, tmp_path) for command in step.commands).splitlines()
        for line in step.shown:
            assert line.strip() in [own.strip() for own in printed], f"{step.commands} does not print {line!r}"


def test_at_most_twenty_lines_are_typed() -> None:
    commands = [command for step in steps() for command in step.commands]
    assert {"new-task", "check", "table"} <= {word for command in commands for word in command.split()}
    assert len(commands) <= 20
