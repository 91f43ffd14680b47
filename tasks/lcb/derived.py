"""The benchmark's own averages, and how far they depend on the detector of languages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from harness_ext.leaderboards.table import Entry, lines
from harness_ext.results.derived import rank_changes
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.reading.samples import sample_lines
from harness_ext.scoring.answers import MARKERS, answer_of
from harness_ext.scoring.lid import installed
from harness_ext.tasks.lcb.scores import confusion

METRICS = ("lpr", "wpr", "line_acc")
_UNKNOWN = dict.fromkeys(("stderr", "low", "high", "delta_low", "delta_high", "chance"), math.nan)

Cells = dict[tuple[str, str], Row]
"""Leaves of one setting and metric, by source and language."""


def derive(rows: Sequence[Row], runs: Runs) -> Derived:
    """Averages of each line over languages and sources, and the range of every line pass rate over detectors.

    The range needs samples; it is recomputed with every detector that is installed, and a pair of models that detectors
    put in different orders is named.
    """
    found: list[Row] = []
    notes: list[str] = []
    for entry, own in lines(row for row in rows if row.level == "task" and row.filter == "none").items():
        for setting in ("mono", "cross"):
            blocks = {metric: _cells(own, setting, metric) for metric in METRICS}
            for cells in blocks.values():
                found += _averages(setting, cells) if cells else ()
            if blocks["lpr"]:
                ranges, changes = _ranges(setting, blocks["lpr"], entry, runs)
                found += ranges
                notes += changes
    return Derived(found, notes)


def _cells(rows: Sequence[Row], setting: str, metric: str) -> Cells:
    found: Cells = {}
    for row in rows:
        pieces = row.task.removeprefix("lcb_").split("_")
        if row.metric == metric and len(pieces) == 3 and pieces[0] == setting:
            found[pieces[1], pieces[2]] = row
    return found


def _averages(setting: str, cells: Cells) -> Iterator[Row]:
    for place, value in averages({where: row.value for where, row in cells.items()}).items():
        source, language = place
        leaves = [row for where, row in cells.items() if _inside(where, place)]
        name = "macro" if place == ("all", "all") else source if language == "all" else language
        about = {"task": f"lcb_{setting}_{name}", "part": "all" if name == "macro" else name, "value": value}
        yield leaves[0].model_copy(update=about | _group(leaves))


def _inside(where: tuple[str, str], place: tuple[str, str]) -> bool:
    return all(wanted in ("all", own) for own, wanted in zip(where, place, strict=True))


def _group(leaves: Sequence[Row]) -> dict[str, object]:
    counts = {name: math.fsum(getattr(row, name) for row in leaves) for name in ("n", "n_total")}
    return {"level": "group", "task_hash": "", "identity": "", **_UNKNOWN, **counts}


def _ranges(setting: str, cells: Cells, entry: Entry, runs: Runs) -> tuple[list[Row], list[str]]:
    """``lpr_low`` and ``lpr_high`` of leaves and macro, and the models whose order depends on the detector."""
    known = _by_detector(cells, runs)
    if not known:
        return [], []
    found: list[Row] = []
    for where, row in cells.items():
        if here := [own[where] for own in known.values() if not math.isnan(own[where])]:
            found += _ends(row, here, {})
    leaves = [*cells.values()]
    macros = {name: averages(own)["all", "all"] for name, own in known.items()}
    found += _ends(leaves[0], [*macros.values()], {"task": f"lcb_{setting}_macro", "part": "all", **_group(leaves)})
    if len(known) < 2:
        return found, [f"lcb_{setting}: {', '.join(known)} is the only detector here, so ranges are points."]
    frame = runs.frame
    measured = to_rows(frame[(frame.bench == "lcb") & (frame.origin == "measured") & (frame.level == "task")])
    values: dict[str, dict[str, float]] = {name: {entry.model: value} for name, value in macros.items()}
    for other, own in lines(measured).items():
        theirs = _cells(own, setting, "lpr")
        if other.model > entry.model and theirs.keys() == cells.keys():
            for name, cell in _by_detector(theirs, runs).items():
                values.setdefault(name, {})[other.model] = averages(cell)["all", "all"]
    return found, [
        f"lcb_{setting}, lpr: {change.first} is below {change.second} by {', '.join(change.below)} and above it by "
        f"{', '.join(change.above)}: their order is within the range of detectors."
        for change in rank_changes(values)
        if entry.model in (change.first, change.second)
    ]


def _ends(row: Row, values: Sequence[float], about: Mapping[str, object]) -> Iterator[Row]:
    for metric, value in (("lpr_low", min(values)), ("lpr_high", max(values))):
        yield row.model_copy(update={**_UNKNOWN, "identity": "", **about, "metric": metric, "value": value})


def _by_detector(cells: Cells, runs: Runs) -> dict[str, dict[tuple[str, str], float]]:
    """The line pass rate of each leaf by every installed detector; nothing without samples of all leaves."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for where, row in cells.items():
        task = runs.task(row)
        if task is None or task.samples is None or task.samples == task.results:
            return {}
        for name, value in _pass_rates(task.samples, task.samples.stat().st_mtime, task.filters).items():
            found.setdefault(name, {})[where] = value
    return found


@lru_cache(maxsize=1024)
def _pass_rates(samples: Path, _changed: float, filters: tuple[str, ...]) -> Mapping[str, float]:
    """The line pass rate of one leaf's logged responses, by detector."""
    scored = [(line["doc"], str(line["filtered_resps"][0])) for line in sample_lines(samples, filters)]
    rates = {}
    for name in installed():
        passes = [
            confusion({**doc, "compat": False}, answer_of(text, doc.get(MARKERS)).text, name)["lpr"]
            for doc, text in scored
        ]
        known = [one for one in passes if not math.isnan(one)]
        rates[name] = statistics.fmean(known) if known else math.nan
    return rates


def averages(cells: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Averages of the leaves of one setting: ``all`` stands for sources, for languages, or for both.

    The overall average is the mean over languages of each language's mean over sources; blank cells are left out.

    Args:
        cells: values by source and language, NaN for a blank one.

    >>> found = averages({("okapi", "ar"): 0.2, ("aya", "ar"): 0.4, ("okapi", "de"): 0.9})
    >>> {place: round(value, 3) for place, value in found.items()}
    {('okapi', 'all'): 0.55, ('aya', 'all'): 0.4, ('all', 'ar'): 0.3, ('all', 'de'): 0.9, ('all', 'all'): 0.6}
    """
    known = {place: value for place, value in cells.items() if not math.isnan(value)}

    def mean(values: list[float]) -> float:
        return statistics.fmean(values) if values else math.nan

    sources, languages = (dict.fromkeys(place[axis] for place in cells) for axis in (0, 1))
    found = {(name, "all"): mean([value for (source, _), value in known.items() if source == name]) for name in sources}
    each = {
        ("all", name): mean([value for (_, language), value in known.items() if language == name]) for name in languages
    }
    return found | each | {("all", "all"): mean([value for value in each.values() if not math.isnan(value)])}
