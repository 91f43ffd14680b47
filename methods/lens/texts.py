"""The texts that a model's languages are probed with, and the instructions that they are moved on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness_ext.data import fetch
from harness_ext.errors import InputError
from harness_ext.files import FileError, json_lines, read_json

CARD = "lens"
_PAIR = ("en", "zh")
_BENIGN = 100
"""Instances from here on are harmful requests; see the card."""
Subset = Literal["all", "benign"]


def probing_file(path: str | None, languages: Sequence[str]) -> Path:
    """The user's file, or the one of Lens's authors for these languages; raises as `fetch`."""
    if path is not None:
        return Path(path)
    pair = set(languages) <= set(_PAIR)
    return fetch(CARD, f"aya_en_zh{'' if pair else '_ja_ar_ko_bn_sw'}_300/test.jsonl")


def training_file(path: str | None) -> Path:
    """The user's file, or that of Lens's authors; raises as `fetch`."""
    return Path(path) if path is not None else fetch(CARD, "language_pull_data_alpaca_safe_200/train.json")


def probing_texts(file: Path, languages: Sequence[str], most: int) -> dict[str, list[str]]:
    """Texts by language, at most so many of each, in the file's order: lines of ``{language: text}``.

    Raises:
        InputError: the file cannot be read, or a language has no text in it.
    """
    rows = _rows(file)
    found = {language: [row[language] for row in rows if _is_text(row.get(language))][:most] for language in languages}
    if lost := [language for language, texts in found.items() if not texts]:
        raise InputError(
            f"{file} has no text in {lost[0]!r}. Give lines of {{language: text}} in {', '.join(languages)}."
        )
    return found


def parallel_texts(file: Path, languages: Sequence[str], subset: Subset) -> list[dict[str, str]]:
    """The same instruction in every language, in the file's order: lines of ``{language: text}``, or Lens's own form.

    Args:
        file: JSON Lines, or one JSON object with ``Instances`` of ``input_<language>``.
        languages: that every instruction must be in.
        subset: ``benign`` leaves out what Lens's authors added of harmful requests.

    Raises:
        InputError: the file cannot be read, or an instruction is not in all languages; the text is not repeated.
    """
    rows = _rows(file)
    if rows and isinstance(rows[0].get("Instances"), list):
        rows = [_renamed(row) for row in rows[0]["Instances"]]
    found = []
    for number, row in enumerate(rows[: _BENIGN if subset == "benign" else None]):
        if lost := [language for language in languages if not _is_text(row.get(language))]:
            raise InputError(
                f"{file}, instruction {number}: there is no text in {lost[0]!r}. Give it in all languages."
            )
        found.append({language: row[language] for language in languages})
    if not found:
        raise InputError(f"{file} holds no instruction. Give lines of {{language: text}}.")
    return found


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        values: Iterable[Any] = (
            [read_json(file)] if file.suffix == ".json" else (value for _, value in json_lines(file))
        )
        rows = list(values)
    except FileError as error:
        raise InputError(f"{file} cannot be read ({error}). Give JSON Lines of {{language: text}}.") from error
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: a line is no JSON object. Give lines of {{language: text}}.")
    return rows


def _renamed(row: Any) -> dict[str, Any]:
    return {name.removeprefix("input_"): text for name, text in row.items()} if isinstance(row, Mapping) else {}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
