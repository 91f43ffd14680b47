"""harness-ext: benchmarks, judges, tables and methods on top of lm-evaluation-harness."""

# Imported when the interpreter starts (see _autoload.py): nothing here may import more than is loaded by then.
import os

# tasks/, methods/, leaderboards/ and data_cards/ are inside the package in a wheel and beside it in a checkout.
_package = os.path.dirname(__file__)  # noqa: PTH120 (pathlib is not loaded yet)
if not os.path.isdir(os.path.join(_package, "tasks")):  # noqa: PTH112, PTH118
    __path__.append(os.path.dirname(_package))  # noqa: PTH120


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("harness-ext")
        except PackageNotFoundError:  # a checkout on PYTHONPATH that was never installed
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
