"""Rows of a file: one rule a kind of file, each checked against a reader that is not ours."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_ext.data.row_counts import count_rows, default_row_rule

# The folder of the test is shared by all examples; each writes its file anew.
same_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("rule", "content", "rows"),
    [
        ("json lists", b"[1, 2]\n[3]\n\n[]", 3),
        ("lines", b"a\n\nb\n", 3),
        ("lines", b"a\nb", 2),
        ("lines", b"", 0),
        ("lines", "a\u2028b\x85c\x0bd\r\n".encode(), 1),
        ("lines after a header", b"h\na\nb\n", 2),
        ("csv records", b'h,i\r\n1,"a\r\nb"\r\n2,c\r\n', 2),
        ("json lines", b'{"a": 1}\n\n{"a": "\\n"}', 2),
        ("json", b"[1, 2, 3]", 3),
        ("json", b'{"a": 1, "b": 2}', 2),
        ("json a.*.b", b'{"a": [{"b": [1, 2]}, {"b": [3]}]}', 3),
        ("json a.*", b'{"a": {"x": [1, 2], "y": []}}', 2),
        ("numbered blocks", b"16 2\n(1,2)\n1 | a | b | 12 | 0:1\n2 | a\n17 1\n\n1 | c\n", 2),
        ("dashed blocks", b"a\n" + b"-" * 70 + b"\nb -- c\n" + b"-" * 70 + b"\n", 2),
    ],
)
def test_rows_are_counted_by_the_rule(tmp_path: Path, rule: str, content: bytes, rows: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert count_rows(file, rule) == rows


def test_rows_of_all_tables_of_a_database_count(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as database:
        for table, rows in {"plain": 2, 'with "quotes" and blanks': 3, "empty": 0}.items():
            name = table.replace('"', '""')
            database.execute(f'CREATE TABLE "{name}" (a)')
            database.executemany(f'INSERT INTO "{name}" VALUES (?)', [(row,) for row in range(rows)])
    database.close()
    assert count_rows(tmp_path / "x.db", "sqlite rows") == 5


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@same_folder
@given(table=st.lists(st.tuples(st.integers(0, 9), cells), min_size=1))
def test_csv_records_are_counted_as_pandas_wrote_them(tmp_path: Path, table: list[tuple[int, str]]) -> None:
    file = tmp_path / "table.csv"
    # Unless told to quote all texts, pandas leaves a lone carriage return unquoted, which is not RFC 4180.
    pd.DataFrame(table, columns=["number", "text"]).to_csv(file, index=False, quoting=csv.QUOTE_NONNUMERIC)
    assert count_rows(file, "csv records") == len(table)


@same_folder
@given(records=st.lists(st.dictionaries(cells, cells)))
def test_json_lines_are_counted_as_they_were_written(tmp_path: Path, records: list[dict[str, str]]) -> None:
    file = tmp_path / "records.jsonl"
    text = io.StringIO()
    for record in records:
        text.write(json.dumps(record, ensure_ascii=False) + "\n")
    file.write_bytes(text.getvalue().encode())
    assert count_rows(file, "json lines") == len(records)


def test_an_unknown_rule_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(ValueError, match="no such rule"):
        count_rows(tmp_path / "x", "guess")


def test_documents_have_no_rule() -> None:
    assert default_row_rule("norm.docx") is None
    assert default_row_rule("TEST.JSONL") == "json lines"
