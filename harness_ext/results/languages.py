"""Rows by language: the central language, the targets, the macro, and what a method changed in each.

A language's score is the mean over its families of the mean over a family's leaves; the macro is the mean over
languages. What the central language pays is the difference of its row to the base, with the paired interval that every
difference has. A language that one of the compared runs lacks is in nobody's macro and is named.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness_ext.results.derived import chance_normalised, language_macro
from harness_ext.results.reading.frame import Row, to_rows
from harness_ext.results.reading.runs import Derived, Runs
from harness_ext.results.statistics.bootstrap import Drawn, weighted
from harness_ext.results.statistics.intervals import of_row

CENTRAL = "en"

Place = Callable[[Row], "tuple[str, str, str] | None"]
"""From a leaf's row to its block of the benchmark, its family and its language; None for rows of no block."""
Cells = dict[str, dict[str, list[Row]]]
"""Leaves by language and family."""

_SAME = ("variant", "data", "limit", "prompt_pack", "num_fewshot")


def derive_by_language(own: Sequence[Row], runs: Runs, metric: str, place: Place, *, better: bool = True) -> Derived:
    """The rows by language of one model that was asked in one way.

    Each block has a row ``<block>_macro``, ``<block>_central`` and ``<block>_targets``; their differences to the base
    model are the changes of all languages, of the central one and of the targets. Beside a base stands the
    ``worst_change``, the language that lost most; beside accuracies the macro in which guessing is 0 (``normalised``).

    Args:
        own: rows of one line of a table.
        runs: all that were read with it.
        metric: what languages are compared by.
        place: where a leaf belongs.
        better: whether higher is better.
    """
    rows: list[Row] = []
    notes: list[str] = []
    drawn: dict[tuple[str, ...], Drawn] = {}
    for block, cells in _blocks(own, metric, place).items():
        several = _compared(runs, next(iter(next(iter(cells.values())).values()))[0], metric, place, block)
        macros = language_macro(several)
        mine = _name(next(iter(next(iter(cells.values())).values()))[0])
        shared = [language for language in macros.languages if language in cells]
        for language in dict.fromkeys(name for missing in macros.missing.values() for name in missing):
            lacking = ", ".join(name for name, missing in macros.missing.items() if language in missing)
            notes.append(f"{block}, {metric}: {language} is in no macro, because {lacking} has no score there.")
        targets = [language for language in shared if language != CENTRAL]
        for kind, languages in {
            "macro": shared,
            "central": [language for language in shared if language == CENTRAL],
            "targets": targets if len(targets) < len(shared) else [],
        }.items():
            if languages:
                row, one = _mean(cells, languages, runs, f"{block}_{kind}")
                rows.append(row)
                if one is not None:
                    drawn[row.run, row.task, row.metric, row.filter, row.part] = one
                if kind == "macro" and (normal := _normalised(cells, languages)) is not None:
                    rows.append(row.model_copy(update={"metric": "normalised", "value": normal, **_NO_INTERVAL}))
        if (worst := _worst(several, mine, cells, better=better)) is not None:
            language, change = worst
            first = _first(cells, [language])
            about = {"task": f"{block}_worst", "part": language, "level": "group", "metric": "worst_change"}
            rows.append(
                first.model_copy(update={**about, "value": change, "task_hash": "", "identity": "", **_NO_INTERVAL})
            )
    return Derived(rows, notes, drawn)


_NO_INTERVAL: Mapping[str, float] = dict.fromkeys(("stderr", "low", "high", "chance"), math.nan)
_OF_SEVERAL: Mapping[str, object] = {"level": "group", "task_hash": "", "identity": "", **_NO_INTERVAL}


def _blocks(rows: Iterable[Row], metric: str, place: Place) -> dict[str, Cells]:
    found: dict[str, Cells] = {}
    for row in rows:
        if row.level == "task" and row.metric == metric and row.filter == "none" and (where := place(row)):
            block, family, language = where
            found.setdefault(block, {}).setdefault(language, {}).setdefault(family, []).append(row)
    return found


def _compared(runs: Runs, like: Row, metric: str, place: Place, block: str) -> dict[str, dict[str, list[list[float]]]]:
    """Scores by run, language and family, of all runs that a table sets side by side."""
    frame = runs.frame
    rows = to_rows(frame[(frame.bench == like.bench) & (frame.metric == metric) & (frame.origin == "measured")])
    alike = (row for row in rows if all(_equal(getattr(row, name), getattr(like, name)) for name in _SAME))
    by_run: dict[str, list[Row]] = {}
    for row in alike:
        by_run.setdefault(_name(row), []).append(row)
    return {
        name: {
            language: [[row.value for row in leaves] for leaves in families.values()]
            for language, families in cells.items()
        }
        for name, own in by_run.items()
        if (cells := _blocks(own, metric, place).get(block))
    }


def _name(row: Row) -> str:
    return " ".join(filter(None, (row.model, row.method, row.setting)))


def _equal(one: object, other: object) -> bool:
    return one == other or (one != one and other != other)  # both NaN


def _first(cells: Cells, languages: Sequence[str]) -> Row:
    return next(iter(cells[languages[0]].values()))[0]


def _mean(cells: Cells, languages: Sequence[str], runs: Runs, task: str) -> tuple[Row, Drawn | None]:
    """The mean over languages of the mean over families, and the same on resamples where every leaf has some."""
    leaves, weights = [], []
    for language in languages:
        families = [[row for row in own if not math.isnan(row.value)] for own in cells[language].values()]
        for own in (family for family in families if family):
            leaves += own
            weights += [1 / len(languages) / sum(map(bool, families)) / len(own)] * len(own)
    about: dict[str, object] = {**_OF_SEVERAL, "task": task, "part": ", ".join(languages)}
    about |= {name: math.fsum(getattr(row, name) for row in leaves) for name in ("n", "n_total")}
    value = math.fsum(weight * row.value for weight, row in zip(weights, leaves, strict=True))
    known = [one for row in leaves if (one := of_row(row, runs))]
    if len(known) == len(leaves):
        mean = weighted(known, weights)
        about |= {"value": mean.value, "low": mean.interval.low, "high": mean.interval.high}
        return _first(cells, languages).model_copy(update=about), mean
    errors = [row.stderr for row in leaves]
    stderr = math.sqrt(math.fsum((weight * error) ** 2 for weight, error in zip(weights, errors, strict=True)))
    return _first(cells, languages).model_copy(update={**about, "value": value, "stderr": stderr}), None


def _normalised(cells: Cells, languages: Sequence[str]) -> float | None:
    """The macro of chance-normalised leaves in percent; None where a leaf states no chance."""
    scores = []
    for language in languages:
        families = [
            [100 * chance_normalised(row.value, row.chance) for row in leaves] for leaves in cells[language].values()
        ]
        scores.append(statistics.fmean(statistics.fmean(own) for own in families))
    return None if math.isnan(found := statistics.fmean(scores)) else found


def _worst(
    several: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], mine: str, cells: Cells, *, better: bool
) -> tuple[str, float] | None:
    """The language that lost most against the base model, and how much; None without a base."""
    base = _first(cells, [*cells]).base
    other = next((own for name, own in several.items() if name.split(" ")[0] == base), None) if base else None
    if other is None or mine not in several:
        return None

    def score(families: Sequence[Sequence[float]]) -> float:
        return statistics.fmean(statistics.fmean(leaves) for leaves in families)

    changes = {
        language: score(families) - score(other[language])
        for language, families in several[mine].items()
        if language in other
    }
    known = {language: change for language, change in changes.items() if not math.isnan(change)}
    if not known:
        return None
    language = (min if better else max)(known, key=lambda name: known[name])
    return language, known[language]
