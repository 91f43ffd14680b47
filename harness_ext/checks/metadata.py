"""What a task says of itself: the metadata by which tables place, compare and explain its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness_ext.checks.files import TaskFile
from harness_ext.checks.findings import Found, check

METADATA_KEYS = {"version", "bench", "source", "prompt_pack", "language", "chance", "direction"}
_GROUP_KEYS = {"version", "bench"}
_LANGUAGE_TAG = re.compile(r"harness_ext_lang_[a-z]{2,3}")
"""The one kind of tag that crosses benchmarks: all tasks in a language."""


@check(
    "file",
    why="tables cannot place the task, name its data or say what chance scores.",
    mend="Add the key to metadata; null where chance or direction mean nothing.",
    house=True,
)
def metadata_missing(file: TaskFile) -> Iterator[Found]:
    """Metadata have every key that tables read."""
    needed = set() if not file.config else _GROUP_KEYS if file.is_group else METADATA_KEYS
    for key in sorted(needed - file.metadata.keys()):
        yield Found(f"metadata has no {key!r}", "metadata")


@check(
    "file",
    why="tables would order runs the wrong way or print nonsense beside a number.",
    mend="Give higher, lower or null as direction, and a number or null as chance.",
    house=True,
)
def metadata_value(file: TaskFile) -> Iterator[Found]:
    """Direction and chance have values that tables understand."""
    direction, chance = file.metadata.get("direction"), file.metadata.get("chance")
    if direction not in ("higher", "lower", None):
        yield Found(f"direction is {direction!r}, not higher, lower or null", "metadata.direction")
    if isinstance(chance, bool) or not isinstance(chance, (int, float, type(None))):
        yield Found(f"chance is {chance!r}, not a number or null", "metadata.chance")


@check(
    "file",
    why="results of different prompts or scores cannot be told apart.",
    mend="Add version to metadata and raise it whenever scores move.",
)
def version_missing(file: TaskFile) -> Iterator[Found]:
    """A task of somebody else's conventions has a version, too."""
    if not file.is_group and file.config and "version" not in file.metadata and "bench" not in file.metadata:
        yield Found("metadata has no 'version'", "metadata")


@check(
    "file",
    why="tables and people find a benchmark's tasks by how their names begin.",
    mend="Begin names and tags with the folder's or the benchmark's name, in lower case.",
    house=True,
)
def name_form(file: TaskFile) -> Iterator[Found]:
    """Names and tags begin with the benchmark's name or the folder's."""
    folder, bench = file.path.parent.name, file.metadata.get("bench")
    starts = "|".join(re.escape(start) for start in (folder, bench) if isinstance(start, str))
    name = file.config.get("group") or file.config.get("task")
    for own in (name, *file.tags) if file.config else ():
        if own in file.tags and _LANGUAGE_TAG.fullmatch(own):
            continue
        if not re.fullmatch(rf"({starts})(_[a-z0-9]+)*", str(own)):
            key = "tag" if own in file.tags else "group" if file.is_group else "task"
            yield Found(f"name {own!r} is not {folder} or {folder}_<lower case words>", key)
