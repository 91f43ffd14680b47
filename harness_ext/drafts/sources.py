"""Where the rows of a new task come from: a file, a folder of pictures, or a data set in the Hub's local cache."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.data.rows import TABLES, table_of
from harness_ext.errors import InputError

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
_MOST_PICTURES = 10_000
"""A card lists each with its checksum."""
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class Source(NamedTuple):
    """Rows, and the files that they are in."""

    rows: Sequence[Mapping[str, Any]]
    data: Path
    """The file, or the folder of pictures."""
    files: Sequence[str]
    """Names from the folder that holds them."""
    pictures: bool = False


def read_source(given: str, scratch: Path) -> Source:
    """Read what ``--from`` names.

    Args:
        given: path of a file or folder, or ``owner/name`` of a data set of the Hub.
        scratch: folder for a file that is made of such a data set.

    Raises:
        InputError: there is no such thing.
        DataError: it cannot be read.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        return _pictures(path)
    if path.suffix.lower() in TABLES and not path.exists():
        raise InputError(f"{given} does not exist. Give a file ({', '.join(TABLES)}), or a folder of pictures.")
    if path.exists():
        return Source(table_of(path), path, [path.name])
    if _HUB.fullmatch(given):
        return _from_hub(given, scratch)
    raise InputError(f"{given} is no file, no folder and no data set of the Hub. Give a path ({', '.join(TABLES)}).")


def _pictures(folder: Path) -> Source:
    """A folder in the Hub's form: a table with a column ``file_name``, or a folder of pictures a class."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES and path.is_file())
    if not 0 < len(found) <= _MOST_PICTURES:
        raise InputError(f"{folder} holds {len(found)} pictures; 1 to {_MOST_PICTURES} are needed.")
    names = [path.relative_to(folder).as_posix() for path in found]
    table = next((path for name in TABLES if (path := folder / f"metadata{name}").is_file()), None)
    if table is None:
        rows = [{"file_name": name, "label": path.parent.name} for name, path in zip(names, found, strict=True)]
        if any("/" not in name for name in names):
            raise InputError(f"{folder} has neither metadata.csv with the column file_name nor a folder a class.")
        return Source(rows, folder, names, pictures=True)
    rows = table_of(table)
    for number, row in enumerate(rows, start=1):
        if row.get("file_name") not in names:
            raise InputError(f"{table.name} row {number}: there is no picture {row.get('file_name')!r} in {folder}.")
    return Source(rows, folder, [table.name, *names], pictures=True)


def _from_hub(name: str, scratch: Path) -> Source:
    """A split of a data set that is in the cache of ``datasets``; nothing is downloaded."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:  # of many types, down to those of file systems
        raise InputError(
            f"{name} is neither a file nor in the cache of datasets. Download it with datasets.load_dataset and save "
            f"it with to_json, then give the file ({' '.join(str(error).split())[:200]})."
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before
    split = next((one for one in ("test", "validation", "train") if one in splits), next(iter(splits)))
    path = scratch / f"{split}.jsonl"
    rows = [dict(row) for row in splits[split]]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return Source(table_of(path), path, [path.name])
