"""Reads JSON, JSON lines and YAML that somebody else wrote: ordinary files only, bounded in size, depth and digits.

Everything outside this package (result files, checkpoints, settings, judge files, prompt packs, bodies of servers) is
read here, so that one sentence and one exception, :class:`FileError`, say what is wrong with it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import from_json

from harness_ext.errors import DataError

MOST_BYTES = 2 << 30
"""A file, unpacked; lm-eval's own largest samples files have a few hundred megabytes."""
MOST_LINE = 256 << 20
MOST_SETTINGS = 4 << 20
"""A file that people write by hand."""
DEPTH = 100
"""Lists and mappings inside each other; what lm-eval and transformers write has fewer than 20."""
MOST_NODES = 100_000
"""Of a YAML document after its aliases have been followed."""

_BUFFER = 1 << 18  # a line of a samples file has kilobytes
_DIGITS = 308  # a longer number is no finite float
# In a longer number at least 19 of every 16th character are digits in a row.
_STEP, _LONG_NUMBER = 16, re.compile(r"\d{19}")


class FileError(DataError, ValueError):
    """A file, a line of one, or a text is not what it should be; the message says why in one phrase."""


def require_plain(path: Path) -> None:
    """Refuse what is no ordinary file: reading a pipe waits for ever, a device never ends.

    Raises:
        FileError: there is no such file, or it is a folder, a pipe, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null byte in the name
        raise FileError(f"cannot be read: {error}") from error
    if not stat.S_ISREG(mode):
        raise FileError("a folder, not a file" if stat.S_ISDIR(mode) else "a pipe or device, not a file")


def is_file(path: str | Path) -> bool:
    """Whether there is an ordinary file, also for what no file can be called: ``Path`` raises where a name is too long.

    >>> is_file("x" * 5000)
    False
    """
    return os.path.isfile(path)  # noqa: PTH113


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """The content of an ordinary file, unpacked where its name ends in ``.gz``.

    Raises:
        FileError: it cannot be read, is not packed as its name says, or has more than ``most`` bytes.
    """
    require_plain(path)
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file as content:
            found = content.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"cut off or broken: {error}") from error
    if len(found) > most:
        raise FileError(f"larger than {most >> 20} MiB unpacked")
    return found


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """The text of an ordinary UTF-8 file, without a byte order mark; errors as for :func:`read_bytes`."""
    try:
        return read_bytes(path, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"not UTF-8: {error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that another process sees all of it or nothing.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def read_json(path: Path, *, most: int = MOST_BYTES) -> Any:
    """The JSON value in a file.

    Raises:
        FileError: see :func:`read_bytes` and :func:`parse_json`.
    """
    return parse_json(read_text(path, most=most))


def parse_json(text: str, *, mend: bool = False) -> Any:
    """The JSON value of a text; NaN and infinities as lm-eval writes them.

    Args:
        text: one JSON value.
        mend: put U+FFFD for half of a surrogate pair, which models and servers write now and then, and accept it.

    Raises:
        FileError: it is not JSON, is nested deeper than :data:`DEPTH`, holds a number that no float can hold, or half
            of a surrogate pair, which is no text.

    >>> parse_json('{"acc": NaN}')
    {'acc': nan}
    >>> parse_json("[" * 200 + "]" * 200)
    Traceback (most recent call last):
    ...
    harness_ext.files.FileError: nested more than 100 deep
    """
    quick = _quickly(text)
    try:
        value = _JSON.decode(text) if quick is _REFUSED else quick
    except RecursionError:
        raise FileError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise FileError(f"broken or cut-off JSON: {error}") from error
    if text.count("[") + text.count("{") > DEPTH:
        _refuse_deep(value)
    if quick is _REFUSED and "\\u" in text and re.search(r"\\u[dD][89a-fA-F]", text):
        try:
            value = _mended(value) if mend else value
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"{error.object[error.start]!a}"
            raise FileError(f"has half of a surrogate pair, which is no text: {half}") from error
    return value


_REFUSED = object()


def _quickly(text: str) -> Any:
    """The value, from pydantic's parser in a third of the time; it refuses all that is not plainly right."""
    if _LONG_NUMBER.search(text[::_STEP]):
        return _REFUSED
    try:
        return from_json(text)
    except ValueError:
        return _REFUSED


def mended(text: str) -> str:
    r"""A text without lone surrogates, halves of a character that JSON can hold and no file can.

    >>> mended("a\ud800b"), mended("\ud83d\ude00")
    ('a\ufffdb', '😀')
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mended(value: Any) -> Any:
    if isinstance(value, dict):
        return {mended(name): _mended(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_mended(own) for own in value]
    return mended(value) if isinstance(value, str) else value


def json_lines(path: Path, *, most: int = MOST_BYTES) -> Iterator[tuple[int, Any]]:
    """Number (from 1) and value of every line that is not blank, one in memory at a time, plain or gzip.

    Raises:
        FileError: the file cannot be read or a line is not JSON; the message says from which line on.
    """
    for number, line in enumerate(text_lines(path, most=most), 1):
        if not line or line.isspace():
            continue
        try:
            yield number, parse_json(line)
        except FileError as error:
            raise FileError(f"line {number}: {error}") from error


def text_lines(path: Path, *, most: int = MOST_BYTES) -> Iterator[str]:
    """Lines without their ends: at line feeds only, since other separators of text may stand inside a JSON string.

    Raises:
        FileError: the file cannot be read; the message says from which line on.
    """
    require_plain(path)
    number, left = 0, most
    try:
        with (
            path.open("rb", buffering=_BUFFER) as file,
            gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file as packed,
        ):
            content = io.BufferedReader(packed) if isinstance(packed, gzip.GzipFile) else packed
            while raw := content.readline(MOST_LINE + 1):
                number, left = number + 1, left - len(raw)
                if len(raw) > MOST_LINE or left < 0:
                    raise FileError(f"larger than {(MOST_LINE if left >= 0 else most) >> 20} MiB from line {number} on")
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise FileError(f"line {number}: not UTF-8: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"cut off or broken after line {number}: {error}") from error


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The YAML value in a file that people write by hand.

    Raises:
        FileError: see :func:`read_bytes` (at most :data:`MOST_SETTINGS` bytes) and :func:`parse_yaml`.
    """
    return parse_yaml(read_text(path, most=MOST_SETTINGS), loader)


def parse_yaml(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The YAML value of a text: plain values only, aliases followed up to :data:`MOST_NODES` nodes.

    Args:
        text: one YAML document.
        loader: a safe loader of your own.

    Raises:
        FileError: it is not YAML, is nested deeper than :data:`DEPTH`, or its aliases multiply without end.

    >>> parse_yaml("a: &x [1, 2]\\nb: *x")
    {'a': [1, 2], 'b': [1, 2]}
    """
    node = compose_yaml(text, loader)
    if node is None:
        return None
    made = loader("")
    try:
        return made.construct_document(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _broken_yaml(error) from error
    finally:
        made.dispose()


def compose_yaml(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> yaml.Node | None:
    """The nodes of a YAML text, which know their lines; None for an empty one. Arguments and errors of `parse_yaml`."""
    try:
        if not issubclass(loader, yaml.parser.Parser):  # a loader in C: what is too deep for it ends the process
            _refuse_deep_events(yaml.parse(text, Loader=loader))
        node = yaml.compose(text, Loader=loader)
        if node is not None:
            _refuse_large(node)
    except RecursionError:
        raise FileError(_TOO_DEEP) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _broken_yaml(error) from error
    return node


def _broken_yaml(error: Exception) -> FileError:
    return error if isinstance(error, FileError) else FileError(f"broken YAML: {' '.join(str(error).split())}")


_TOO_DEEP = f"nested more than {DEPTH} deep"


def _bounded(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise FileError(f"has a number of {len(digits)} digits, which no score has")
    return int(digits)


_JSON = json.JSONDecoder(parse_int=_bounded)


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH + 1):
        containers = [part for part in level if isinstance(part, dict | list)]
        if not containers:
            return
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise FileError(_TOO_DEEP)


def _refuse_deep_events(events: Iterable[yaml.Event]) -> None:
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise FileError(_TOO_DEEP)


def _refuse_large(root: yaml.Node) -> None:
    """Count nodes and depth as if every alias were written out, without writing anything out."""
    known: dict[int, tuple[int, int]] = {}

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        """(nodes, height) of what a node stands for."""
        if id(node) not in known:
            if depth > DEPTH:  # an alias that stands for what it lies in never ends
                raise FileError(_TOO_DEEP)
            inside: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                inside = [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                inside = node.value
            measured = [measure(inner, depth + 1) for inner in inside]
            known[id(node)] = (
                1 + sum(nodes for nodes, _ in measured),
                1 + max((height for _, height in measured), default=0),
            )
        nodes, height = known[id(node)]
        if nodes > MOST_NODES:
            raise FileError(f"its aliases stand for more than {MOST_NODES:,} values")
        if height > DEPTH:
            raise FileError(_TOO_DEEP)
        return nodes, height

    measure(root, 0)
