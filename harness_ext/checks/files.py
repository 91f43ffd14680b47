"""A task's YAML file as lm-eval reads it, with the line on which each key stands, its includes' as well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from lm_eval.tasks._yaml_loader import load_yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ACCEPTED = re.compile(r"#\s*check:\s*([a-z-]+):\s*\S")


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
    places: Mapping[str, Place] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    """Checks whose findings are accepted, with a reason, by a comment ``# check: NAME: reason``."""

    @property
    def name(self) -> str:
        """Name of the group or task; of the file where it has none."""
        return str(self.config.get("group") or self.config.get("task") or self.path.name)

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
    def tags(self) -> list[str]:
        """Its tags."""
        tags = self.config.get("tag") or []
        return [tags] if isinstance(tags, str) else list(tags)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The entries of ``metric_list``."""
        return [metric for metric in self.config.get("metric_list") or [] if isinstance(metric, dict)]

    def place(self, key: str) -> Place:
        """Where a key stands, such as ``metadata.version``, or the nearest key above it."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key.rpartition(".")[0]
        return Place(self.path, 1)


def read(path: Path) -> TaskFile:
    """Read a file; what lm-eval cannot read is told in ``error``, never raised."""
    try:
        config = load_yaml(path, resolve_func=True)
    except Exception as error:  # an include, a function's module or the YAML itself
        config, wrong = {}, " ".join(str(error).split()) or type(error).__name__
    else:
        wrong = ""
    places: dict[str, Place] = {}
    accepted: set[str] = set()
    _note(path, places, accepted, set())
    return TaskFile(path, config, wrong, places, frozenset(accepted))


def _note(path: Path, places: dict[str, Place], accepted: set[str], seen: set[Path]) -> None:
    """Note the lines of a file over those of its includes, as its keys stand over theirs."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    accepted |= set(_ACCEPTED.findall(text))
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        places[""] = Place(path, mark.line + 1 if mark else 1)
        return
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value == "include":
            included = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for one in included:
                _note(path.parent / str(one.value), places, accepted, seen)
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
