"""A method's settings: how its ``Config`` is declared, what it documents, and how given values become one."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pydantic
import yaml
from pydantic import Field
from typing_extensions import dataclass_transform

from harness_ext.errors import InputError
from harness_ext.files import FileError, parse_yaml, read_yaml

T = TypeVar("T")

# Bounds: a type, what pydantic checks, and the way out for who gives something else.
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), "Give a number from 0 to 1."]
DropRate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), "Give a number from 0 to below 1."]
Finite = Annotated[float, Field(allow_inf_nan=False), "Give finite numbers."]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), "Give a number above 0."]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), "Give 0 or more."]
Count = Annotated[int, Field(ge=1), "Give 1 or more."]
CountFrom0 = Annotated[int, Field(ge=0), "Give 0 or more."]

_KINDS = {str: "text", Path: "a path", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make a class of fields with docstrings a frozen dataclass that refuses wrong values in one sentence.

    Values may come as JSON or YAML gives them (a list for a tuple), from Python as from a file; a text becomes no
    number. ``__post_init__`` checks what several settings say together.

    Raises:
        InputError: (the constructor) a setting is unknown, missing, of another type or out of its bounds.

    >>> @settings
    ... class Config:
    ...     density: Share = 0.2
    >>> Config(density=2)
    Traceback (most recent call last):
    harness_ext.errors.InputError: density is 2.0. Give a number from 0 to 1.
    """
    strict = pydantic.ConfigDict(strict=True, extra="forbid")
    made: Any = pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=strict)

    @functools.wraps(made.__init__)
    def init(self: Any, **values: Any) -> None:
        try:
            made.__pydantic_validator__.validate_json(json.dumps(values, default=str), self_instance=self)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(_refusal(made, values, error)) from None

    made.__init__ = init
    return typing.cast("type[T]", made)


def _refusal(config: type[Any], values: Mapping[str, Any], error: Exception) -> str:
    """The first thing that is wrong with values, in a sentence."""
    known = {setting.name: setting for setting in settings_of(config)}
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            return f"there is no setting {name!r}. " + (
                f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
            )
    if lost := [name for name, setting in known.items() if setting.required and name not in values]:
        return f"{', '.join(lost)} must be given, for example with --set {lost[0]}=…."
    bare, bounded = typing.get_type_hints(config), typing.get_type_hints(config, include_extras=True)
    wrong = {str(each["loc"][0]) for each in getattr(error, "errors", list)() if each["loc"]}
    for name, value in values.items():
        try:
            converted = _converted(bare[name], value)
        except _MISFITS:
            return f"{name} is {value!r}, but must be {describe(bare[name])}."
        if name in wrong:
            return f"{name} is {converted}. {next(_ways_out(bounded[name]), '')}".rstrip()
    return f"the settings cannot be read ({' '.join(str(error).split())})."


def _ways_out(hint: Any) -> Iterator[str]:
    """The sentences of the bounds in a type."""
    yield from (part for part in getattr(hint, "__metadata__", ()) if isinstance(part, str))
    for part in typing.get_args(hint):
        yield from _ways_out(part)


class Setting(NamedTuple):
    """One field of a ``Config``."""

    name: str
    kind: str
    """The type, in words."""
    required: bool
    default: Any
    about: str
    """The field's docstring, on one line."""


def settings_of(config: type[Any]) -> list[Setting]:
    """The fields of a ``Config`` with their types, defaults and docstrings.

    Required ones come first, then those of the class itself, then those that it shares with others.

    >>> from harness_ext.methods.resta import Config
    >>> settings_of(Config)[0][:3]
    ('base', 'text', True)
    """
    hints = typing.get_type_hints(config)
    about = {name: text for part in reversed(config.__mro__) for name, text in _docstrings(part)}
    found = []
    for field in dataclasses.fields(config):
        required = field.default is dataclasses.MISSING
        default = None if required else field.default
        text = " ".join(about.get(field.name, "").replace("``", "`").split())
        found.append(Setting(field.name, describe(hints[field.name]), required, default, text))
    own = config.__annotations__
    return sorted(found, key=lambda setting: (not setting.required, not setting.required and setting.name not in own))


def _docstrings(part: type[Any]) -> Iterator[tuple[str, str]]:
    """Names and docstrings of a class's own fields.

    Read from the class, not by pydantic's ``use_attribute_docstrings``: that looks at the stack while the class is
    made, and finds nothing where one file is imported under two names.
    """
    if not hasattr(part, "__pydantic_fields__"):
        return
    try:
        source = textwrap.dedent(inspect.getsource(part))
    except (OSError, TypeError):  # made in a session that keeps no source
        return
    (tree,) = ast.parse(source).body
    for field, after in itertools.pairwise(getattr(tree, "body", [])):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text


def describe(hint: Any) -> str:
    """A type in words.

    >>> describe(tuple[float, ...] | None), describe(Literal["a", "b"])
    ('a list, each a number, or null', 'one of a, b')
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}" if len(parts) > 1 else str(parts[0])
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(map(describe, parts))
    if origin is dict:
        return f"{describe(parts[0])} → {describe(parts[1])}"
    if origin in (tuple, list):
        return f"a list, each {describe(parts[0])}"
    if hint is type(None):
        return "null"
    return _KINDS[hint] if hint in _KINDS else str(getattr(hint, "__name__", hint))


def from_text(config: type[Any], texts: list[str]) -> dict[str, Any]:
    """Values of ``key=value`` texts; a value is YAML, or the text itself where the setting is a text.

    Raises:
        InputError: a text has no ``=``.
    """
    hints = typing.get_type_hints(config)
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, raw = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set {text}: write key=value.")
        values[name] = _parsed(raw, hints.get(name, Any))
    return values


def from_file(path: Path) -> dict[str, Any]:
    """Values of a YAML file.

    Raises:
        InputError: it cannot be read, or holds something else than ``key: value`` lines.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give a YAML file of `key: value` lines.")
    try:
        content = read_yaml(path, _Loader)
    except FileError as error:
        raise InputError(f"{path} cannot be read as YAML ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings. Write one 'key: value' on each line.")
    return {str(name): value for name, value in content.items()}


def _parsed(raw: str, hint: Any) -> Any:
    """A text as YAML, or as it is if the setting takes it only so: a path may look like a number."""
    try:
        value = parse_yaml(raw, _Loader)
    except FileError:
        return raw
    return raw if not _fits(hint, value) and _fits(hint, raw) else value


class _Loader(yaml.SafeLoader):
    """YAML as of version 1.2 where it matters: 1e-5 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)

_MISFITS = (pydantic.ValidationError, TypeError, ValueError, RecursionError)


def _fits(hint: Any, value: Any) -> bool:
    try:
        _converted(hint, value)
    except _MISFITS:
        return False
    return True


def _converted(hint: Any, value: Any) -> Any:
    """Strict, but as JSON: a list may become a tuple and a text a path; a text becomes no number."""
    return pydantic.TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
