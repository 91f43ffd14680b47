"""Is this the file the card means? Hashed once, then remembered until the file changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from harness_ext.files import FileError, read_json


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def different_digests(seen: str, expected: str) -> str:
    """How two digests that differ are put in a message."""
    return f"sha256 is {seen[:12]}…, expected {expected[:12]}…"


def difference(file: Path, *, size: int, sha256: str, memory: Path) -> str | None:
    """What makes ``file`` another file than the expected one, in words; ``None`` if it is the expected one.

    Args:
        file: an existing file.
        size: expected size in bytes.
        sha256: expected digest, 64 hexadecimal digits.
        memory: folder in which verified files are remembered by path, size and times. It need not be writable: then
            every call hashes.

    Raises:
        OSError: the file cannot be read.
    """
    status = file.stat()
    if status.st_size != size:
        return f"size is {status.st_size} bytes, expected {size}"
    note = {"file": str(file), "size": size, "mtime": status.st_mtime_ns, "ctime": status.st_ctime_ns, "sha256": sha256}
    place = memory / f"{hashlib.sha256(os.fsencode(file)).hexdigest()[:32]}.json"
    with contextlib.suppress(FileError):
        if read_json(place) == note:
            return None
    seen = sha256_of(file)
    if seen != sha256:
        return different_digests(seen, sha256)
    # A memory that cannot be written only costs time.
    with contextlib.suppress(OSError):
        _write(place, json.dumps(note))
    return None


def _write(file: Path, text: str) -> None:
    """Write so that another process sees the whole text or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
