"""Rows of files: what ends a line and what does not."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from harness_ext.data.rows import json_lines, lines_of


def test_only_line_feeds_end_lines_and_an_empty_line_is_one() -> None:
    assert lines_of("a\x85b\u2028c\x0bd\r\n\nlast") == ["a\x85b\u2028c\x0bd", "", "last"]
    assert lines_of("") == [""]


@given(st.lists(st.text(), min_size=1))
def test_any_text_comes_back_from_json_lines(texts: list[str]) -> None:
    written = "\r\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    assert [row["text"] for row in json_lines(written + "\n\n")] == texts
