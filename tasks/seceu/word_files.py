"""The released Word documents of SECEU: scenarios with four emotions, and the human norm."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from harness_ext.errors import DataError

ITEMS = 40
OPTIONS = 4

_NAMESPACE = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BREAKS = {f"{_NAMESPACE}tab": "\t", f"{_NAMESPACE}br": "\n", f"{_NAMESPACE}cr": "\n"}
_ENGLISH_OPTION = re.compile(r"\(\d\)\s*([A-Za-z -]+)")
_ENGLISH_ITEM = re.compile(r"^Item \d+\s*$", re.MULTILINE)
_CHINESE_ITEM = re.compile(r"^第[一二三四五六七八九十]+题\s*$", re.MULTILINE)
_ROW = re.compile(r"^\s*((?:\d+\.\d+\s+){3}\d+\.\d+)\s*$", re.MULTILINE)
_TEMPLATE = re.compile(r"\[([\d.,\s]+)\]")


class Item(NamedTuple):
    """One scenario and the four emotions that share its points."""

    story: str
    options: tuple[str, ...]


class Norm(NamedTuple):
    """What people answered."""

    standard: list[list[float]]
    """Mean points, shape (40, 4)."""
    template: list[float]
    """Mean distance of a person to the standard, one an item."""


def text_of(path: Path) -> str:
    """The text of a Word document, a line a paragraph, tabs kept.

    Raises:
        DataError: it is not a Word document, or its XML declares entities.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = fromstring(archive.read("word/document.xml"), forbid_dtd=True)
    except (zipfile.BadZipFile, KeyError, ParseError, DefusedXmlException) as error:
        raise DataError(f"{path.name}: not a readable Word document ({error}). Fetch the pinned file again.") from error
    paragraphs = (
        "".join(
            _BREAKS.get(node.tag, (node.text or "") if node.tag == f"{_NAMESPACE}t" else "") for node in part.iter()
        )
        for part in root.iter(f"{_NAMESPACE}p")
    )
    return "\n".join(paragraphs)


def english_items(text: str) -> list[Item]:
    r"""Scenarios of the English document; marks, not separators, tell options apart (item 26 has a colon between two).

    >>> english_items("Item 1\nStory: It rains. She feels:\nOptions: (1) Sad; (2) Let-down: (3) Calm; (4) At ease")
    [Item(story='It rains. She feels:', options=('Sad', 'Let-down', 'Calm', 'At ease'))]
    """
    items = []
    for block in _ENGLISH_ITEM.split(text)[1:]:
        story, _, options = block.partition("Options:")
        found = tuple(option.strip() for option in _ENGLISH_OPTION.findall(options))
        items.append(Item(story.partition("Story:")[2].strip(), found))
    return items


def chinese_items(text: str) -> list[Item]:
    r"""Scenarios of the Chinese document: the last four of an item's tab- or line-separated pieces are the options.

    >>> chinese_items("第一题\n下雨了，她会觉得：\t难过\t平静\t惊讶\t快乐\n")
    [Item(story='下雨了，她会觉得：', options=('难过', '平静', '惊讶', '快乐'))]
    """
    items = []
    for block in _CHINESE_ITEM.split(text)[1:]:
        pieces = [piece.strip() for piece in re.split(r"[\t\n]+", block) if piece.strip()]
        items.append(Item("".join(pieces[:-OPTIONS]), tuple(pieces[-OPTIONS:])))
    return items


def norm(text: str) -> Norm:
    """Standard scores and human template of the norm document."""
    standard = [[float(number) for number in row.split()] for row in _ROW.findall(text)]
    found = _TEMPLATE.search(text)
    return Norm(standard, [float(number) for number in found.group(1).split(",")] if found else [])


def check(items: list[Item], human: Norm) -> None:
    """Make sure that scenarios and norm belong together.

    Raises:
        DataError: a count is not 40 and 4, a scenario is empty, or standard scores do not add up to 10.
    """
    counts = (len(items), len(human.standard), len(human.template))
    if counts != (ITEMS, ITEMS, ITEMS):
        raise DataError(f"SECEU: {counts} items, standard scores and template values; expected 40 of each.")
    for number, (item, standard) in enumerate(zip(items, human.standard, strict=True), start=1):
        if not item.story or len(item.options) != OPTIONS or abs(sum(standard) - 10) > 0.011:
            raise DataError(f"SECEU item {number}: {item} with standard scores {standard} is not as published.")
