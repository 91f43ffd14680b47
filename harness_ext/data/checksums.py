"""Is this the file the card means? Hashed once, then remembered until the file changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from harness_ext.files import FileError, read_json, sha256_of, write_whole


def different_digests(seen: str, expected: str) -> str:
    """How two digests that differ are put in a message."""
    return f"sha256 is {seen[:12]}…, expected {expected[:12]}…"


def difference(file: Path, *, size: int, sha256: str, memory: Path | None) -> str | None:
    """What makes ``file`` another file than the expected one, in words; ``None`` if it is the expected one.

    Args:
        file: an existing file.
        size: expected size in bytes.
        sha256: expected digest, 64 hexadecimal digits.
        memory: folder in which verified files are remembered by path, size and times. It need not be writable: then
            every call hashes, as without one.

    Raises:
        OSError: the file cannot be read.
    """
    status = file.stat()
    if status.st_size != size:
        return f"size is {status.st_size} bytes, expected {size}"
    note = {"file": str(file), "size": size, "mtime": status.st_mtime_ns, "ctime": status.st_ctime_ns, "sha256": sha256}
    place = memory and memory / f"{hashlib.sha256(os.fsencode(file)).hexdigest()[:32]}.json"
    with contextlib.suppress(FileError):
        if place and read_json(place) == note:
            return None
    seen = sha256_of(file)
    if seen != sha256:
        return different_digests(seen, sha256)
    if place:
        with contextlib.suppress(OSError):  # a memory that cannot be written only costs time
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, json.dumps(note).encode())
    return None
