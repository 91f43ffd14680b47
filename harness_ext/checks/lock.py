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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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


def sources(roots: Iterable[Any]) -> list[str]:
    """What some functions do: the bare source of all that they use of their own package, and the constants they name.

    Functions are followed into the tables that hold them and into objects that are called; constants are names in
    capitals. How files are read and servers are asked is no scoring and is left out.
    """
    found: set[str] = set()
    waiting = list(roots)
    seen: dict[int, Any] = {}
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, FunctionType):
            if not _is_scoring(one.__module__):
                continue
            found.add(_bare(one.__code__))
            for name, value in _named(one):
                waiting.append(value)
                if _CONSTANT.fullmatch(name) and not isinstance(value, FunctionType | type | ModuleType):
                    found.add(f"{name}={_told(value)}")
        elif isinstance(one, type):
            if _is_scoring(one.__module__):
                found.add(_bare(one))
                inside = (getattr(own, "fget", None) or getattr(own, "__func__", own) for own in vars(one).values())
                waiting += (own for own in inside if isinstance(own, FunctionType) and _is_written_in(own, one))
        elif isinstance(one, partial):
            found.add(f"partial={_told([one.args, one.keywords])}")
            waiting += (one.func, one.args, one.keywords)
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif callable(one) and hasattr(one, "__dict__"):  # a metric that is an object, such as CorpusMetric
            settings = {name: value for name, value in vars(one).items() if not name.startswith("__")}
            found.add(f"{type(one).__qualname__}={_told(settings)}")
            waiting += (type(one), *settings.values())
    return sorted(found)


_CONSTANT = re.compile("_*[A-Z][A-Z0-9_]*")
_NO_SCORING = ("harness_ext.files", "harness_ext.errors", "harness_ext.judges.endpoint", "harness_ext.judges.cache")


def _is_scoring(module: str | None) -> bool:
    return module is not None and not module.startswith(_NO_SCORING)


def _package_of(one: Any) -> str:
    return (getattr(one, "__module__", None) or "").partition(".")[0]


def _is_written_in(method: FunctionType, owner: type) -> bool:
    """Whether a method stands in a class's own source, and was not made by `dataclass` or `NamedTuple`."""
    return method.__globals__.get("__name__") == owner.__module__ and not method.__code__.co_filename.startswith("<")


def _named(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function names of its own package, directly or as a module's attribute, and what it encloses."""
    names = set(_names(function.__code__))
    package = _package_of(function)
    reached = [(name, function.__globals__[name]) for name in sorted(names & function.__globals__.keys())]
    for _, module in list(reached):
        if isinstance(module, ModuleType) and module.__name__.partition(".")[0] == package:
            reached += [(name, getattr(module, name)) for name in sorted(names) if hasattr(module, name)]
    reached += inspect.getclosurevars(function).nonlocals.items()
    for name, value in reached:
        code = isinstance(value, FunctionType | type)
        own = _package_of(value if code else type(value)) == package
        if own or (_CONSTANT.fullmatch(name) and not code and not isinstance(value, ModuleType)):
            yield name, value


def _told(value: Any) -> str:
    """A constant as text that is the same in every process; what is no data is told by its name."""
    if isinstance(value, re.Pattern):
        return f"/{value.pattern!r}/{value.flags}"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_told(key)}:{_told(own)}' for key, own in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(map(_told, value)))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_told, value))}]"
    if isinstance(value, str | bytes | int | float | None):
        return repr(value)
    if hasattr(value, "tolist"):  # an array
        return _told(value.tolist())
    return str(getattr(value, "__qualname__", type(value).__qualname__))


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
