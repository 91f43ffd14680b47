"""Cards: the schema refuses what is inconsistent or unsafe, and every card of the package fits it."""

from __future__ import annotations

import re
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness_ext.data import CardFile, list_sources, load_card
from harness_ext.data.cards import check_relative_path, parse_card
from harness_ext.errors import DataError

COMMIT = "a" * 40
CARD = f"""---
pretty_name: Toy
license: mit
language: [en]
task_categories: [text-classification]
x-harness-ext:
  homepage: https://example.org
  licence: MIT
  redistributable: true
  sensitive: [personal]
  citation: nobody
  splits: {{test: [data.txt]}}
  fields: {{line: a line}}
  files:
    - name: data.txt
      path: owner/repo/{COMMIT}/a folder/data.txt
      url: https://example.org/owner/repo/{COMMIT}/a%20folder/data.txt
      sha256: {"b" * 64}
      bytes: 12
      rows: 3
---
# Toy

Prose.
"""


def test_a_card_is_read_with_its_prose_and_the_hub_metadata() -> None:
    card = parse_card("toy", CARD)
    assert (card.source, card.hub.pretty_name, card.prose) == ("toy", "Toy", "# Toy\n\nProse.")
    assert card.hub.model_extra == {"task_categories": ["text-classification"]}
    assert card.file("data.txt").rows == 3


def test_line_ends_of_another_system_do_not_matter() -> None:
    assert parse_card("toy", CARD.replace("\n", "\r\n")) == parse_card("toy", CARD)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  citation: nobody\n", "", "citation: Field required"),
        ("  citation: nobody\n", "  citation: nobody\n  colour: red\n", "colour: Extra inputs are not permitted"),
        ("      rows: 3\n", "      rows: 3\n      colour: red\n", "colour: Extra inputs are not permitted"),
        ("  citation: nobody\n", "  citation: nobody\n  prose: x\n", "unknown key 'prose'"),
        ("sensitive: [personal]", "sensitive: [scary]", "Input should be 'personal'"),
        (f"owner/repo/{COMMIT}/a f", "owner/repo/main/a f", "'main' in path is not a full commit"),
        (f"owner/repo/{COMMIT}/a f", f"owner/repo/{COMMIT[:-1]}/a f", "is not a full commit"),
        (f"owner/repo/{COMMIT}/a f", f"owner/{COMMIT}/a f", "is not a full commit"),
        (f"path: owner/repo/{COMMIT}", f"path: ow ner/repo/{COMMIT}", "expected owner/repo/commit/path"),
        (f"org/owner/repo/{COMMIT}", f"org/owner/repo/{'c' * 40}", "does not name the commit and path"),
        ("a%20folder/data.txt", "a%20folder/other.txt", "does not name the commit and path"),
        ("a%20folder", "b", "does not name the commit and path"),
        ("https://example.org/owner", "http://example.org/owner", "is not https"),
        ("https://example.org/owner", "file:///owner", "is not https"),
        ("- name: data.txt", "- name: other.txt", "name is not a tail of the path"),
        ("- name: data.txt", "- name: ata.txt", "name is not a tail of the path"),
        ("test: [data.txt]", "test: [dota.txt]", "split 'test' names 'dota.txt'"),
        ("bytes: 12", "bytes: 0", "greater than 0"),
        ("b" * 64, "B" * 64, "String should match pattern"),
        ("rows: 3", "rows: 3\n      rows_by: feeling", "String should match pattern"),
        ("---\npretty", "pretty", "no YAML front matter"),
        ("x-harness-ext:", "x-other:", "no block 'x-harness-ext'"),
        ("language: [en]", "language: [en", "not YAML"),
        ("# Toy\n\nProse.\n", "", "prose"),
    ],
)
def test_a_card_that_is_wrong_is_refused_with_its_name_and_the_reason(old: str, new: str, complaint: str) -> None:
    assert old in CARD
    with pytest.raises(DataError, match=re.escape(complaint)) as caught:
        parse_card("toy", CARD.replace(old, new))
    assert str(caught.value).startswith("data_cards/toy.md: ")
    assert "\n" not in str(caught.value)


def test_a_document_without_a_known_way_of_counting_has_no_rows() -> None:
    document = CARD.replace("data.txt", "data.docx")
    with pytest.raises(DataError, match="rows_by does not say how they are counted"):
        parse_card("toy", document)
    assert parse_card("toy", document.replace("rows: 3", "rows: null")).files[0].row_rule is None


def test_two_files_may_not_share_a_name() -> None:
    files = CARD[CARD.index("    - name") : CARD.index("---\n# Toy")]
    twice = CARD.replace(files, files + files.replace("owner/repo", "owner/copy"))
    with pytest.raises(DataError, match=re.escape("file name 'data.txt' is listed twice")):
        parse_card("toy", twice)


UNSAFE_ANYWHERE = ["..", "a/../../x", "a//b", "a/./b", "a/", "a\\..\\b", "a\nb", "a\x00b", "a/... ", "a/ b", "x" * 300]
UNSAFE_ALONE = ["", "/etc/passwd", "../x", "C:/x", "C:x", " a", "a/...", "\ud800"]


@pytest.mark.parametrize("path", UNSAFE_ANYWHERE + UNSAFE_ALONE)
def test_an_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unsafe path"):
        check_relative_path(path)


@pytest.mark.parametrize("folder", UNSAFE_ANYWHERE)
def test_a_card_cannot_point_outside_its_folder(folder: str) -> None:
    path = f"owner/repo/{COMMIT}/{folder}/data.txt"
    url = f"https://example.org/{quote(path)}"
    with pytest.raises(ValidationError, match="unsafe path"):
        CardFile(name="data.txt", path=path, url=url, sha256="b" * 64, bytes=1, rows=1)


def is_inside(root: PurePath, path: PurePath) -> bool:
    return path.is_relative_to(root) and path != root and ".." not in path.parts


@given(st.one_of(st.text(), st.text(alphabet="./\\: aC~"), st.from_regex(r"\A(\.\./|/|C:|[a-c]/|\.){0,5}\Z")))
def test_an_accepted_path_stays_below_its_folder_on_every_system(path: str) -> None:
    try:
        accepted = check_relative_path(path)
    except ValueError:
        return
    assert accepted == path
    assert is_inside(PurePosixPath("/mirror"), PurePosixPath("/mirror") / path)
    assert is_inside(PureWindowsPath("C:/mirror"), PureWindowsPath("C:/mirror") / path)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_’文-]{2,20}(\.[a-z]{1,5})?", fullmatch=True), min_size=1, max_size=6))
def test_ordinary_paths_are_accepted(parts: list[str]) -> None:
    assert check_relative_path("/".join(parts)) == "/".join(parts)


@pytest.mark.parametrize("source", list_sources())
def test_every_card_of_the_package_fits_the_schema_and_the_licence_allows_what_it_says(source: str) -> None:
    card = load_card(source)
    for file in card.files:
        assert file.url.startswith("https://"), file.name
    if {"non-commercial", "copyrighted", "evaluation-only"} & set(card.sensitive):
        assert not card.redistributable
    for heading in ("## What is wrong with it", "## What it must not be used for"):
        assert heading in card.prose


def test_no_two_cards_pin_the_same_file() -> None:
    owners: dict[str, list[Any]] = {}
    for source in list_sources():
        for file in load_card(source).files:
            owners.setdefault(file.path, []).append(source)
    assert {path: sources for path, sources in owners.items() if len(sources) > 1} == {}


LISTED = "name\tpath\tsha256\tbytes\trows\tsplit\n" + "".join(
    f"{n}_Zoë/a.json\towner/repo/{'0' * 40}/data/{n}_Zoë/a.json\t{'a' * 64}\t{n}\t2\tlevel1\n" for n in (1, 2)
)
UNLISTED = """---
pretty_name: Toy
license: mit
language: [en]
x-harness-ext:
  homepage: https://example.org
  licence: MIT
  redistributable: true
  sensitive: []
  citation: nobody
  fields: {}
---
Prose.
"""


def test_a_source_of_many_files_lists_them_beside_its_card(tmp_path: Path) -> None:
    (tmp_path / "toy.md").write_text(UNLISTED, encoding="utf-8")
    with pytest.raises(DataError, match="files: Field required"):
        load_card("toy", tmp_path)
    (tmp_path / "toy.tsv").write_text(LISTED, encoding="utf-8")
    card = load_card("toy", tmp_path)
    assert card.splits == {"level1": ["1_Zoë/a.json", "2_Zoë/a.json"]}
    assert (card.files[1].bytes, card.files[1].rows) == (2, 2)
    assert card.files[0].url == f"https://raw.githubusercontent.com/owner/repo/{'0' * 40}/data/1_Zo%C3%AB/a.json"
    (tmp_path / "toy.tsv").write_text("name\tpath\nx\ty\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"toy\.tsv, is broken"):
        load_card("toy", tmp_path)
