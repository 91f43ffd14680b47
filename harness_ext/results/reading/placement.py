"""Where a task name belongs: benchmark, variant and part, read from the naming rule ``<bench>[_<variant>]_<part>``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness_ext.results import benches


class Placement(NamedTuple):
    """The place of a task in the tables; ``variant`` and ``part`` may be empty."""

    bench: str
    variant: str
    part: str


def place(task: str, metadata: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> Placement:
    """Benchmark, variant and part of a task or group.

    Args:
        task: the bare name, without lm-eval's ``group::`` prefix.
        metadata: ``configs[task].metadata`` of the result file; ``bench``, ``variant`` and ``part`` in it win. Without
            ``bench`` (lm-eval records nothing of groups, older files lack it) the longest known name begins the task's.
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
    bench = told.get("bench") or benches.named(task)
    found = _by_name(task, bench) if bench else _by_group(task, groups)
    return found._replace(**told)


def _by_name(task: str, bench: str) -> Placement:
    """Where parts are declared, the last piece of the name is one or none; else ``_ll`` is the only variant."""
    rest = task.removeprefix(bench).lstrip("_")
    if parts := benches.declared(bench).parts:
        variant, _, last = rest.rpartition("_")
        return Placement(bench, variant, parts[last]) if last in parts else Placement(bench, rest, "")
    part = rest.removesuffix("_ll") if rest != "ll" else ""
    return Placement(bench, "ll" if rest.endswith("ll") and part != rest else "", part)


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
