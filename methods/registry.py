"""Which methods there are: every module or package here with a ``Config`` and an ``apply`` is one.

Names and summaries are read from the source, so that listing them loads nothing of what they need.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from harness_ext.errors import InputError

_PARTS = (re.compile(r"^class Config\b", re.MULTILINE), re.compile(r"^def apply\(", re.MULTILINE))


class Method(NamedTuple):
    """A method that can be run."""

    name: str
    about: str
    """What the module says of itself."""
    config: type[Any]
    """A frozen dataclass."""
    apply: Callable[[Any], Path]
    """Does the work that a config describes and returns the output folder."""


def method_names() -> list[str]:
    """Names of all methods, sorted.

    >>> method_names()[:2]
    ['dare', 'della']
    """
    return sorted(_sources())


def summary(name: str) -> str:
    """The first line of what a method's module says of itself.

    >>> summary("resta")
    'RESTA: add a safety vector to a fine-tuned model (arXiv 2402.11746).'
    """
    return _about(name).partition("\n")[0]


def load(name: str) -> Method:
    """Import a method.

    Raises:
        InputError: there is none of this name, or a library that it needs is not installed.
    """
    about = _about(name)
    try:
        module = importlib.import_module(f"harness_ext.methods.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("harness_ext"):
            raise
        raise InputError(
            f"{name} needs {error.name}, which is not installed: pip install 'harness-ext[methods]'."
        ) from error
    return Method(name, about, module.Config, module.apply)


def _about(name: str) -> str:
    sources = _sources()
    if name not in sources:
        raise InputError(f"there is no method {name!r}; there are: {', '.join(sorted(sources))}.")
    return ast.get_docstring(ast.parse(sources[name])) or ""


@functools.cache
def _sources() -> dict[str, str]:
    found = {}
    for entry in resources.files("harness_ext.methods").iterdir():
        file = entry / "__init__.py" if entry.is_dir() else entry
        if file.name.endswith(".py") and file.is_file():
            source = file.read_text(encoding="utf-8")
            if all(part.search(source) for part in _PARTS):
                found[entry.name.removesuffix(".py")] = source
    return found
