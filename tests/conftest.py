"""Where the tests find real data: both folders are optional, tests that need them skip with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} does not name a folder")
    return Path(value)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Pinned upstream files at owner/repo/commit/path."""
    return _folder("HARNESS_EXT_MIRROR")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Golden numbers of the specifications, one folder a benchmark."""
    return _folder("HARNESS_EXT_GOLDEN")
