"""Every file that a card pins is what the card says, and every file that the benchmark needs is pinned."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from harness_ext.data import list_sources, load_card
from harness_ext.data.row_counts import count_rows


@pytest.mark.parametrize("source", list_sources())
def test_the_files_have_the_size_digest_and_rows_of_the_card(source: str, mirror: Path) -> None:
    seen = 0
    for file in load_card(source).files:
        copy = mirror / file.path
        if not copy.is_file():
            continue
        seen += 1
        assert copy.stat().st_size == file.bytes, file.name
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == file.sha256, file.name
        if file.row_rule is not None:
            assert count_rows(copy, file.row_rule) == file.rows, (file.name, file.row_rule)
    if not seen:
        pytest.skip(f"no file of {source} is in the mirror")


def test_the_cards_pin_every_upstream_file_of_eibench(golden: Path) -> None:
    pinned = {
        file.path: (file.bytes, file.sha256, file.rows) for source in list_sources() for file in load_card(source).files
    }
    with (golden / "eibench" / "files.tsv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert len(rows) > 100
    for row in rows:
        size, sha256, records = pinned[f"{row['repo']}/{row['commit']}/{row['path']}"]
        assert (str(size), sha256) == (row["bytes"], row["sha256"]), row["path"]
        if row["records"]:
            assert str(records) == row["records"], row["path"]
