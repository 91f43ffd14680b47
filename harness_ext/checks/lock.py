"""The lock file of a benchmark's folder: what its prompts and scores were when each version was given.

``lock.json`` beside the YAML has for each task its version, a hash of the prompts of its first sample docs, a hash of
the source that scores it, and in which direction scores moved when that last changed.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal, NamedTuple

from harness_ext.checks.files import TaskFile
from harness_ext.checks.findings import Found, check
from harness_ext.checks.loading import Loaded
from harness_ext.errors import DataError
from harness_ext.files import read_json, write_whole

LOCK = "lock.json"
Moves = Literal["new", "higher", "lower", "both", "not"]
"""Where scores went when prompts or scoring last changed."""


class Entry(NamedTuple):
    """A task as it was when its version was given."""

    version: float | str
    prompts: str
    """Empty where the task cannot be loaded without arguments of a run."""
    scoring: str
    moved: Moves = "new"


@dataclass(frozen=True)
class Locked:
    """A task beside its entry in the lock file of its folder."""

    file: TaskFile
    then: Entry | None
    """``None`` where the lock file has no entry."""
    now: Entry


def read_lock(folder: Path) -> dict[str, Entry] | None:
    """The entries of a folder's lock file by task; ``None`` where it has none.

    Raises:
        DataError: it is not what :func:`write_lock` writes.
    """
    path = folder / LOCK
    if not path.is_file():
        return None
    try:
        return {str(task): Entry(**entry) for task, entry in read_json(path).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is no lock file ({error}). Restore it, or delete it and run harness-ext lock."
        ) from error


def write_lock(folder: Path, entries: Mapping[str, Entry]) -> Path:
    """Write a folder's lock file, one line a task."""
    lines = (f"  {json.dumps(task)}: {json.dumps(entries[task]._asdict())}" for task in sorted(entries))
    path = folder / LOCK
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    return path


def entry_of(file: TaskFile, loaded: Loaded | None) -> Entry:
    """A task as it is now."""
    asked = [] if loaded is None else [[_text(one.args) for one in requests] for requests in loaded.requests]
    return Entry(file.metadata.get("version", ""), _hash(asked) if asked else "", _hash(_scoring(file)))


def changes(then: Entry, now: Entry) -> list[str]:
    """What changed between two entries; prompts that are not known of both are left out."""
    pairs = {"prompts": (then.prompts, now.prompts), "scoring": (then.scoring, now.scoring)}
    return [name for name, (one, other) in pairs.items() if one and other and one != other]


@check(
    "lock",
    why="results of the old and of the new task would stand in one table as if they were the same.",
    mend="Raise version, say so in CHANGELOG.md and run harness-ext lock; where scores do not move, only run it.",
)
def version_not_raised(locked: Locked) -> Iterator[Found]:
    """The version is raised when prompts or scoring changed."""
    then, now = locked.then, locked.now
    if then is None or then.version != now.version:
        return
    if changed := changes(then, now):
        what = f"{' and '.join(changed)} changed since version {then.version} was locked"
        yield Found(what, "metadata.version")


@check(
    "lock",
    why="nobody can tell whether prompts or scores have changed since.",
    mend="Run harness-ext lock, and commit the lock file.",
)
def not_locked(locked: Locked) -> Iterator[Found]:
    """A lock file knows every task of its folder at its version."""
    if locked.then is None:
        yield Found(f"{LOCK} does not have the task", "task")
    elif locked.then.version != locked.now.version:
        yield Found(f"{LOCK} has version {locked.then.version}, the file {locked.now.version}", "metadata.version")


def _text(value: Any) -> str:
    """A request's arguments as text that is the same in every process."""
    return json.dumps(value, sort_keys=True, default=lambda one: type(one).__name__, ensure_ascii=False)


def _hash(value: Any) -> str:
    return hashlib.sha256(_text(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _scoring(file: TaskFile) -> list[str]:
    """What turns answers into numbers: names and settings from the YAML, and the source that they lead to."""
    config = file.config
    settings = [(metric.get("metric"), metric.get("aggregation")) for metric in file.metrics]
    roots = [value for _, value in _leaves([config.get("process_results"), settings, config.get("filter_list")])]
    functions = [one for one in roots if callable(one)]
    named = [
        f"{key}={getattr(one, '__qualname__', one)}" for key, one in _leaves([settings, config.get("filter_list")])
    ]
    return [str(config.get("output_type")), *named, *sources(functions)]


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name in sorted(value):
            yield from _leaves(value[name], str(name))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one, key)
    else:
        yield key, value


def sources(functions: Sequence[Callable[..., Any]]) -> list[str]:
    """The bare source of functions and of all that they use of their own package."""
    found: set[str] = set()
    waiting: list[Any] = list(functions)
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type):
            found.add(_bare(one))
            waiting += [value for value in vars(one).values() if isinstance(value, FunctionType)]
        elif isinstance(one, FunctionType):
            found.add(_bare(one.__code__))
            waiting += _used(one)
    return sorted(found)


def _used(function: FunctionType) -> list[Any]:
    """Functions and classes of its own package that a function names, directly or as a module's attribute."""
    names = set(_names(function.__code__))
    package = function.__module__.partition(".")[0]
    reached = [function.__globals__[name] for name in names & function.__globals__.keys()]
    for module in [one for one in reached if isinstance(one, ModuleType) and one.__name__.partition(".")[0] == package]:
        reached += [getattr(module, name) for name in names if hasattr(module, name)]
    reached += inspect.getclosurevars(function).nonlocals.values()
    own = [one for one in reached if isinstance(one, (FunctionType, type))]
    return [one for one in own if (one.__module__ or "").partition(".")[0] == package]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _bare(of: Any) -> str:
    """The source of something without comments, docstrings and layout; the same under every version of Python."""
    try:
        text = textwrap.dedent(inspect.getsource(of))
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (OSError, TypeError, tokenize.TokenError, SyntaxError):  # not written in a file, or a part of an expression
        return str(getattr(of, "__qualname__", getattr(of, "co_name", "")))
    lines, before = text.splitlines(keepends=True), tokenize.NEWLINE
    starts = list(accumulate([0, *map(len, lines)]))
    kept, position = [], 0
    for token in tokens:
        docstring = token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if docstring or token.type == tokenize.COMMENT:
            kept.append(text[position : starts[token.start[0] - 1] + token.start[1]])
            position = starts[token.end[0] - 1] + token.end[1]
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    bare = "".join("".join([*kept, text[position:]]).split())
    return re.sub(r",([)\]}])", r"\1", bare)
