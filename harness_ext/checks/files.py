"""A task's YAML file as lm-eval reads it, with the line on which each key stands, its includes' as well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from lm_eval.tasks._yaml_loader import load_yaml

from harness_ext.checks.network import no_network
from harness_ext.files import MOST_SETTINGS, FileError, compose_yaml, read_text

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ACCEPTED = re.compile(r"#\s*check:\s*([a-z-]+):[ \t]*\S")


class Place(NamedTuple):
    """A line of a file, counted from 1."""

    file: Path
    line: int


@dataclass(frozen=True)
class TaskFile:
    """One YAML file of a task or group."""

    path: Path
    config: Mapping[str, Any]
    """As lm-eval reads it, with includes and functions; empty where lm-eval cannot read it."""
    error: str = ""
    """Why lm-eval cannot read it."""
    unread: Mapping[str, Any] = field(default_factory=dict)
    """What is read without its functions, where these cannot be imported."""
    missing: str = ""
    """What its functions cannot be imported without: a package that is not installed, or the network."""
    asks_network: bool = False
    """Whether its functions' modules ask for the network as soon as they are imported."""
    places: Mapping[str, Place] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    """Checks whose findings are accepted, with a reason, by a comment ``# check: NAME: reason``."""

    @property
    def name(self) -> str:
        """Name of the group or task; of the file where it has none."""
        return str(self._said("group") or self._said("task") or self.path.name)

    @property
    def is_group(self) -> bool:
        """Whether it is a group of tasks."""
        return "group" in self.config

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata; empty where they are no mapping."""
        found = self.config.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def is_python(self) -> bool:
        """Whether it is a task that a class describes, of which YAML says little."""
        return "class" in self.config

    def _said(self, key: str) -> Any:
        return self.config.get(key) or self.unread.get(key)

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        tags = self._said("tag") or []
        return [tags] if isinstance(tags, str) else list(tags)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The entries of ``metric_list``."""
        return _mappings(self.config.get("metric_list"))

    @property
    def group_metrics(self) -> list[dict[str, Any]]:
        """The entries of ``aggregate_metric_list``."""
        return _mappings(self.config.get("aggregate_metric_list"))

    def place(self, key: str) -> Place:
        """Where a key stands, such as ``metadata.version``, or the nearest key above it."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key.rpartition(".")[0]
        return Place(self.path, 1)


def _mappings(entries: object) -> list[dict[str, Any]]:
    """The mappings among a list of entries, or the one that stands there without a list."""
    listed = [entries] if isinstance(entries, dict) else entries if isinstance(entries, list) else []
    return [entry for entry in listed if isinstance(entry, dict)]


def read(path: Path) -> TaskFile:
    """Read a file; what lm-eval cannot read is told in ``error``, never raised."""
    config: Mapping[str, Any] = {}
    unread: Mapping[str, Any] = {}
    missing = ""
    places: dict[str, Place] = {}
    accepted: set[str] = set()
    wrong = _note(path, places, accepted, set())
    with no_network() as tried:
        try:
            config = {} if wrong else load_yaml(path, resolve_func=True)
        except (Exception, SystemExit) as error:  # an include, a function's module or the YAML itself
            missing = _missing_package(error) or ("the network" if tried else "")
            wrong = "" if missing else _told(error)
            unread = _without_functions(path)
    return TaskFile(path, config, wrong, unread, missing, bool(tried), places, frozenset(accepted))


def _missing_package(error: BaseException) -> str:
    """The package without which a task's own code cannot be imported; empty where that is not what is wrong."""
    if str(error).startswith("Cannot import module"):  # lm-eval's words about a module that the YAML names
        return ""
    chain: BaseException | None = error
    while chain is not None and not isinstance(chain, ModuleNotFoundError):
        chain = chain.__cause__ or chain.__context__
    return str(chain.name) if isinstance(chain, ModuleNotFoundError) else ""


def _told(error: BaseException) -> str:
    told = " ".join(str(error).split()) or type(error).__name__
    return f"it ends the process: {told}" if isinstance(error, SystemExit) else told


def _without_functions(path: Path) -> Mapping[str, Any]:
    try:
        config: Mapping[str, Any] = load_yaml(path, resolve_func=False)
    except Exception:  # not even YAML
        return {}
    return config


def _note(path: Path, places: dict[str, Place], accepted: set[str], seen: set[Path]) -> str:
    """Note the lines of a file over those of its includes, as its keys stand over theirs.

    Returns:
        Why lm-eval must not read it: a file without end, or one that its parser dies of. Empty for all others.
    """
    if path in seen or not path.exists():
        return ""
    seen.add(path)
    try:
        text = read_text(path, most=MOST_SETTINGS)
        accepted |= set(_ACCEPTED.findall(text))
        node = compose_yaml(text, _LOADER)
    except FileError as error:
        mark = getattr(error.__cause__, "problem_mark", None)
        places[""] = Place(path, mark.line + 1 if mark else 1)
        return "" if mark else f"{path.name}: {error}"
    if not isinstance(node, yaml.MappingNode):
        return ""
    wrong = ""
    for key, value in node.value:
        if key.value == "include":
            included = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for one in included:
                wrong = wrong or _note(path.parent / str(one.value), places, accepted, seen)
    for key, value in node.value:
        places[str(key.value)] = Place(path, key.start_mark.line + 1)
        if isinstance(value, yaml.MappingNode):
            for inner, _ in value.value:
                places[f"{key.value}.{inner.value}"] = Place(path, inner.start_mark.line + 1)
        elif key.value == "metric_list" and isinstance(value, yaml.SequenceNode):
            for entry in value.value:
                for inner, name in getattr(entry, "value", []):
                    if isinstance(inner, yaml.ScalarNode) and inner.value == "metric":
                        places[f"metric_list.{name.value}"] = Place(path, name.start_mark.line + 1)
    return wrong
