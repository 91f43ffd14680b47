"""Which results repeat one another, and what tells apart those of one name that do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness_ext.results.reading import identity
from harness_ext.results.reading.frame import Row

_MODEL = ("model", "method", "base")
_LINE = (*_MODEL, "bench", "data", "cap", "prompt_pack", "setting")
"""What the numbers of one model in one table share before runs of that name are told apart."""
_CELL = (*_LINE, "variant", "family", "part", "task", "metric", "filter", "judge", "judge_version", "num_fewshot")
"""What two numbers share that would stand in one cell of a table."""
_SAME = ("identity", "task", "metric", "filter", "judge", "judge_version")
_MOST_NAMED = 20

_Words = Callable[[Mapping[str, set[str]]], Mapping[str, Sequence[str]]]
"""What tells results files apart, from the tasks in which they clash."""


def newest(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the newest of results of which everything recorded is the same, and name the files of the others.

    Of runs with the same start time the last path in alphabetical order wins. lm-eval hashes docs and prompts only
    with ``--log_samples``: a run without that hash repeats one that has it.
    """
    if not frame.duplicated(_SAME).any():
        return frame, []
    hashes: dict[tuple[str, str], set[str]] = {}
    for run, task, own in zip(frame.identity, frame.task, frame.task_hash, strict=True):
        hashes.setdefault((run, task), set()).add(own)
    places = zip(frame.identity, frame.task, frame.task_hash, strict=True)
    told = [own if len(hashes[run, task] - {""}) > 1 else "" for run, task, own in places]
    same = frame[[*_SAME, "run", "date"]].assign(task_hash=told)
    ordered = same.sort_values(["date", "run"], kind="stable", na_position="first")
    repeated = ordered.duplicated([*_SAME, "task_hash"], keep="last")
    standing = {tuple(key): run for run, *key in ordered.loc[~repeated, ["run", *_SAME, "task_hash"]].to_numpy()}
    notes = []
    for run, numbers in ordered[repeated].groupby("run"):
        by = standing[tuple(numbers.iloc[0][[*_SAME, "task_hash"]])]
        notes.append(f"{run!s} was left out with {len(numbers)} numbers: {by!s} repeats it and is newer.")
    more = len(notes) - _MOST_NAMED
    kept = frame.drop(index=ordered.index[repeated]).reset_index(drop=True)
    return kept, notes[:_MOST_NAMED] + ([f"… and {more} more files that newer runs repeat."] if more > 0 else [])


class Records:
    """What the results files recorded, while they are compared."""

    def __init__(self) -> None:
        self._runs: dict[str, identity.Record] = {}
        self._tasks: dict[tuple[str, str], identity.Record] = {}
        self._known: dict[Any, Any] = {}
        self._sources: dict[str, set[str]] = {}

    def add(self, path: Path, content: Mapping[str, Any], rows: Iterable[Row]) -> None:
        """Take in one results file. Most files record the same: what is equal is kept once."""
        self._runs[str(path)] = self._once(identity.of_run(content))
        for task in dict.fromkeys(row.task for row in rows if row.level == "task"):
            self._tasks[str(path), task] = self._once(identity.of_task(content, task))

        if sources := identity.sources(content):
            self._sources[str(path)] = sources

    def without_copies(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame without the numbers of rejudged files that stand in the file that they were made from, too."""
        if not self._sources:
            return frame
        wanted = set().union(*self._sources.values())
        columns = frame[["run", "run_hash", "task", "metric", "filter", "value"]].itertuples(index=False, name=None)
        numbers = [(run, digest, (*key, repr(value))) for run, digest, *key, value in columns]
        known = {(digest, number) for _, digest, number in numbers if digest in wanted}
        copied = [any((own, number) in known for own in self._sources.get(run, ())) for run, _, number in numbers]
        return frame[[not copy for copy in copied]].reset_index(drop=True)

    def _once(self, record: identity.Record) -> identity.Record:
        once: identity.Record = tuple(self._known.setdefault(item, item) for item in record)
        known: identity.Record = self._known.setdefault(once, once)
        return known

    def over_seeds(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Results that differ in nothing but seeds as one, with their mean and their spread.

        Such a mean belongs to no single file, so it has no samples and no interval over docs.
        """
        asked = {
            run: (
                tuple(item for item in record if not identity.is_seed(item[0])),
                tuple(own for (of, _), own in self._tasks.items() if of == run),
            )
            for run, record in self._runs.items()
        }
        places: dict[tuple[object, ...], list[int]] = {}
        columns = [*_LINE, "task", "metric", "filter", "judge", "judge_version"]
        for at, (run, *cell) in enumerate(frame[["run", *columns]].itertuples(index=False, name=None)):
            places.setdefault((asked[run], *cell), []).append(at)
        kept = []
        for own in places.values():
            rows = frame.iloc[own]
            first = rows.iloc[[0]]
            if len(own) > 1:
                setting = ", ".join(filter(None, (first.setting.iloc[0], f"mean of {len(own)} seeds")))
                first = first.assign(
                    run="", run_hash="", identity="", value=rows.value.mean(), std=rows.value.std(), stderr=math.nan,
                    setting=setting,
                )  # fmt: skip
            kept.append(first)
        return pd.concat(kept, ignore_index=True) if kept else frame

    def by_model(self, frame: pd.DataFrame) -> Iterator[list[int]]:
        """Places of the numbers of each model asked in one way, in the order in which they first come."""
        found: dict[tuple[object, ...], list[int]] = {}
        ways: dict[str, object] = {}
        for at, (run, *model) in enumerate(frame[["run", *_MODEL]].itertuples(index=False, name=None)):
            if run not in ways:
                ways[run] = tuple(item for item in self._runs.get(run, ()) if item[0] not in identity.INCIDENTAL)
            found.setdefault((ways[run], *model), []).append(at)
        yield from found.values()

    def named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with what tells runs of one name apart added to their setting.

        What holds for a whole run (revision, arguments, seeds, limit, …) is said wherever runs of one name differ in
        it, because a mean over two models would be nobody's; what a task is asked is said where two numbers would
        stand in one cell.
        """
        runs_of_lines: dict[tuple[object, ...], dict[str, None]] = {}
        for run, *found in frame[["run", *_LINE]].drop_duplicates().itertuples(index=False, name=None):
            runs_of_lines.setdefault(tuple(found), {})[run] = None
        told: dict[tuple[object, ...], Sequence[str]] = {}
        for line, runs in runs_of_lines.items():
            differing = identity.differing(self._runs.get(run, ()) for run in runs)
            names = [name for name in differing if name not in identity.INCIDENTAL]
            for run in runs if names else ():
                told[(run, *line)] = identity.words(self._runs.get(run, ()), names, Path(run).name)
        frame = _with_words(frame, told)
        return self._apart(self._apart(frame, self._task_words), self._file_words)

    def _apart(self, frame: pd.DataFrame, words: _Words) -> pd.DataFrame:
        """Words for all numbers of lines in which some would stand in one cell with another run's."""
        clashing = frame[frame.duplicated(list(_CELL), keep=False)]
        if clashing.empty:
            return frame
        lines: dict[tuple[object, ...], dict[str, set[str]]] = {}
        for run, task, *found in clashing[["run", "task", *_LINE]].itertuples(index=False, name=None):
            lines.setdefault(tuple(found), {}).setdefault(run, set()).add(task)
        told: dict[tuple[object, ...], Sequence[str]] = {}
        for line, runs in lines.items():
            told |= {(run, *line): own for run, own in words(runs).items()}
        return _with_words(frame, told)

    def _task_words(self, runs: Mapping[str, set[str]]) -> dict[str, list[str]]:
        """What differs in how the tasks were asked that the runs share."""
        shared = list(dict.fromkeys(task for own in runs.values() for task in sorted(own)))
        asked = {task: [self._asked(run, task) for run in runs if (run, task) in self._tasks] for task in shared}
        names = dict.fromkeys(name for records in asked.values() for name in identity.differing(records))
        names = dict.fromkeys(name for name in names if name not in identity.CONSEQUENCES) or names
        found = {}
        for run, own in runs.items():
            records = [self._asked(run, task) for task in sorted(own) if (run, task) in self._tasks]
            # one phrase for a whole run: where its tasks differ among themselves, its file is named instead
            common = [item for item in (records[0] if records else ()) if all(item in record for record in records)]
            varying = dict.fromkeys(name for record in records for name, _ in record if name in names)
            kept = tuple(item for item in common) + tuple(
                (name, "\0" * 99) for name in varying if name not in dict(common)
            )
            found[run] = identity.words(kept, names, Path(run).name)
        return found

    def _asked(self, run: str, task: str) -> identity.Record:
        incidental = tuple(item for item in self._runs[run] if item[0] in identity.INCIDENTAL)
        return (*self._tasks[run, task], *incidental)

    def _file_words(self, runs: Mapping[str, set[str]]) -> dict[str, list[str]]:
        return {run: [f"results of {Path(run).name}"] for run in runs}


def _with_words(frame: pd.DataFrame, told: Mapping[tuple[object, ...], Sequence[str]]) -> pd.DataFrame:
    if not any(told.values()):
        return frame
    keys = frame[["run", *_LINE]].itertuples(index=False, name=None)
    settings = [
        ", ".join(filter(None, (setting, *told.get(key, ())))) for key, setting in zip(keys, frame.setting, strict=True)
    ]
    return frame.assign(setting=settings)
