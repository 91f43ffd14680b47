"""Whether two runs answered the same questions in the same way, and where they did not."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from harness_ext.errors import HarnessExtError
from harness_ext.results.benches import declared
from harness_ext.results.reading.judges import JUDGED_METRICS
from harness_ext.results.reading.runs import TaskRun
from harness_ext.results.reading.samples import Scores

_SHOWN = 12

# Columns of the results frame on which two runs must agree, and what a reader calls them.
_SAME = {
    "data": "data (real or sample)",
    "cap": "cap on docs",
    "judge": "judge",
    "limit": "limit",
    "num_fewshot": "number of demonstrations",
    "prompt_pack": "prompt pack",
    "setting": "settings",
    "task_version": "task version",
}
# Switches that those columns tell, and metadata that says nothing of the questions.
_ELSEWHERE = frozenset(
    {
        "version", "bench", "variant", "part", "source", "language", "chance", "direction", "config_source", "data",
        "cap", "prompt_pack", "prompt_pack_sha256", "judge", "judges",
    }
)  # fmt: skip
# Fields of a task's configuration that make its prompts.
_PROMPT_FIELDS = (
    "doc_to_text", "doc_to_choice", "description", "gen_prefix", "target_delimiter", "fewshot_delimiter",
    "fewshot_config", "fewshot_split", "system_instruction_sha", "fewshot_as_multiturn",
)  # fmt: skip


class Mismatch(NamedTuple):
    """Why two runs of a task must not be compared."""

    task: str
    kind: str
    explanation: str


class NotComparableError(HarnessExtError):
    """The runs answered different questions; ``mismatches`` says where."""

    exit_code = 1

    def __init__(self, mismatches: Sequence[Mismatch]) -> None:
        self.mismatches = tuple(mismatches)
        shown = [f"  {task}: {explanation}" for task, _, explanation in mismatches[:_SHOWN]]
        rest = (
            [f"  … and {len(mismatches) - _SHOWN} more; --json names all of them."] if len(mismatches) > _SHOWN else []
        )
        way_out = "Run both in the same way, or leave these tasks out with --task."
        super().__init__("\n".join(["the runs cannot be compared:", *shown, *rest, way_out]))


class Side(NamedTuple):
    """One run of a task."""

    label: str
    run: TaskRun
    scores: Mapping[str, Scores]
    """Scored documents by filter."""


def differences(a: Side, b: Side) -> list[Mismatch]:
    """Everything that keeps two runs of a task from being compared; empty if nothing does."""
    return [Mismatch(a.run.task, kind, explanation) for kind, explanation in _differences(a, b)]


def _differences(a: Side, b: Side) -> Iterator[tuple[str, str]]:
    rows = [next(iter(side.run.rows.values())) for side in (a, b)]
    for column, name in _SAME.items():
        values = [_value(getattr(row, column)) for row in rows]
        if values[0] != values[1]:
            yield column, f"{name} is {values[0]} in {a.label} and {values[1]} in {b.label}"
    for name, first, second in _switched(a.run, b.run):
        yield "setting", f"{name} is {_value(first)} in {a.label} and {_value(second)} in {b.label}"
    for metric, name in a.run.rows if rows[0].judge == rows[1].judge else ():
        if metric in JUDGED_METRICS and (metric, name) in b.run.rows:
            judges = [side.run.rows[metric, name] for side in (a, b)]
            told = [f"{row.judge} ({row.judge_version or 'version unknown'})" for row in judges]
            if told[0] != told[1]:
                yield "judge", f"{metric},{name} was judged by {told[0]} in {a.label} and by {told[1]} in {b.label}"
                return
    if a.scores.keys() != b.scores.keys():
        yield "filters", f"filters are {_listed(a.scores)} in {a.label} and {_listed(b.scores)} in {b.label}"
        return
    if _plain(a.run.config.get("filter_list")) != _plain(b.run.config.get("filter_list")):
        yield "filters", "filters of the same name are defined differently"
    name = next(iter(a.scores))
    docs = [Counter(hashes) for hashes in document_hashes(a.scores[name], b.scores[name])]
    if docs[0] != docs[1]:
        only = [(docs[i] - docs[1 - i]).total() for i in (0, 1)]
        total = [count.total() for count in docs]
        yield (
            "docs",
            f"docs differ: {only[0]} of {total[0]} only in {a.label}, {only[1]} of {total[1]} only in {b.label}",
        )
        return
    changed = _changed_prompts(a.scores[name], b.scores[name])
    if changed and not only_the_template_differs(a, b):
        yield "prompts", f"prompts differ for {changed} of {docs[0].total()} docs"


def _switched(a: TaskRun, b: TaskRun) -> Iterator[tuple[str, object, object]]:
    """The switches of a task that were set differently, without those that rows name."""
    usual = declared(next(iter(a.rows.values())).bench).usual
    for name in dict.fromkeys([*a.switches, *b.switches]):
        if name not in _ELSEWHERE and name not in usual and a.switches.get(name) != b.switches.get(name):
            yield name, a.switches.get(name), b.switches.get(name)


def _changed_prompts(a: Scores, b: Scores) -> int:
    order = document_order(a, b)
    return sum(prompt != b.prompt_hashes[place] for prompt, place in zip(a.prompt_hashes, order, strict=True))


def only_the_template_differs(a: Side, b: Side) -> bool:
    """Both runs used a chat template, not the same one, and nothing else that makes a prompt differs.

    A chat template is part of a model, so this is no reason to refuse a comparison, but the reader must know.
    """
    templates = {str(side.run.config.get("chat_template_sha") or "") for side in (a, b)}
    return (
        len(templates) == 2
        and "" not in templates
        and all(_plain(a.run.config.get(name)) == _plain(b.run.config.get(name)) for name in _PROMPT_FIELDS)
    )


def document_hashes(a: Scores, b: Scores) -> tuple[list[str], list[str]]:
    """What tells documents apart: lm-eval's hashes where those of both runs agree, else hashes of what was logged."""
    agree = all(a.told_hashes or [""]) and Counter(a.told_hashes) == Counter(b.told_hashes)
    return (a.told_hashes, b.told_hashes) if agree else (a.doc_hashes, b.doc_hashes)


def document_order(a: Scores, b: Scores) -> list[int]:
    """Positions that bring the documents of run B into the order of run A; equal documents keep their own order.

    >>> document_order(Scores(doc_hashes=["y", "x", "x"]), Scores(doc_hashes=["x", "y", "x"]))
    [1, 0, 2]
    """
    wanted, hashes = document_hashes(a, b)
    places: dict[str, list[int]] = {}
    for place, key in enumerate(hashes):
        places.setdefault(key, []).append(place)
    waiting = {key: iter(found) for key, found in places.items()}
    return [next(waiting[key]) for key in wanted]


def _plain(value: object) -> str:
    """A configuration value without the memory addresses that lm-eval writes for functions."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def _value(value: object) -> str:
    """A column's value as a sentence says it.

    >>> _value(float("nan")), _value(10.0), _value("words:67"), _value(None)
    ('the default', '10', 'words:67', 'the default')
    """
    if value is None:
        return "the default"
    if isinstance(value, float):
        return "the default" if math.isnan(value) else f"{value:g}"
    return str(value) or "the default"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
