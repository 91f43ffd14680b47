"""Dreaddit docs and the personality of their authors: orientation, sources of estimates, refusals."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_ext.errors import DataError, InputError
from harness_ext.tasks.mbtibench import dreaddit
from harness_ext.tasks.mbtibench.dimensions import DIMENSIONS
from harness_ext.tasks.mbtibench.personality import estimates_from_rows, orientation, personality_lines, read_estimates

ROW = {"id": 1, "E/I": 7, "S/N": 2.5, "T/F": None, "J/P": 5}
LETTERS = {"id": 1, "E/I": "I", "S/N": "S", "T/F": "T", "J/P": "P"}

values = st.lists(st.none() | st.integers(1, 9).map(lambda score: (score - 1) / 8), min_size=4, max_size=4)
SAMPLE_ESTIMATES = dreaddit.sample_estimates().by_id
CONDITIONS: tuple[dreaddit.Condition, ...] = ("none", "hard", "soft", "soft_inverted")


def lines_of(estimates: list[float | None], mode: Any) -> list[str]:
    return personality_lines(estimates, mode=mode).splitlines()


@given(values)
def test_checker_flags_every_decidable_inverted_line_and_no_other(estimates: list[float | None]) -> None:
    for mode, verdict in (("soft", "correct"), ("hard", "correct"), ("soft_inverted", "inverted")):
        for line, value in zip(lines_of(estimates, mode), estimates, strict=True):
            undecidable = value is None or value == 0.5
            assert orientation(line, value) == ("ambiguous" if undecidable else verdict)


@given(values)
def test_shares_of_a_line_add_up_to_one_hundred_percent(estimates: list[float | None]) -> None:
    for mode in ("soft", "hard", "soft_inverted"):
        for line in lines_of(estimates, mode):
            shares = [float(part.split("%")[0]) for part in line.split(", ")]
            assert sum(shares) == pytest.approx(100, abs=0.1)
            assert min(shares) >= 0


def test_letters_are_shown_as_certain() -> None:
    assert personality_lines(["I", "S", "T", "P"], mode="hard").splitlines() == [
        "0.0% Extraversion, 100.0% Introversion",
        "100.0% Sensing, 0.0% Intuition",
        "100.0% Thinking, 0.0% Feeling",
        "0.0% Judging, 100.0% Perceiving",
    ]
    assert orientation("0.0% Extraversion, 100.0% Introversion", "I") == "correct"
    assert orientation("0.0% Extraversion, 100.0% Introversion", "E") == "inverted"


@pytest.mark.parametrize("line", ["", "75% Extraversion", "75.0% Introversion, 25.0% Extraversion", "a% Sensing, b%"])
def test_a_text_that_is_no_personality_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a personality line"):
        orientation(line, 0.75)


def test_scores_letters_and_gaps_become_soft_labels() -> None:
    assert estimates_from_rows([ROW], "x").by_id == {1: (0.75, 0.1875, None, 0.5)}
    letters = estimates_from_rows([LETTERS], "x")
    assert (letters.by_id, letters.letters) == ({1: (1.0, 0.0, 0.0, 1.0)}, True)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{**ROW, "E/I": 0}], "row 1: E/I is 0, not a score from 1 to 9, E or I"),
        ([{**ROW, "E/I": True}], "E/I is True"),
        ([{**ROW, "S/N": "E"}], "S/N is 'E'"),
        ([ROW, ROW], "row 2: id 1 is there twice"),
        ([ROW, {**LETTERS, "id": 2}], "mixes scores and letters"),
        ([{"id": 1, "E/I": 7}], "row 1: no id or no"),
        ([[1]], "row 1: no id or no"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(rows: list[Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        estimates_from_rows(rows, "personality.jsonl")


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def database(file: Path, kind: str, answers: dict[str, str]) -> Path:
    with closing(sqlite3.connect(file)) as connection, connection:
        for dimension in DIMENSIONS.values():
            columns = "id INTEGER PRIMARY KEY, messages TEXT, response TEXT, posts TEXT, label TEXT, labeltype TEXT"
            connection.execute(f"CREATE TABLE {dimension.table} ({columns})")
            row = (1, "", answers[dimension.name], "", "no", kind)
            connection.execute(f"INSERT INTO {dimension.table} VALUES (?, ?, ?, ?, ?, ?)", row)
    return file


def test_the_same_estimates_are_read_from_rows_from_a_database_and_from_logged_samples(tmp_path: Path) -> None:
    answers = {"E/I": "[[7]]", "S/N": "so [[2.5]]", "T/F": "no idea", "J/P": "[[5]]"}
    for dimension in DIMENSIONS.values():
        for time, text in (("2025-01-01T00", "[[1]]"), ("2025-01-02T00", answers[dimension.name])):
            name = f"samples_mbtibench_dreaddit_personality_{dimension.table.lower()}_{time}.jsonl"
            (tmp_path / "run").mkdir(exist_ok=True)
            write(tmp_path / "run" / name, [{"doc_id": 0, "doc": {"id": 1}, "filtered_resps": [text]}])
    sources = (
        write(tmp_path / "scores.jsonl", [ROW]),
        database(tmp_path / "soft of 10%?.db", "soft", answers),
        tmp_path / "run",
    )
    for source in sources:
        estimates = read_estimates(source)
        assert estimates.by_id == {1: (0.75, 0.1875, None, 0.5)}, source
        assert not estimates.letters


def test_a_database_of_choices_gives_letters(tmp_path: Path) -> None:
    answers = {"E/I": "CHOICE: B", "S/N": "CHOICE: S", "T/F": "choice: <a>", "J/P": "CHOICE: P"}
    estimates = read_estimates(database(tmp_path / "hard.db", "hard", answers))
    assert (estimates.by_id, estimates.letters) == ({1: (1.0, 0.0, 0.0, 1.0)}, True)


def test_a_database_is_opened_read_only(tmp_path: Path) -> None:
    file = database(tmp_path / "x.db", "soft", dict.fromkeys(DIMENSIONS, "[[7]]"))
    before = file.read_bytes()
    file.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        read_estimates(file)
        assert [child.name for child in tmp_path.iterdir()] == ["x.db"]
    finally:
        tmp_path.chmod(0o700)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database", b""])
def test_a_file_that_is_no_released_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.db is not a released results file"):
        read_estimates(tmp_path / "x.db")


def test_a_missing_or_unreadable_source_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not there; give a \.jsonl file, a \.db file or a folder"):
        read_estimates(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match="run that task with --log_samples"):
        read_estimates(tmp_path)
    (tmp_path / "x.jsonl").write_text("{")
    with pytest.raises(DataError, match="is not JSON Lines"):
        read_estimates(tmp_path / "x.jsonl")


def sample(condition: dreaddit.Condition, **chosen: Any) -> list[dict[str, Any]]:
    return list(dreaddit.load_stress(condition, data="sample", **chosen)["test"])


def test_conditions_differ_in_nothing_but_what_they_say_about_personality() -> None:
    docs = {condition: sample(condition) for condition in CONDITIONS}
    for none, hard, soft, inverted in zip(*docs.values(), strict=True):
        assert none["mbti_lines"] == ""
        assert hard["user"].replace(hard["mbti_lines"], soft["mbti_lines"]) == soft["user"]
        assert inverted["user"].replace(inverted["mbti_lines"], soft["mbti_lines"]) == soft["user"]
        assert len({doc["posts_text"] for doc in (none, hard, soft, inverted)}) == 1


def test_only_the_inverted_condition_is_inverted() -> None:
    for condition in CONDITIONS[1:]:
        for doc in sample(condition):
            pairs = zip(doc["mbti_lines"].splitlines(), SAMPLE_ESTIMATES[doc["id"]], strict=True)
            found = {orientation(line, value) for line, value in pairs}
            assert found <= {"ambiguous", "inverted" if condition == "soft_inverted" else "correct"}


def test_sample_has_both_labels_and_lines_that_cannot_be_decided() -> None:
    docs = sample("soft")
    assert len(docs) >= 16
    assert {doc["label"] for doc in docs} == {"yes", "no"}
    assert "50.0% Extraversion, 50.0% Introversion" in "".join(doc["mbti_lines"] for doc in docs)


def all_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "id": number} for number in SAMPLE_ESTIMATES]


def test_letters_serve_the_hard_condition_and_no_other(tmp_path: Path) -> None:
    letters = str(write(tmp_path / "letters.jsonl", all_rows(LETTERS)))
    recorded: dict[str, Any] = {}
    docs = sample("hard", personality_hard=letters, recorded=recorded)
    assert {doc["mbti_lines"] for doc in docs} == {personality_lines(["I", "S", "T", "P"])}
    assert recorded["letters_derived_from_scores"] is False
    assert recorded["personality"] == "letters.jsonl"
    for condition in ("soft", "soft_inverted"):
        with pytest.raises(InputError, match=f"has letters, but {condition} shows scores"):
            sample(condition, personality=letters)


def test_letters_are_derived_from_scores_and_the_run_says_so(tmp_path: Path) -> None:
    scores = str(write(tmp_path / "scores.jsonl", all_rows(ROW)))
    recorded: dict[str, Any] = {}
    docs = sample("hard", personality=scores, recorded=recorded)
    assert docs[0]["mbti_lines"].splitlines() == [
        "0.0% Extraversion, 100.0% Introversion",
        "100.0% Sensing, 0.0% Intuition",
        "50.0% Thinking, 50.0% Feeling",
        "50.0% Judging, 50.0% Perceiving",
    ]
    assert recorded["letters_derived_from_scores"] is True


def test_authors_without_estimate_are_counted(tmp_path: Path) -> None:
    scores = str(write(tmp_path / "scores.jsonl", all_rows(ROW)[1:]))
    with pytest.raises(DataError, match=r"scores\.jsonl lacks 1 authors, the first is id 100001"):
        sample("soft", personality=scores)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_personality_docs_ask_about_one_post_and_have_no_gold(dimension: str) -> None:
    for doc in dreaddit.load_personality(dimension, data="sample")["test"]:
        assert doc["posts_text"] in doc["user"]
        assert DIMENSIONS[dimension].first_name in doc["user"]
        assert not {"soft", "hard", "label"} & set(doc)


def test_unknown_data_is_refused() -> None:
    with pytest.raises(InputError, match="give 'real' or 'sample'"):
        dreaddit.load_stress("none", data="test")
