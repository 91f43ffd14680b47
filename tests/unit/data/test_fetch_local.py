"""Copies that are on this machine: found in order, checked, never replaced, and a miss is one clear error."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import checksums
from harness_ext.data.checks import check_copies
from harness_ext.errors import DataError, InputError


def test_the_mirror_comes_first_then_the_cache_and_the_network_is_not_asked(
    toy: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = toy.put(toy.cache / "data")
    assert toy.fetch() == cached
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(toy.mirror))
    assert toy.fetch() == cached, "a mirror without the file is passed over"
    mirrored = toy.put(toy.mirror)
    assert toy.fetch() == mirrored
    assert server.asked == 0


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "HARNESS_EXT_OFFLINE"])
def test_offline_without_a_copy_names_card_file_licence_and_the_three_ways(
    toy: Any, server: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(toy.mirror))
    with pytest.raises(DataError) as caught:
        toy.fetch()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("toy", "data.txt", "MIT in toy letters", f"{variable}=1", str(toy.mirror), str(toy.cached), toy.path):
        assert part in message
    for way in ("harness-ext data fetch toy 'data.txt'", "set HARNESS_EXT_MIRROR", "put the file at"):
        assert way in message
    assert server.asked == 0


def test_an_offline_variable_that_says_no_does_not_forbid_the_network(
    toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert toy.fetch().read_bytes() == toy.content


@pytest.mark.parametrize("place", ["mirror", "cache"])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [(lambda content: content[:-100], "size is"), (lambda content: b"X" + content[1:], "sha256 is")],
    ids=["truncated", "changed"],
)
def test_a_wrong_copy_is_neither_used_nor_removed_nor_replaced(
    toy: Any, server: Any, monkeypatch: pytest.MonkeyPatch, place: str, damage: Any, complaint: str
) -> None:
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(toy.mirror))
    wrong = toy.put(toy.mirror if place == "mirror" else toy.cache / "data", damage(toy.content))
    before = wrong.read_bytes()
    with pytest.raises(DataError) as caught:
        toy.fetch()
    message = str(caught.value)
    assert message.startswith(f"data.txt: {complaint}")
    assert "expected" in message
    assert "(data_cards/toy.md)" in message
    assert str(wrong) in message
    assert message.endswith("Delete the file or point HARNESS_EXT_MIRROR at a good copy.")
    assert wrong.read_bytes() == before
    assert server.asked == 0


def test_a_copy_is_hashed_once_and_again_when_it_changes(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def counted(file: Path, original: Any = checksums.sha256_of) -> str:
        hashed.append(file)
        return original(file)

    monkeypatch.setattr(checksums, "sha256_of", counted)
    copy = toy.put(toy.cache / "data")
    toy.fetch()
    toy.fetch()
    assert hashed == [copy]
    status = copy.stat()
    copy.write_bytes(b"X" + toy.content[1:])
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size and time of change: a careless restore
    with pytest.raises(DataError, match="sha256 is"):
        toy.fetch()


def test_a_remembered_check_that_was_damaged_only_costs_another_check(toy: Any) -> None:
    copy = toy.put(toy.cache / "data")
    toy.fetch()
    (note,) = (toy.cache / "verified").iterdir()
    note.write_bytes(b"\xff{ not json")
    assert toy.fetch() == copy


def test_a_read_only_cache_gives_what_it_has_and_says_what_it_cannot_take(toy: Any, server: Any, mounted: Any) -> None:
    with mounted(toy.cache, "size=4m"):
        copy = toy.put(toy.cache / "data")
        subprocess.run(["mount", "-o", "remount,ro", toy.cache], check=True)
        assert toy.fetch() == copy
        subprocess.run(["mount", "-o", "remount,rw", toy.cache], check=True)
        copy.unlink()
        subprocess.run(["mount", "-o", "remount,ro", toy.cache], check=True)
        with pytest.raises(DataError, match=r"cannot be written \(Read-only file system\)\. Set HARNESS_EXT_CACHE"):
            toy.fetch()
    assert server.asked == 0


def test_a_mirror_serves_even_if_no_cache_can_be_made(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    obstacle = toy.cards / "toy.md"
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(obstacle / "cache"))
    monkeypatch.setenv("HARNESS_EXT_MIRROR", str(toy.mirror))
    mirrored = toy.put(toy.mirror)
    assert toy.fetch() == mirrored


def test_a_cache_that_cannot_be_made_is_one_clear_error(toy: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_EXT_CACHE", str(toy.cards / "toy.md" / "cache"))
    with pytest.raises(DataError, match=r"toy\.md/cache cannot be written .* Set HARNESS_EXT_CACHE to a folder"):
        toy.fetch()
    assert server.asked == 0


def test_an_unknown_file_or_card_is_answered_with_what_there_is(toy: Any) -> None:
    from harness_ext.data import fetch

    with pytest.raises(InputError, match=r"lists no file 'dota\.txt'. It has: data\.txt"):
        fetch("toy", "dota.txt", cards=toy.cards)
    with pytest.raises(InputError, match=r"no data card 'tuy'\. There are: toy"):
        fetch("tuy", "data.txt", cards=toy.cards)


@pytest.mark.parametrize("source", ["../cards/toy", "toy/../toy", "/etc/passwd", "", ".", "Toy"])
def test_a_source_name_is_never_a_path(toy: Any, source: str) -> None:
    from harness_ext.data import fetch

    with pytest.raises(InputError, match="no data card"):
        fetch(source, "data.txt", cards=toy.cards)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("20000", None),
        (
            "19999",
            "data.txt: the card says 19999 rows, 'lines' counts 20000. The file is right; mend data_cards/toy.md.",
        ),
        ("3\n      rows_by: json", "data.txt: rows cannot be counted as 'json'"),
    ],
)
def test_a_card_that_counts_other_rows_than_its_file_has_is_named(toy: Any, rows: str, said: str | None) -> None:
    card = toy.cards / "toy.md"
    card.write_text(card.read_text(encoding="utf-8").replace("rows: 20000", f"rows: {rows}"), encoding="utf-8")
    toy.put(toy.cache / "data")
    right, wrong, missing = check_copies(toy.card)
    assert (right, missing) == (int(said is None), 0)
    assert [message.startswith(said or "") for message in wrong] == [True] * (said is not None)
