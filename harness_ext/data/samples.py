"""The records a benchmark bundles with the package, so that it runs with nothing downloaded."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_ext.data.rows import lines_of
from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, parse_json

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def load_sample(bench: str) -> list[dict[str, Any]]:
    """Records of ``tasks/<bench>/sample.jsonl``, in file order.

    Args:
        bench: name of a folder of ``harness_ext.tasks``.

    Raises:
        InputError: there is no such benchmark, or it bundles no sample.
        DataError: a line is not a JSON object.
    """
    file = resources.files("harness_ext.tasks") / bench / "sample.jsonl"
    if not bench.isidentifier() or not file.is_file():
        raise InputError(
            f"{bench!r} bundles no sample: tasks/{bench}/sample.jsonl is not there. "
            "Give the name of a benchmark folder or use the real data."
        )
    return _records(file, f"tasks/{bench}/sample.jsonl")


def sample_beside(module: str) -> list[dict[str, Any]]:
    """Records of the ``sample.jsonl`` in the folder of a module, given its ``__file__``: for tasks of other packages.

    Raises:
        InputError: there is none.
        DataError: a line is not a JSON object.
    """
    file = Path(module).with_name("sample.jsonl")
    if not file.is_file():
        raise InputError(f"{file} is not there. Restore it or use the real data.")
    return _records(file, f"{file.parent.name}/sample.jsonl")


def _records(file: Traversable, place: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines_of(file.read_text(encoding="utf-8")), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except FileError as error:
            raise DataError(f"{place} line {number}: not JSON ({error}). Mend that line.") from error
        if not isinstance(record, dict):
            raise DataError(f"{place} line {number}: not a JSON object. Mend that line.")
        records.append(record)
    return records
