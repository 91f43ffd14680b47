"""Pictures that a user brings along: a folder with ``items.jsonl``, or one table in the layout of VLMEvalKit."""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from PIL import Image, UnidentifiedImageError

from harness_ext.data.cards import check_relative_path
from harness_ext.data.rows import cell
from harness_ext.errors import InputError
from harness_ext.files import FileError, json_lines, read_text

ITEMS = "items.jsonl"
NEEDED: Mapping[str, Sequence[str]] = {
    "vqa": ("question",), "caption": ("references|keywords",), "scienceqa": ("question", "options", "answer"),
    "refusal_gender": ("question", "answers"), "refusal_race": ("question", "answers"),
    "refusal_age": ("question", "answers"), "depth": ("options", "answer"), "thermal": ("count", "positions"),
    "video": ("references|keywords",), "audio_mcq": ("options", "answer"), "audio_match": ("labels", "sounds"),
}  # fmt: skip
"""What an item of each part must have, beside its pictures; one of the names between bars."""
_IMAGES = {"video": 4, "audio_match": 4}
_LARGEST_TABLE = 2**28


def items(folder: str, name: str) -> list[dict[str, Any]]:
    """The items of a folder that belong to a part.

    Args:
        folder: where ``items.jsonl`` or a ``.tsv`` file lies.
        name: the leaf's name behind ``gpt4v_probes_local_``.

    Raises:
        InputError: neither is there, or an item lacks a field or a picture; file and line are named.
    """
    home = Path(folder)
    tables = sorted(home.glob("*.tsv"))
    if (home / ITEMS).is_file():
        file, rows = home / ITEMS, _lines(home / ITEMS)
    elif len(tables) == 1:
        file, rows = tables[0], _table(tables[0])
    else:
        found = f"{len(tables)} .tsv files" if tables else "neither"
        raise InputError(f"{folder}: {ITEMS} or one .tsv file is expected, and there is {found}.")
    trait = name.removeprefix("refusal_") if name.startswith("refusal_") else None
    kept = []
    for line, row in rows:
        place = f"{file} line {line}"
        if trait and row.get("trait") not in (None, trait):
            continue
        _require(row, name, place)
        kept.append({"id": f"{row.get('id', line)}", **row, "home": str(home), "place": place})
    if not kept:
        raise InputError(f"{file}: no item{f' with trait {trait!r}' if trait else ''}. Add some.")
    return kept


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        for number, value in json_lines(file):
            if not isinstance(value, dict):
                raise InputError(f"{file} line {number}: not a JSON object. Mend that line.")
            yield number, value
    except FileError as error:
        raise InputError(f"{file}: {error}. Mend the file.") from error


def _table(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of ``index, image | image_path, question, A.., answer, category``; an empty cell is no option."""
    try:
        text = read_text(file)
    except FileError as error:
        raise InputError(f"{file}: {error}. Mend the file.") from error
    before = csv.field_size_limit(_LARGEST_TABLE)  # pictures in base64 are longer than Python's limit
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
    finally:
        csv.field_size_limit(before)
    for number, row in enumerate(rows, start=2):
        filled = [letter for letter in ascii_uppercase if cell(row, letter)]
        answer = cell(row, "answer")
        item: dict[str, Any] = {
            "id": cell(row, "index") or str(number),
            "question": cell(row, "question"),
            "images": [path for path in cell(row, "image_path").split(";") if path],
            "encoded": cell(row, "image"),
            "dataset": cell(row, "category"),
        }
        if filled:
            item |= {"options": [cell(row, letter) for letter in filled], "letters": "".join(filled), "answer": answer}
        elif answer:
            item |= {"answers": [answer], "references": [answer]}
        yield number, item


def _require(row: Mapping[str, Any], name: str, place: str) -> None:
    for field in NEEDED[name]:
        if not any(row.get(one) not in (None, "", []) for one in field.split("|")):
            raise InputError(f"{place}: {field.replace('|', ' or ')} is missing. Add it.")
    if name == "vqa" and not row.get("options") and not row.get("answers"):
        raise InputError(f"{place}: answers, or options and answer, are missing. Add them.")
    if row.get("options"):
        letters = str(row.get("letters") or ascii_uppercase[: len(row["options"])])
        if not isinstance(row["options"], list) or str(row.get("answer")) not in letters or not row.get("answer"):
            raise InputError(f"{place}: answer is {row.get('answer')!r}; give the letter of one of the options.")
    count = len(row.get("images") or ()) + bool(row.get("encoded"))
    wanted = _IMAGES.get(name, 1)
    if count != wanted:
        raise InputError(f"{place}: {count} pictures, and {name} shows {wanted}. Mend images.")


def pictures(item: Mapping[str, Any]) -> list[Image.Image]:
    """The pictures of an item, read whole.

    Raises:
        InputError: one is missing, lies outside the folder, or is none.
    """
    found = []
    for path in item.get("images") or ():
        try:
            check_relative_path(str(path))
            file = Path(item["home"]) / str(path)
            if not file.resolve().is_relative_to(Path(item["home"]).resolve()):
                raise ValueError(f"{path} leads out of the folder")
            found.append(_opened(file))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{item['place']}: the picture {path} cannot be read ({error}). Mend images.") from error
    if item.get("encoded"):
        try:
            found.append(_opened(io.BytesIO(base64.b64decode(item["encoded"], validate=True))))
        except (binascii.Error, OSError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{item['place']}: image is no picture in base64 ({error}). Mend it.") from error
    return found


def _opened(file: Path | io.BytesIO) -> Image.Image:
    if isinstance(file, Path) and not file.is_file():
        raise ValueError("there is no such file")
    try:
        with Image.open(file) as picture:
            picture.load()
            return picture.copy()
    except UnidentifiedImageError as error:
        raise ValueError("not a picture") from error
