"""A sound benchmark has no finding; each mistake planted into it is found, under its own name and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from harness_ext.checks.findings import CHECKS, Finding
from harness_ext.checks.lock import write_lock
from harness_ext.checks.look import choose, entries, look

TOY = Path(__file__).parent / "toy"
PLANTED = yaml.safe_load((Path(__file__).parent / "planted.yaml").read_text(encoding="utf-8"))
TWENTY, MORE = PLANTED["twenty"], PLANTED["more"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy"
    shutil.copytree(TOY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(folder / "mirror"))
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    return folder


def plant(folder: Path, mistake: str) -> None:
    for edit in (TWENTY | MORE)[mistake]:
        file = folder / edit["file"]
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        assert edit["old"] in text, f"{edit['file']} has no {edit['old']!r}"
        text = text.replace(edit["old"], edit["new"], 1) if edit["old"] else text + edit["new"]
        file.write_text(text, encoding="utf-8")


def found_in(folder: Path) -> list[Finding]:
    return look(choose(include_path=[folder / "tasks"])).findings


def lock_all(folder: Path) -> None:
    for bench, tasks in entries(choose(include_path=[folder / "tasks"])).items():
        write_lock(bench, tasks)


def test_a_sound_benchmark_has_no_finding(toy: Path) -> None:
    assert found_in(toy) == []
    lock_all(toy)
    assert found_in(toy) == []


@pytest.mark.parametrize("mistake", [*TWENTY, *MORE])
def test_a_planted_mistake_is_found_by_its_name(mistake: str, toy: Path) -> None:
    if mistake == "version-not-raised":
        lock_all(toy)
    plant(toy, mistake)
    findings = found_in(toy)
    assert {finding.check for finding in findings} == {mistake}, findings
    for finding in findings:
        assert finding.file.is_file()
        assert 1 <= finding.line <= len(finding.file.read_text(encoding="utf-8").splitlines()) + 1
        assert finding.why
        assert finding.mend


def test_there_are_twenty_and_every_check_has_a_mistake_of_its_own() -> None:
    assert len(TWENTY) == 20
    assert CHECKS.keys() - TWENTY.keys() - MORE.keys() == {"version-missing", "not-locked"}  # tested below
