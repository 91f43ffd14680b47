"""What a file's columns are taken for, and the sentences in which a file is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from harness_ext.data.row_counts import count_rows
from harness_ext.data.rows import table_of
from harness_ext.drafts.columns import Columns, UnknownColumnError, Wanted, find_columns
from harness_ext.errors import DataError, HarnessExtError, InputError

N = range(20)


def table(**columns: Any) -> list[dict[str, Any]]:
    """Rows; a column is a function of the row's number."""
    return [{name: make(number) for name, make in columns.items()} for number in N]


def text(number: int) -> str:
    return f"Text {number}."


def mood(number: int) -> str:
    return "joy" if number % 3 else "fear"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            table(text=text, annotator_1=mood, annotator_2=mood),
            Columns("soft-label", text="text", votes=("annotator_1", "annotator_2"), labels=("fear", "joy")),
        ),
        (
            table(Tweet=text, Emotion=mood),
            Columns("classification", text="Tweet", answer="Emotion", labels=("fear", "joy")),
        ),
        (table(question=text, answer=text), Columns("generation", text="question", answer="answer")),
        (
            table(question=text, A=lambda n: f"a{n}", B=lambda n: f"b{n}", answer=lambda n: "AB"[n % 2]),
            Columns("multiple-choice", text="question", answer="answer", choices=("A", "B"), form="letter"),
        ),
        (
            table(question=text, choices=lambda n: [f"a{n}", f"b{n}", "c"], answer=lambda n: n % 3),
            Columns("multiple-choice", text="question", answer="answer", choices=("choices",), form="from 0"),
        ),
        (
            table(question=text, choices=lambda n: [f"a{n}", f"b{n}", "c"], answer=lambda n: n % 3 + 1),
            Columns("multiple-choice", text="question", answer="answer", choices=("choices",), form="from 1"),
        ),
        (
            table(id=lambda n: n, turns=lambda n: [text(n), "And?"], answer=mood),
            Columns("multi-turn", text="turns", answer="answer", id="id"),
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Columns) else "",
)
def test_columns_are_found_out(rows: list[dict[str, Any]], expected: Columns) -> None:
    assert find_columns(rows, Wanted()) == expected


def test_columns_that_are_named_count() -> None:
    rows = table(anna=mood, ben=mood, remark=text, post=text)
    found = find_columns(rows, Wanted(votes=("anna", "ben"), text="remark"))
    assert (found.kind, found.text, found.votes) == ("soft-label", "remark", ("anna", "ben"))


@pytest.mark.parametrize(
    ("rows", "wanted", "said"),
    [
        (table(text=text, mood=mood)[:15], Wanted(), "there are 15 rows"),
        (table(text=text, mood=mood), Wanted(text="txt"), "there is no column 'txt'; there are 'text', 'mood'"),
        (table(x=text, y=mood), Wanted(), "which column is the right answer"),
        (table(x=text, y=text, label=mood), Wanted(), "which column is the text"),
        (table(text=text, label=text), Wanted(kind="classification"), None),
        (table(text=text, label=lambda _: "joy"), Wanted(kind="classification"), "holds 1 different values"),
        (table(text=lambda n: "" if n == 4 else text(n), label=mood), Wanted(), "row 5: the column 'text' is empty"),
        (table(text=text, label=lambda n: mood(n) if n else None), Wanted(), "row 1: the column 'label' is empty"),
        (table(id=lambda n: n // 2, text=text, label=mood), Wanted(), "row 2 and row 1 have the same 'id' '0'"),
        (
            table(text=text, a1=lambda n: "" if n == 2 else "x" * (n % 2 + 1), a2=lambda n: ""),
            Wanted(),
            "row 3: nobody",
        ),
        (
            table(question=text, choices=lambda _: ["a", "b", "c"], answer=lambda n: n % 2 + 1),
            Wanted(),
            "counts choices from 0 or from 1, nobody can tell",
        ),
        (table(question=text, choices=lambda _: ["a", "a"], answer=lambda _: "a"), Wanted(), "all different"),
        (table(question=text, A=text, B=mood, answer=lambda _: "none"), Wanted(), "is none of the choices"),
    ],
)
def test_what_cannot_be_a_task_is_refused_in_one_sentence(
    rows: list[dict[str, Any]], wanted: Wanted, said: str | None
) -> None:
    if said is None:
        assert len(find_columns(rows, wanted).labels) == len(N)
        return
    with pytest.raises(InputError) as refused:
        find_columns(rows, wanted)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_column_that_cannot_be_found_out_names_the_option() -> None:
    with pytest.raises(UnknownColumnError) as refused:
        find_columns(table(x=text, y=text, label=mood), Wanted())
    assert (refused.value.option, "--text COLUMN" in str(refused.value)) == ("text", True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", None),
        ("a.csv", b"text,text\n1,2\n", "the column 'text' stands twice"),
        ("a.csv", b"text,\n1,2\n", "a column has no name"),
        ("a.csv", b"text,label\n1,2,3\n", "row 1 has 3 cells and the first line 2"),
        ("a.csv", "text,label\nGrüße,joy\n".encode("latin-1"), "Save it in UTF-8"),
        ("a.csv", "text,label\nGrüße,joy\n".encode("utf-16"), "Save it in UTF-8"),
        ("a.csv", b'text,label\n"never closed,joy\n', "not comma-separated"),
        ("a.jsonl", b'{"text": 1}\n[1]\n', "line 2 is no JSON object"),
        ("a.jsonl", b'{"text": 1', "broken or cut-off JSON"),
        ("a.parquet", b"PAR1 and no more", "not Parquet"),
        ("a.xlsx", b"PK", "none of .csv, .jsonl, .parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, said: str | None) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    if said is None:
        assert table_of(file) == []
        return
    with pytest.raises(DataError) as refused:
        table_of(file)
    assert said in str(refused.value)


def test_a_csv_file_with_a_byte_order_mark_and_quoted_line_ends_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes('text,label\r\n"two\nlines, one comma",joy\r\n\r\n'.encode("utf-8-sig"))
    assert table_of(file) == [{"text": "two\nlines, one comma", "label": "joy"}]


def test_parquet_rows_are_read_and_counted(tmp_path: Path) -> None:
    rows = [{"text": "a", "turns": ["b", "c"]}, {"text": None, "turns": []}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert table_of(tmp_path / "a.parquet") == rows
    assert count_rows(tmp_path / "a.parquet", "parquet rows") == len(rows)


@given(st.lists(st.dictionaries(st.text(max_size=4), st.none() | st.text(max_size=3) | st.integers()), max_size=20))
def test_any_rows_are_columns_or_one_of_our_errors(rows: list[dict[str, Any]]) -> None:
    with suppress(HarnessExtError):
        assert isinstance(find_columns(rows, Wanted()), Columns)
