"""harness-ext: benchmarks, judges, tables and methods on top of lm-evaluation-harness."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("harness-ext")
except PackageNotFoundError:  # a checkout on PYTHONPATH that was never installed
    __version__ = "0+unknown"

# tasks/, methods/, leaderboards/ and data_cards/ are inside the package in a wheel and beside it in a checkout.
if not (Path(__file__).parent / "tasks").is_dir():
    __path__.append(str(Path(__file__).parent.parent))
