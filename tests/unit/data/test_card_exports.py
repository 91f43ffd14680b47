"""What is generated from cards: Croissant JSON-LD, which its reference implementation accepts, and the page of all."""

from __future__ import annotations

import re
from itertools import groupby

import mlcroissant
import pytest

from harness_ext.data import list_sources, load_card
from harness_ext.data.cards_page import cards_page
from harness_ext.data.croissant import to_croissant


@pytest.mark.parametrize("source", list_sources())
def test_the_croissant_form_of_a_card_is_valid_and_keeps_every_file(source: str) -> None:
    card = load_card(source)
    metadata = mlcroissant.Dataset(jsonld=to_croissant(card)).metadata
    assert metadata.issues.errors == set()
    assert metadata.name == source
    files = {file.name: (file.content_url, file.sha256, file.content_size) for file in metadata.file_objects}
    assert files == {file.name: (file.url, file.sha256, f"{file.bytes} B") for file in card.files}


def test_the_page_links_to_every_card_and_names_every_file_once() -> None:
    cards = [load_card(source) for source in list_sources()]
    page = cards_page(cards)
    for card in cards:
        assert page.count(f"](#{card.source})") == 1
        assert page.count(f'<a id="{card.source}"></a>') == 1
        assert page.count(f"## {card.prose.splitlines()[0].removeprefix('# ')}\n") == 1
        for file in card.files:
            assert page.count(f"({file.url})") == 1
    assert len(re.findall(r"^# ", page, flags=re.MULTILINE)) == 1, "one first-level heading"


def test_every_table_of_the_page_is_rectangular() -> None:
    page = cards_page([load_card(source) for source in list_sources()])
    tables = [
        list(lines) for is_table, lines in groupby(page.splitlines(), lambda line: line.startswith("|")) if is_table
    ]
    assert len(tables) > 3 * len(list_sources())
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, table[0]
