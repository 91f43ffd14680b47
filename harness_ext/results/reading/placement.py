"""Where a task name belongs: benchmark, variant and part, read from the naming rule ``<bench>[_<variant>]_<part>``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MBTI_DIMENSIONS = {"ei": "E/I", "sn": "S/N", "tf": "T/F", "jp": "J/P"}

_MBTIBENCH = re.compile(r"mbtibench(?:_(?P<variant>.+?))??(?:_(?P<part>ei|sn|tf|jp))?")
_BENCHES = ("eibench_gi", "eqbench_v2", "seceu", "tombench", "emobench")
"""Benchmarks whose groups need no more than the naming rule; their leaves say what they belong to."""

_EIBENCH = re.compile(r"eibench(?:_(?P<part>.+?))??(?:_(?P<variant>ll))?")


class Placement(NamedTuple):
    """The place of a task in the tables; ``variant`` and ``part`` may be empty."""

    bench: str
    variant: str
    part: str


def place(task: str, metadata: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> Placement:
    """Benchmark, variant and part of a task or group.

    Args:
        task: the bare name, without lm-eval's ``group::`` prefix.
        metadata: ``configs[task].metadata`` of the result file; ``bench``, ``variant`` and ``part`` in it win.
        groups: ``group_subtasks`` of the result file; an unknown task belongs to its outermost group.

    >>> place("mbtibench_zero_shot_ll_ei", {}, {})
    Placement(bench='mbtibench', variant='zero_shot_ll', part='E/I')
    >>> place("eibench_tweet_emotion_ll", {}, {})
    Placement(bench='eibench', variant='ll', part='tweet_emotion')
    >>> place("mmlu_anatomy", {}, {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_anatomy"]})
    Placement(bench='mmlu', variant='', part='mmlu_anatomy')
    >>> place("eibench_gi_boolq_ll", {"bench": "eibench_gi"}, {})
    Placement(bench='eibench_gi', variant='ll', part='boolq')
    """
    told = {key: str(metadata[key]) for key in Placement._fields if isinstance(metadata.get(key), str)}
    found = _by_name(task, told["bench"]) if "bench" in told else _known(task) or _by_group(task, groups)
    return found._replace(**told)


def _by_name(task: str, bench: str) -> Placement:
    """The naming rule, for a task that says what its benchmark is."""
    rest = task.removeprefix(bench).lstrip("_")
    part = rest.removesuffix("_ll") if rest != "ll" else ""
    return Placement(bench, "ll" if rest.endswith("ll") and part != rest else "", part)


def _known(task: str) -> Placement | None:
    for bench in _BENCHES:
        if task == bench or task.startswith(f"{bench}_"):
            return _by_name(task, bench)
    if match := _MBTIBENCH.fullmatch(task):
        return Placement("mbtibench", match["variant"] or "", MBTI_DIMENSIONS.get(match["part"] or "", ""))
    if match := _EIBENCH.fullmatch(task):
        return Placement("eibench", match["variant"] or "", match["part"] or "")
    return None


def _by_group(task: str, groups: Mapping[str, Sequence[str]]) -> Placement:
    parents = {
        bare_name(child): bare_name(parent)
        for parent, children in groups.items()
        for child in children
        if child != parent
    }
    top, seen = task, {task}
    while (above := parents.get(top)) is not None and above not in seen:
        top = above
        seen.add(above)
    return Placement(top, "", task if top != task else "")


def bare_name(task: str) -> str:
    """lm-eval 0.4.13 writes a subgroup as ``parent::child``; the tables use the child's own name.

    >>> bare_name("mbtibench::mbtibench_zero_shot")
    'mbtibench_zero_shot'
    """
    return task.rpartition("::")[2]
