"""The records a benchmark bundles with the package, so that it runs with nothing downloaded."""

from __future__ import annotations

from importlib import resources
from typing import Any

from harness_ext.data.rows import lines_of
from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, parse_json


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
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines_of(file.read_text(encoding="utf-8")), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except FileError as error:
            raise DataError(f"tasks/{bench}/sample.jsonl line {number}: not JSON ({error}). Mend that line.") from error
        if not isinstance(record, dict):
            raise DataError(f"tasks/{bench}/sample.jsonl line {number}: not a JSON object. Mend that line.")
        records.append(record)
    return records
