"""harness-ext: benchmarks, judges, tables and methods on top of lm-evaluation-harness.

From Python: :func:`evaluate` runs lm-eval with this package's tasks, :func:`read` makes tables of its results and
:func:`compare` tests whether one run is better than another. All else is inside, and may change.
"""

# Imported when the interpreter starts (see _autoload.py): nothing here may import more than is loaded by then.
import os as _os

_TYPE_CHECKING = False  # as in _autoload.py
if _TYPE_CHECKING:
    from harness_ext.api import Comparisons, Results, Table, compare, evaluate, read

    __version__: str

__all__ = ["Comparisons", "Results", "Table", "__version__", "compare", "evaluate", "read"]

# tasks/, methods/, leaderboards/ and data_cards/ are inside the package in a wheel and beside it in a checkout.
_package = _os.path.dirname(__file__)  # noqa: PTH120 (pathlib is not loaded yet)
if not _os.path.isdir(_os.path.join(_package, "tasks")):  # noqa: PTH112, PTH118
    __path__.append(_os.path.dirname(_package))  # noqa: PTH120


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("harness-ext")
        except PackageNotFoundError:  # a checkout on PYTHONPATH that was never installed
            return "0+unknown"
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("harness_ext.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__file__", "__name__", "__path__"]
