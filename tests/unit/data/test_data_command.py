"""``harness-ext data`` as a process: what it prints and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness_ext.data import list_sources, load_card

MAIN = "from harness_ext.cli import main; main()"


def data(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HARNESS_EXT_MIRROR": str(folder / "mirror"),
        "HARNESS_EXT_CACHE": str(folder / "cache"),
        "HARNESS_EXT_OFFLINE": "1",
    }
    command = [sys.executable, "-c", MAIN, "data", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_list_counts_what_is_here(tmp_path: Path) -> None:
    file = load_card("tweeteval").file("emotion/mapping.txt")
    copy = tmp_path / "mirror" / file.path
    copy.parent.mkdir(parents=True)
    copy.write_text("not checked by list")
    done = data(tmp_path, "list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["source"]: row for row in json.loads(done.stdout)}
    assert sorted(rows) == list_sources()
    assert rows["tweeteval"]["present"] == 1
    assert rows["reccon"]["present"] == 0
    lines = data(tmp_path, "list").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["source", *list_sources()]


def test_show_prints_the_card_and_marks_missing_files(tmp_path: Path) -> None:
    done = data(tmp_path, "show", "reccon")
    assert done.returncode == 0, done.stderr
    assert load_card("reccon").prose in done.stdout
    assert done.stdout.count("missing") >= len(load_card("reccon").files)
    assert json.loads(data(tmp_path, "show", "reccon", "--json").stdout)["source"] == "reccon"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "nothing"], 2, "there is no data card 'nothing'"),
        (["fetch", "reccon", "nothing.json"], 2, "lists no file 'nothing.json'"),
        (["fetch", "reccon"], 2, "give either names of files of 'reccon' or --all"),
        (["fetch", "reccon", "--all"], 3, "HARNESS_EXT_OFFLINE=1 forbids downloading it"),
        (["page", "no/such/folder/page.md"], 2, "cannot be written"),
    ],
)
def test_errors_are_one_line_on_stderr_with_their_exit_code(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = data(tmp_path, *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_verify_names_a_wrong_copy_and_fails(tmp_path: Path) -> None:
    assert data(tmp_path, "verify").returncode == 0, "missing files are no error"
    file = load_card("tweeteval").file("emotion/mapping.txt")
    copy = tmp_path / "cache" / "data" / file.path
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"x" * file.bytes)
    done = data(tmp_path, "verify", "tweeteval", "reccon")
    assert done.returncode == 3
    assert "tweeteval: 0 right, 1 wrong, 33 missing" in done.stdout
    assert "reccon: 0 right, 0 wrong, 3 missing" in done.stdout
    assert "emotion/mapping.txt: sha256 is " in done.stdout
    assert copy.exists()


def test_page_and_croissant_write_files(tmp_path: Path) -> None:
    page, croissant = tmp_path / "page.md", tmp_path / "c.json"
    assert data(tmp_path, "page", str(page)).stdout == f"{page}\n"
    assert page.read_text(encoding="utf-8").startswith("# Data cards\n")
    assert data(tmp_path, "croissant", "tombench", "-o", str(croissant)).returncode == 0
    assert json.loads(croissant.read_text(encoding="utf-8")) == json.loads(
        data(tmp_path, "croissant", "tombench").stdout
    )
