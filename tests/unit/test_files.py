"""Whatever a file holds, reading it gives its value or one sentence; nothing waits, explodes or is half read."""

from __future__ import annotations

import gzip
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_ext.files import DEPTH, FileError, json_lines, parse_json, parse_yaml, read_bytes, read_json, read_yaml

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**300), 10**300) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_json_writes_is_read_as_it_was(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return  # no file holds it
    assert parse_json(text) == json.loads(text)


@given(values)
def test_what_yaml_writes_is_read_as_it_was(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert parse_yaml(text) == yaml.safe_load(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    content=st.binary(max_size=400)
    | st.text(alphabet='[]{}":,0123456789eE+-.\\ud8 \n&*a', max_size=200).map(str.encode)
)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.yaml", "x.json.gz"])
def test_any_bytes_give_a_value_or_one_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    try:
        if name.endswith(".yaml"):
            read_yaml(path)
        elif name.endswith(".jsonl"):
            list(json_lines(path))
        else:
            read_json(path)
    except FileError as error:
        assert "\n" not in str(error).strip() or len(str(error)) < 1000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.integers(0, 10_000), flipped=st.integers(1, 255))
def test_a_flipped_byte_in_a_packed_file_is_one_sentence_or_harmless(at: int, flipped: int, tmp_path: Path) -> None:
    value = {"results": {"a": {"acc,none": 0.5}}, "long": ["x" * 50, 1, 2, 3] * 20}
    packed = bytearray(gzip.compress(json.dumps(value).encode(), mtime=0))
    packed[at % len(packed)] ^= flipped
    path = tmp_path / "x.json.gz"
    path.write_bytes(packed)
    try:
        found = read_json(path)
    except FileError:
        return
    assert found == value  # a bit of the header that says nothing of the content


@pytest.mark.parametrize("depth", [DEPTH, DEPTH + 1, 5_000, 500_000])
def test_deep_nesting_ends_in_one_sentence(depth: int) -> None:
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        if depth <= DEPTH:
            parse_json(text)
        else:
            with pytest.raises(FileError, match="nested more than 100 deep"):
                parse_json(text)


def test_deep_yaml_ends_in_one_sentence() -> None:
    for depth in (DEPTH + 1, 20_000):
        with pytest.raises(FileError, match="nested more than 100 deep"):
            parse_yaml("[" * depth + "]" * depth)
        with pytest.raises(FileError, match="nested"):
            parse_yaml("[" * depth + "]" * depth, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def test_aliases_may_repeat_but_not_explode() -> None:
    assert parse_yaml("base: &base {a: 1}\nother:\n  <<: *base\n  b: 2") == {
        "base": {"a": 1},
        "other": {"a": 1, "b": 2},
    }
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(FileError, match="aliases stand for more than 100,000 values"):
        parse_yaml(bomb)
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))
    with pytest.raises(FileError, match="nested more than 100 deep"):
        parse_yaml(chain)
    with pytest.raises(FileError, match="nested more than 100 deep"):
        parse_yaml("a: &a [*a]")


def test_no_yaml_makes_an_object() -> None:
    with pytest.raises(FileError, match="broken YAML"):
        parse_yaml("!!python/object/apply:os.system [echo]")


@pytest.mark.parametrize("before", range(20))
def test_a_number_has_at_most_308_digits_wherever_it_stands(before: int) -> None:
    assert parse_json(" " * before + "7" * 308) == int("7" * 308)
    with pytest.raises(FileError, match="a number of 309 digits"):
        parse_json(" " * before + "7" * 309)


def test_a_number_that_no_float_holds_is_refused_and_digits_in_a_text_are_not() -> None:
    assert parse_json('{"answer": "' + "7" * 5_000 + '"}') == {"answer": "7" * 5_000}
    with pytest.raises(FileError, match="a number of 400 digits"):
        parse_json('{"acc": ' + "7" * 400 + "}")
    assert math.isinf(parse_json("1" + "0" * 400 + ".0"))


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "😀"
    with pytest.raises(FileError, match="surrogate"):
        parse_json('"\\ud83d"')


def test_a_packed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b"[" + b" " * (64 << 20)))
    with pytest.raises(FileError, match="larger than 1 MiB unpacked"):
        read_bytes(path, most=1 << 20)
    with pytest.raises(FileError, match="larger than 1 MiB"):
        list(json_lines(path, most=1 << 20))


def test_what_is_no_ordinary_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path, reason in (
        (tmp_path / "pipe.json", "a pipe or device"),
        (Path("/dev/zero"), "a pipe or device"),
        (tmp_path, "a folder"),
        (tmp_path / "missing.json", "No such file"),
        (tmp_path / "a\0b", "cannot be read"),
    ):
        with pytest.raises(FileError, match=reason):
            read_json(path)
        with pytest.raises(FileError, match=reason):
            list(json_lines(path))


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\ufeff{"a": "one\u2028two\x85"}\r\n\n{"a": 2}', encoding="utf-8", newline="")
    assert list(json_lines(path)) == [(1, {"a": "one\u2028two\x85"}), (3, {"a": 2})]
    path.write_text('{"a": 1}\n{"a": ')
    with pytest.raises(FileError, match="line 2: broken or cut-off JSON"):
        list(json_lines(path))
