"""Where the tests find real data (both folders are optional: tests that need them skip) and the built package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no failure: no property has a time limit.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


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
def build_wheel() -> Callable[[Path, Path], Path]:
    """Return a function that builds the wheel of a source tree into an empty folder, downloading nothing."""

    def build(source: Path, folder: Path) -> Path:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
        (wheel,) = folder.iterdir()
        return wheel

    return build


@pytest.fixture(scope="session")
def wheel(checkout: Path, build_wheel: Callable[[Path, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(checkout, tmp_path_factory.mktemp("dist"))
