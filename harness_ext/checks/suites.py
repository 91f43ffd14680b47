"""What can only be seen with all files of a folder of benchmarks side by side: names, and what groups take together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from harness_ext.checks.files import TaskFile
from harness_ext.checks.findings import Found, check


@dataclass(frozen=True)
class Suite:
    """The files of a folder of benchmarks, ours or another package's."""

    files: Sequence[TaskFile]
    upstream: Collection[str] = ()
    """Names of lm-eval's own tasks, groups and tags, where these are not they."""
    cards: Collection[str] | None = None
    """Names of the sources that have a data card; ``None`` where cards are not kept."""
    house: bool = True
    """Whether they follow this package's conventions."""

    @cached_property
    def by_name(self) -> Mapping[str, TaskFile]:
        """The readable files by what they define."""
        return {file.name: file for file in self.files if file.config}

    @cached_property
    def groups(self) -> Mapping[str, TaskFile]:
        """Those that define groups."""
        return {name: file for name, file in self.by_name.items() if file.is_group}

    @cached_property
    def tags(self) -> Mapping[str, set[str]]:
        """Names of the tasks under each tag."""
        found: dict[str, set[str]] = {}
        for file in self.files:
            for tag in file.tags:
                found.setdefault(tag, set()).add(file.name)
        return found

    def below(self, name: str) -> set[str]:
        """Names of everything below a group, groups included."""
        found: set[str] = set()
        open_groups = [name]
        while open_groups:
            children = {
                child for one in _children(self.groups[open_groups.pop()]) for child in self.tags.get(one, {one})
            }
            children -= found
            found |= children
            open_groups += children & self.groups.keys()
        return found


def _children(file: TaskFile) -> list[str]:
    """Names of a group's members; what is defined in place counts as its own members, or not at all."""
    return list(_names_of(file.config.get("task") or []))


def _names_of(members: Any) -> Iterator[str]:
    for one in [members] if isinstance(members, (str, dict)) else members:
        if not isinstance(one, dict):
            yield str(one)
        elif isinstance(one.get("task"), list):
            yield from _names_of(one["task"])
        elif "group" in one:
            yield str(one["group"])
        elif one.keys() <= {"task", "task_alias"}:  # with more keys it may be a task of its own
            yield str(one.get("task"))


@check(
    "suite",
    why="lm-eval takes the first file that it meets and leaves the other out.",
    mend="Give each task and group a name of its own.",
)
def defined_twice(suite: Suite) -> Iterator[Found]:
    """Every name is defined once."""
    names = Counter(file.name for file in suite.files if file.config)
    for file in suite.by_name.values():
        if names[file.name] > 1:
            key = "group" if file.is_group else "task"
            yield Found(f"{file.name} is defined {names[file.name]} times", key, file)


@check(
    "suite",
    why="it takes the place of lm-eval's own, or joins its tasks under one name: other people's runs change.",
    mend="Begin names and tags with the benchmark's name.",
)
def name_clash(suite: Suite) -> Iterator[Found]:
    """No task, group or tag has the name of one of lm-eval's own, and no tag that of a task."""
    for file in suite.by_name.values():
        key = "group" if file.is_group else "task"
        if file.name in suite.upstream:
            yield Found(f"{file.name} is a name of lm-eval's own", key, file)
        for tag in file.tags:
            if tag in suite.upstream:
                yield Found(f"{tag} is a name of lm-eval's own", "tag", file)
            elif tag in suite.by_name:
                yield Found(f"tag {tag} is also the name of a task or group", "tag", file)


@check(
    "suite",
    why="nobody can tell which bytes were scored, under which licence, and what is wrong with them.",
    mend="Write data_cards/SOURCE.md, or correct the name in metadata.",
    house=True,
)
def source_without_card(suite: Suite) -> Iterator[Found]:
    """Every source that a task names has a data card."""
    for file in suite.by_name.values() if suite.cards is not None else ():
        source = file.metadata.get("source")
        if source is not None and not file.is_group and source not in (suite.cards or ()):
            yield Found(f"source {source!r} has no data card", "metadata.source", file)


@check(
    "suite",
    why="the group cannot be run, or runs without that member.",
    mend="Correct the member's name.",
)
def group_member_missing(suite: Suite) -> Iterator[Found]:
    """Every member of a group exists."""
    known = {file.name for file in suite.files} | set(suite.upstream)
    for name, file in suite.groups.items():
        for child in sorted(suite.below(name) - known):
            yield Found(f"{name} names {child}, which does not exist", "task", file)


@check(
    "suite",
    why="the group's number is taken over some of its members only.",
    mend="Aggregate a metric that every member has, or add it to the member.",
)
def group_metric_missing(suite: Suite) -> Iterator[Found]:
    """Every member of a group has the metrics that the group aggregates."""
    for name, file in suite.groups.items():
        aggregated = {str(metric.get("metric")) for metric in file.group_metrics}
        below = suite.below(name)
        if not below <= suite.by_name.keys() | set(suite.upstream):
            continue  # what cannot be read may have it
        leaves = sorted(below & suite.by_name.keys() - suite.groups.keys())
        has = {leaf: {str(metric.get("metric")) for metric in suite.by_name[leaf].metrics} for leaf in leaves}
        if suite.house:
            for leaf in leaves:
                for metric in sorted(aggregated - has[leaf]):
                    what = f"{name} aggregates {metric}, which {leaf} does not have"
                    yield Found(what, "aggregate_metric_list", file)
        elif any(has.values()):  # lm-eval's own groups mix tasks whose metrics differ, and mean to
            for metric in sorted(aggregated - set().union(*has.values())):
                what = f"{name} aggregates {metric}, which none of its members has"
                yield Found(what, "aggregate_metric_list", file)


@check(
    "suite",
    why="lm-eval refuses to run both groups together.",
    mend="Put one group inside the other, or accept it with a comment: # check: leaf-in-two-groups: REASON.",
    house=True,
)
def leaf_in_two_groups(suite: Suite) -> Iterator[Found]:
    """No run of two groups meets a leaf twice; a group may stand inside another or be another name for it."""
    below = {name: suite.below(name) for name in suite.groups}
    other_names = {
        name for name, file in suite.groups.items() if len(_children(file)) == 1 and below[name] & suite.groups.keys()
    }
    for one, other in combinations(sorted(suite.groups.keys() - other_names), 2):
        shared = (below[one] & below[other]) - suite.groups.keys()
        nested = one in below[other] or other in below[one]
        if shared and not nested:
            file = suite.groups[one if "leaf-in-two-groups" in suite.groups[one].accepted else other]
            what = f"{one} and {other} share {', '.join(sorted(shared))}: lm-eval refuses to run both"
            yield Found(what, "group", file)
