"""What tasks, groups and tags the installed packages have, as their YAML says it; lm-eval is not imported for it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml

from harness_ext.files import FileError, parse_yaml, read_text
from harness_ext.results import benches

Kind = Literal["group", "tag", "task"]

log = logging.getLogger(__name__)

_MOST_INCLUDES = 20


@dataclass(frozen=True)
class Entry:
    """A name that ``--tasks`` takes."""

    name: str
    kind: Kind
    config: Mapping[str, Any] = field(default_factory=dict)
    """The YAML with what it includes; functions are their addresses. Empty for a tag."""
    children: tuple[str, ...] = ()
    """What a group or tag holds: names of this catalogue, or of lm-eval's own."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The YAML's metadata."""
        found = self.config.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def bench(self) -> str:
        """The benchmark it belongs to; empty for none."""
        return str(self.metadata.get("bench") or benches.named(self.name))


@functools.cache
def catalogue() -> Mapping[str, Entry]:
    """All entries by name, groups first, then tags, then tasks, each in alphabetical order.

    >>> catalogue()["seceu"].children
    ('seceu_en', 'seceu_zh')
    """
    found: dict[str, Entry] = {}
    tagged: dict[str, list[str]] = {}
    for file in _files():
        try:
            config = _with_includes(file)
        except FileError as error:
            log.warning("%s is left out: %s", file, error)
            continue
        children = config.get("task") or ()
        if isinstance(config.get("group"), str):
            inside = tuple(_child_names(children if isinstance(children, list) else [children]))
            found.setdefault(config["group"], Entry(config["group"], "group", config, inside))
        elif isinstance(children, str):
            found.setdefault(children, Entry(children, "task", config))
            tags = config.get("tag") or []
            for tag in [tags] if isinstance(tags, str) else tags:
                tagged.setdefault(str(tag), []).append(children)
    for tag, names in tagged.items():
        found.setdefault(tag, Entry(tag, "tag", children=tuple(names)))
    order = {"group": 0, "tag": 1, "task": 2}
    return {entry.name: entry for entry in sorted(found.values(), key=lambda entry: (order[entry.kind], entry.name))}


def leaves(name: str) -> list[str]:
    """The tasks that a name stands for, each once, lm-eval's own included.

    >>> leaves("eibench_expression")
    ['eibench_ed_response', 'eibench_esc_response', 'eibench_esc_strategy', 'eibench_emobench_ea']
    """
    known, found = catalogue(), dict[str, None]()
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            entry = known.get(name)
            if entry is None or entry.kind == "task":
                found[name] = None
            for child in entry.children if entry else ():
                visit(child)

    visit(name)
    return list(found)


def metrics(name: str) -> dict[str, bool | None]:
    """The metrics that a name is judged by, and whether higher is better: a group's own, else its tasks' headlines.

    >>> metrics("mbtibench"), metrics("safety")
    ({'s_rmse': False}, {'over_refusal': False, 'unsafe_compliance': False})
    """
    entry = catalogue().get(name)
    if entry is None:  # lm-eval's own
        return {}
    if entry.kind == "task":
        own = _listed(entry.config.get("metric_list"))
        headline = benches.declared(entry.bench).headline
        first = headline if headline in own else next(iter(own), None)
        return {} if first is None else {first: own[first]}
    found: dict[str, bool | None] = {}
    for leaf in leaves(name):
        found |= metrics(leaf)
    own = _listed(entry.config.get("aggregate_metric_list"))
    first = next(iter(own), None)
    return found if first is None else {first: found.get(first)}


def asked(name: str) -> str:
    """What a name asks, in a few words; empty where its benchmark does not say.

    >>> asked("eibench_meld_ll")
    'emotion of an utterance in a television scene'
    """
    entry = catalogue().get(name)
    if entry is None:
        return ""
    alias = entry.config.get("group_alias") or entry.config.get("task_alias") or ""
    if entry.kind == "tag" and not entry.bench:
        alias = f"tasks of several benchmarks in {name.rpartition('_')[2]}"
    return _by_beginning(benches.declared(entry.bench).asks, name) or str(alias)


def size(name: str) -> int | None:
    """How many docs a name has, of a task or of all that a group or tag runs; None where that is not known.

    >>> size("seceu"), size("mbtibench_zero_shot"), size("eibench_gi")
    (80, 1144, None)
    """
    entry = catalogue().get(name)
    if entry is None:  # lm-eval's own
        return None
    declared = benches.declared(entry.bench).sizes
    if entry.kind == "task":
        found: int | None = _by_beginning(declared, name)
        return found
    if "test_split" in entry.config:  # other docs than its tasks have alone
        return declared.get(name)
    sizes = [size(leaf) for leaf in leaves(name)]
    return None if None in sizes else sum(filter(None, sizes))


def nearest(name: str, names: Iterable[str], most: int = 4) -> list[str]:
    """The names that a mistyped one may have meant, the likeliest first.

    >>> nearest("mbti_bench", ["mbtibench", "seceu", "arc"])
    ['mbtibench']
    """
    names = list(names)
    close = get_close_matches(name.lower(), names, most)
    begun = sorted((other for other in names if name and other.startswith(name.lower())), key=len)
    return list(dict.fromkeys([*close, *begun]))[:most]


def _by_beginning(values: Mapping[str, Any], name: str) -> Any:
    """The value of the longest key that a name is or begins with, by whole words; None without one."""
    words = name.split("_")
    keys = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((values[key] for key in keys if key in values), None)


def _listed(metrics: object) -> dict[str, bool | None]:
    """Names of a list of metrics, and whether higher is better."""
    items = metrics if isinstance(metrics, list) else []
    return {str(item["metric"]): item.get("higher_is_better") for item in items if isinstance(item, dict)}


def _child_names(children: Iterable[Any]) -> Iterator[str]:
    for child in children:
        if isinstance(child, dict):  # written in place
            child = child.get("group") or child.get("task")
        if isinstance(child, str):
            yield child


def _files() -> Iterator[Path]:
    for _, place in benches.places():
        yield from sorted(place.rglob("*.yaml"))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader to which a function is the text of its address."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@functools.cache
def _parsed(file: Path) -> Mapping[str, Any]:
    found = parse_yaml(read_text(file), _Loader)
    if not isinstance(found, dict):
        raise FileError("not a mapping")
    return found


def _with_includes(file: Path, depth: int = 0) -> dict[str, Any]:
    """A file with what it includes, as lm-eval merges them: key by key, the later ones and its own last."""
    if depth > _MOST_INCLUDES:
        raise FileError("its includes never end")
    own = dict(_parsed(file))
    includes = own.pop("include", None) or []
    merged: dict[str, Any] = {}
    for include in includes if isinstance(includes, list) else [includes]:
        merged |= _with_includes(file.parent / str(include), depth + 1)
    return merged | own
