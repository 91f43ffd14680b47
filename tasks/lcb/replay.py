"""Released completions of the benchmark as answers for the backend ``replay``.

``python -m harness_ext.tasks.lcb.replay llama-3-instruct.csv answers.jsonl`` writes them and says what is missing.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.errors import DataError
from harness_ext.files import read_text
from harness_ext.tasks.lcb.docs import FOLDERS, LANGUAGES, read

SUBSETS = {"aya_human_annotated": "aya", "dolly_human_edited": "dolly", "native_prompts": "native"} | {
    "complex_prompts": "complex"
}
"""What completions call their source, where it is not as in the leaf's name."""
_SETTINGS = {folder: setting for setting, folder in FOLDERS.items()}
_LONGEST_CELL = 16 << 20
_COLUMNS = {"id", "model", "completion", "task", "source", "language"}


class Answers(NamedTuple):
    """Rows for ``replay``, and how many prompts of each leaf have no completion."""

    rows: list[dict[str, Any]]
    missing: dict[str, int]


def answers(file: Path) -> Answers:
    """The completions of one file, by leaf and by the position of their prompt.

    Raises:
        DataError: it is no such file, or has two completions for one prompt.
    """
    rows: list[dict[str, Any]] = []
    given: dict[str, set[Any]] = defaultdict(set)
    for number, row in enumerate(_records(file), start=1):
        setting, subset = _SETTINGS.get(row["task"], ""), SUBSETS.get(row["source"], row["source"])
        leaf = f"lcb_{setting}_{subset}_{row['language']}"
        if row["language"] not in LANGUAGES.get((setting, subset), ()):  # type: ignore[arg-type]
            raise DataError(f"{file.name} row {number}: there is no {leaf}. Give a file of the benchmark's outputs.")
        if row["id"] in given[leaf]:
            raise DataError(f"{file.name} row {number}: {leaf} {row['id']} stands there twice. Leave one out.")
        given[leaf].add(row["id"])
        rows.append({"task": leaf, "id": row["id"], "response": row["completion"]})
    missing = {}
    for (setting, subset), languages in LANGUAGES.items():
        for language in languages:
            leaf = f"lcb_{setting}_{subset}_{language}"
            if lacking := len(read(setting, subset, language)) - len(given[leaf]):
                missing[leaf] = lacking
    return Answers(rows, missing)


def _records(file: Path) -> Iterator[dict[str, str]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(read_text(file), newline=""))
        if not {*(reader.fieldnames or ())} >= _COLUMNS:
            raise DataError(f"{file.name} has not the columns {', '.join(sorted(_COLUMNS))}. Give a file of outputs.")
        yield from reader
    except csv.Error as error:
        raise DataError(f"{file.name}: {error}. Fetch the pinned file again.") from error
    finally:
        csv.field_size_limit(before)


if __name__ == "__main__":
    found = answers(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text("".join(json.dumps(row) + "\n" for row in found.rows), encoding="utf-8")
    print(f"{len(found.rows)} answers; without one: {found.missing or 'none'}")
