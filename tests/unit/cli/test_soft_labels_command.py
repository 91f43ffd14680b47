"""``harness-ext data soft-labels`` as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness_ext.cli import main

Run = Callable[..., tuple[int, str, str]]
GOOD = [("E+", "E-", "E-"), ("E-", "E-", "I-"), ("I-", "E-", "I-"), ("I-", "I+", "I-")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness-ext", "data", "soft-labels", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return command


def record(votes: tuple[str, ...] = GOOD[0], **more: Any) -> dict[str, Any]:
    return {"annotation": {"E/I": dict(zip(("A1", "A2", "A3"), votes, strict=False))}, **more}


def written(file: Path, records: list[Any]) -> Path:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in records), encoding="utf-8")
    return file


def test_labels_are_written_a_line_a_record_and_to_standard_output_by_default(run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "votes.jsonl", [record(votes, id=f"r{i}", posts=["x"]) for i, votes in enumerate(GOOD)])
    code, out, _ = run(source)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["id"] for row in rows] == ["r0", "r1", "r2", "r3"]
    assert [row["softlabels"]["E/I"] for row in rows] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [row["hardlabels"]["E/I"] for row in rows] == ["E", "E", "I", "I"]
    assert "posts" not in rows[0]
    code, nothing, err = run(source, "--output", tmp_path / "labels.jsonl")
    assert (code, nothing) == (0, "")
    assert f"Wrote {tmp_path / 'labels.jsonl'}." in err
    assert (tmp_path / "labels.jsonl").read_text(encoding="utf-8") == out


def test_records_without_id_are_numbered_and_blank_lines_skipped(run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "votes.jsonl", [record(votes) for votes in GOOD])
    source.write_text("\ufeff" + source.read_text(encoding="utf-8").replace("\n", "\r\n\r\n"), encoding="utf-8")
    assert [json.loads(line)["id"] for line in run(source)[1].splitlines()] == [1, 2, 3, 4]


def test_a_fit_stopped_by_max_iter_is_said(run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "votes.jsonl", [record(votes) for votes in GOOD])
    assert "stopped by --max-iter" in run(source, "--tol", "0", "--max-iter", "2")[2]
    assert "stopped by" not in run(source, "--tol", "1e-8", "--prior", "soft", "--normalise-init")[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no record"),
        (json.dumps(record()) + "\n\n{broken\n", "line 3 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ("[1, 2]\n", "line 1 has no field `annotation`"),
        ('{"annotation": {"E/I": "E+"}}\n', "line 1 has no field `annotation`"),
        (json.dumps(record(("E+", "E-"))), "line 1 dimension E/I has 2 annotators (A1, A2)"),
        (f"{json.dumps(record())}\n{json.dumps(record(('E+', 'E-')))}", "line 2: dimension E/I lacks annotator A3"),
        (json.dumps(record(("E+", "N+", "E-"))), "line 1: dimension E/I annotator A2 has the unknown option 'N+'"),
        (
            f'{json.dumps(record())}\n{{"annotation": {{"E/I": {{"A1": "E+", "A2": ["E+"], "A3": null}}}}}}',
            "line 2: dimension E/I annotator A2 has the unknown option ['E+']",
        ),
        (
            f'{json.dumps(record())}\n{{"annotation": {{"E/I": {{"A1": "E+", "A2": "E+", "A3": "E-", "A4": "E-"}}}}}}',
            "line 2: dimension E/I has a further annotator A4",
        ),
        (f'{json.dumps(record())}\n{{"annotation": {{"S/N": {{}}}}}}', "line 2: dimensions are S/N"),
        ('{"annotation": {"EI": {"A1": "E+", "A2": "E+", "A3": "E-"}}}', "dimension 'EI' is not of the form"),
    ],
)
def test_bad_records_are_one_line_that_names_the_place(run: Run, tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "votes.jsonl"
    source.write_text(text, encoding="utf-8")
    code, out, err = run(source, "--output", tmp_path / "labels.jsonl")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith(f"error: {source}")
    assert message in err
    assert not (tmp_path / "labels.jsonl").exists()


def test_files_that_cannot_be_read_or_written_are_one_line(run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "votes.jsonl", [record()])
    assert run(tmp_path / "absent.jsonl")[0] == 2
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}\n')
    assert "byte 0xe9 in position 8" in run(tmp_path / "latin.jsonl")[2]
    code, _, err = run(source, "--output", tmp_path / "nowhere" / "labels.jsonl")
    assert code == 2
    assert "cannot be written (No such file or directory)" in err
    assert run(source, "--tol", "nan")[0] == 2


def test_the_votes_are_never_overwritten_and_a_failed_write_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "votes.jsonl", [record()])
    code, _, err = run(source, "-o", source)
    assert code == 2
    assert "would be overwritten" in err
    folder = tmp_path / "labels.jsonl"
    folder.mkdir()
    assert run(source, "-o", folder)[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.jsonl", "votes.jsonl"]
