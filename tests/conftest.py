"""Where the tests find real data (both folders are optional: tests that need them skip) and the built package."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this checkout, where the installed package can be built from."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without downloading anything."""
    return build_distribution(checkout, tmp_path_factory.mktemp("dist"), "--wheel")


def build_distribution(source: Path, folder: Path, kind: str) -> Path:
    """Build the ``--wheel`` or ``--sdist`` of a source tree and return the file."""
    command = [sys.executable, "-m", "build", kind, "--no-isolation", "--outdir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.iterdir()
    return file
