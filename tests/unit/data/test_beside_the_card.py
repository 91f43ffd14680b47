"""Files that lie with their card: no commit is invented, and the bytes are pinned all the same."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from harness_ext.data import fetch, load_card
from harness_ext.data.croissant import to_croissant
from harness_ext.errors import DataError

CONTENT = b'{"text": "one"}\n{"text": "two"}\n'
FRONT = """---
pretty_name: Mine
license: mit
language: [en]
x-harness-ext:
  homepage: https://example.org
  licence: mine
  redistributable: false
  sensitive: []
  citation: nobody
  splits: {{test: [votes.jsonl]}}
  fields: {{text: a text}}
  files:
    - name: votes.jsonl
      path: {path}
      sha256: "{sha256}"
      bytes: {size}
      rows: 2
---
Votes.
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a card ``mine`` and its file; neither mirror nor cache is asked."""
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(tmp_path))
    folder = tmp_path / "cards"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "votes.jsonl").write_bytes(CONTENT)
    pin(folder, "data/votes.jsonl")
    return folder


def pin(folder: Path, path: str, content: bytes = CONTENT) -> None:
    digest = hashlib.sha256(content).hexdigest()
    (folder / "mine.md").write_text(FRONT.format(path=path, sha256=digest, size=len(content)))


def test_a_path_counts_from_the_folder_of_the_card(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert fetch("mine", "votes.jsonl", cards=cards) == cards / "data" / "votes.jsonl"


def test_it_may_be_absolute(cards: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "votes.jsonl"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(CONTENT)
    pin(cards, str(elsewhere))
    assert fetch("mine", "votes.jsonl", cards=cards) == elsewhere


def test_another_content_is_refused_and_left_alone(cards: Path) -> None:
    changed = CONTENT.replace(b"two", b"six")
    (cards / "data" / "votes.jsonl").write_bytes(changed)
    with pytest.raises(DataError, match=r"sha256 is .* Put the file back, or pin the new one in the card"):
        fetch("mine", "votes.jsonl", cards=cards)
    assert (cards / "data" / "votes.jsonl").read_bytes() == changed


@pytest.mark.parametrize("path", ["../votes.jsonl", "data/../../votes.jsonl", "/data/../votes.jsonl", "//votes.jsonl"])
def test_a_path_never_leaves_its_folder(cards: Path, path: str) -> None:
    pin(cards, path)
    with pytest.raises(DataError, match="unsafe path"):
        fetch("mine", "votes.jsonl", cards=cards)


def test_nor_does_a_link(cards: Path, tmp_path: Path) -> None:
    (tmp_path / "votes.jsonl").write_bytes(CONTENT)
    (cards / "data" / "votes.jsonl").unlink()
    (cards / "data" / "votes.jsonl").symlink_to(tmp_path / "votes.jsonl")
    with pytest.raises(DataError, match="a link that leads out of the card's folder"):
        fetch("mine", "votes.jsonl", cards=cards)


def test_a_missing_file_is_asked_for_where_it_belongs(cards: Path) -> None:
    (cards / "data" / "votes.jsonl").unlink()
    with pytest.raises(DataError, match=f"is not at {cards / 'data' / 'votes.jsonl'}. Put it with its card"):
        fetch("mine", "votes.jsonl", cards=cards)


def test_a_card_in_an_archive_has_no_files(cards: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cards.zip", "w") as archive:
        archive.write(cards / "mine.md", "mine.md")
    with (
        zipfile.ZipFile(tmp_path / "cards.zip") as archive,
        pytest.raises(DataError, match="in an archive, with which no file can lie"),
    ):
        fetch("mine", "votes.jsonl", cards=zipfile.Path(archive))


def test_a_file_with_an_address_still_needs_a_commit(cards: Path) -> None:
    text = (cards / "mine.md").read_text()
    (cards / "mine.md").write_text(
        text.replace("      sha256", "      url: https://x.org/data/votes.jsonl\n      sha256")
    )
    with pytest.raises(DataError, match="expected owner/repo/commit/path"):
        load_card("mine", cards)


def test_it_is_exported_by_its_path(cards: Path) -> None:
    (file,) = to_croissant(load_card("mine", cards))["distribution"]
    assert file["contentUrl"] == "data/votes.jsonl"
