"""The figures of a benchmark: which numbers become which plots. Drawing is :mod:`.plots`, reading :mod:`.evidence`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from harness_ext.leaderboards import judged, plots
from harness_ext.leaderboards.evidence import Evidence, SoftLabels
from harness_ext.leaderboards.printable import visible
from harness_ext.leaderboards.table import Entry, Groups, Kind, lines
from harness_ext.results import benches
from harness_ext.results.reading.frame import Row
from harness_ext.results.statistics.intervals import DRAWS
from harness_ext.scoring.segments import bins

MOST_RUNS = 12
"""Runs drawn in one figure; the table has all of them."""
MOST_PANELS = 24


class Panel(NamedTuple):
    """One plot of a figure under its own small heading, with a remark beside it."""

    title: str
    drawing: Markup
    remark: str = ""


class Choice(NamedTuple):
    """Panels that a reader chooses by name; a figure without a choice has one, unnamed."""

    name: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Figure:
    """Plots that answer one question."""

    title: str
    caption: str
    choices: Sequence[Choice]
    legend: Sequence[tuple[Markup, str]] = ()
    shape: str = "bars"


def figures(rows: Sequence[Row], kind: Kind, evidence: Evidence) -> list[Figure]:
    """All figures that the numbers of one benchmark allow.

    Args:
        rows: numbers of one benchmark, either all benchmark scores or all of sample data.
        kind: which of the two.
        evidence: what was read from the samples.
    """
    measured = [row for row in rows if row.origin == "measured"]
    if not measured:
        return []
    palette = Palette(measured)
    metric = headline(measured)
    own = [row for row in rows if row.metric == metric]
    drawn = (_by_group(own, palette), _by_part(own, kind, palette), _soft_labels(rows, evidence, palette))
    return [figure for figure in drawn if figure is not None]


def headline(measured: Sequence[Row]) -> str:
    """The metric that a benchmark is judged by: its own headline, else the one that most of its tasks report first.

    Args:
        measured: measured numbers of one benchmark, at least one.
    """
    own = benches.declared(measured[0].bench).headline
    if any(row.metric == own for row in measured):
        return own
    first: dict[tuple[str, str], str] = {}
    for row in measured:
        first.setdefault((row.run, row.task), row.metric)
    return Counter(first.values()).most_common(1)[0][0]


def _printed(row: Row) -> str:
    """The metric's name as the benchmark's paper prints it."""
    return benches.declared(row.bench).printed.get(row.metric, row.metric)


class Palette:
    """Colour and short name of each measured run."""

    def __init__(self, measured: Iterable[Row]) -> None:
        entries = list(lines(measured))
        models = list(dict.fromkeys(entry.name for entry in entries))
        self.series = {name: min(at, plots.SERIES - 1) for at, name in enumerate(models)}
        # What all runs share says nothing in the label of one.
        varying = [name for name in Entry._fields if len({getattr(entry, name) for entry in entries}) > 1]
        always = ("origin", "model", "method", "judge")  # no judged number without its judge
        if len({(entry.judge, entry.judge_version) for entry in entries}) == len({entry.judge for entry in entries}):
            varying = [name for name in varying if name != "judge_version"]
        self.labels = {
            entry: visible(entry._replace(**dict.fromkeys(set(Entry._fields) - {*always, *varying}, "")).label)
            for entry in entries
        }
        # Above a bar there is little room: the model alone where that tells the runs apart.
        alone = len({entry.model for entry in entries}) == len(set(entries)) and not any(e.judge for e in entries)
        self.short = {entry: visible(entry.model) if alone else label for entry, label in self.labels.items()}

    def of(self, entry: Entry) -> int:
        """The number of the run's series."""
        return self.series[entry.name]

    def legend(self, models: Iterable[str]) -> list[tuple[Markup, str]]:
        """Markers and names of the models; those beyond the palette share one."""
        last = plots.SERIES - 1
        wanted = set(models)
        named = [name for name in self.series if name in wanted]
        sharing = [name for name in named if self.series[name] == last]
        legend = [(plots.marker(self.series[name]), visible(name)) for name in named if self.series[name] < last]
        words = [visible(sharing[0])] if len(sharing) == 1 else [f"{len(sharing)} more models"] if sharing else []
        return legend + [(plots.marker(last), text) for text in words]


def _by_part(rows: Sequence[Row], kind: Kind, palette: Palette) -> Figure | None:
    """A bar for each run in each part."""
    leaves = [row for row in rows if row.origin == "measured" and row.level == "task"]
    parts: dict[str, list[Row]] = {}
    for row in leaves:
        parts.setdefault(row.part or row.task, []).append(row)
    if not leaves:
        return None
    entries = list(lines(leaves))
    kept, shown = set(entries[:MOST_RUNS]), dict(list(parts.items())[:MOST_PANELS])
    bars = {part: [_bar(row, palette) for row in own if Entry.of(row) in kept] for part, own in shown.items()}
    chances = {part: _chance(own, kind) for part, own in shown.items()}
    drawn = [bar for own in bars.values() for bar in own]
    highest = [*chances.values(), *(number for bar in drawn for number in (bar.value, bar.high))]
    # One length means one score in all parts, but for those below zero, which would leave the others half as much room.
    scales = {part: plots.axis([*map(_above_zero, highest), *_ends(own)]) for part, own in bars.items()}
    metric = _printed(leaves[0])
    panels = [
        Panel(
            visible(part), plots.bars(own, scales[part], name=visible(f"{metric} in {part}"), reference=chances[part])
        )
        for part, own in bars.items()
        if own
    ]
    caption = (
        f"{metric}{_direction(leaves)}.",
        *judged.notes([row for row in leaves if row.judge]),
        f"Lines: 95 % bootstrap intervals over docs ({DRAWS:,} seeded draws)."
        if any(math.isfinite(bar.low) for bar in drawn)
        else "",
        "Dotted: what a trivial predictor scores." if any(map(math.isfinite, chances.values())) else "",
        _left_out(len(entries), len(kept), "runs"),
        _left_out(len(parts), len(shown), "parts"),
    )
    return Figure("By part", visible(" ".join(filter(None, caption))), [Choice("", panels)])


def _bar(row: Row, palette: Palette) -> plots.Bar:
    entry = Entry.of(row)
    return plots.Bar(palette.labels[entry], row.value, row.low, row.high, palette.of(entry), palette.short[entry])


def _above_zero(value: float) -> float:
    return value if value > 0 else 0.0


def _ends(drawn: Iterable[plots.Bar]) -> list[float]:
    return [end for bar in drawn for end in (bar.value, bar.low, bar.high)]


def _chance(rows: Sequence[Row], kind: Kind) -> float:
    """What the task says that a trivial predictor scores in its headline metric, on the whole data."""
    known = (row.chance for row in rows if kind == "benchmark" and math.isfinite(row.chance))
    return next(known, math.nan)


def _direction(rows: Iterable[Row]) -> str:
    stated = {row.higher_is_better for row in rows if row.higher_is_better is not None}
    if len(stated) != 1:
        return ""
    return ", higher is better" if True in stated else ", lower is better"


def _left_out(total: int, kept: int, things: str) -> str:
    return f"The first {kept} of {total} {things}; the table has all." if total > kept else ""


def _reported_groups(rows: Sequence[Row]) -> Groups:
    """lm-eval's groups, or the tasks where there are fewer than two."""
    groups = [row for row in rows if row.level == "group"]
    chosen = groups if len({row.task for row in groups}) > 1 else [row for row in rows if row.level == "task"]
    # A judge has a line of its own: markers of two judges on one line could not be told apart.
    named = ((f"{row.task} ({row.judge})" if row.judge else row.task, row) for row in chosen)
    return Groups("By group", {(name, Entry.of(row)): row.value for name, row in named if math.isfinite(row.value)})


def _by_group(rows: Sequence[Row], palette: Palette) -> Figure | None:
    """A line for each group with a marker for each model: where models differ, and where they all fail."""
    own = getattr(benches.module(rows[0].bench, "table"), "groups", None)
    title, values = own(rows) if own else _reported_groups(rows)
    groups = list(dict.fromkeys(group for group, entry in values if entry.measured))
    if len(groups) < 2:
        return None
    drawn = [(visible(group), _dots(group, values, palette)) for group in groups[:MOST_PANELS]]
    marks = [mark for _, own in drawn for mark in own]
    metric = _printed(rows[0])
    caption = (
        f"{'Mean ' if own else ''}{metric}{_direction(rows)}.",
        *judged.notes([row for row in rows if row.level == "group"]),
        "Grey: published models." if any(mark.series is None for mark in marks) else "",
        _left_out(len(groups), len(drawn), "groups"),
    )
    drawing = plots.dots(
        drawn, plots.axis([mark.value for mark in marks], zero=False), name=visible(f"{metric}, {title.lower()}")
    )
    return Figure(
        title,
        visible(" ".join(filter(None, caption))),
        [Choice("", [Panel("", drawing)])],
        palette.legend(entry.name for _, entry in values if entry.measured),
        "dots",
    )


def _dots(group: str, values: Mapping[tuple[str, Entry], float], palette: Palette) -> list[plots.Dot]:
    own = [(entry, value) for (name, entry), value in values.items() if name == group]
    return [
        plots.Dot(palette.labels[entry], value, palette.of(entry))
        if entry.measured
        else plots.Dot(visible(f"{entry.label}, published"), value, None)
        for entry, value in own
    ]


def _soft_labels(rows: Sequence[Row], evidence: Evidence, palette: Palette) -> Figure | None:
    """For each run, how its predictions are spread and how far they can be trusted, part by part."""
    metric = benches.declared(rows[0].bench).soft_labels
    leaves = [row for row in rows if row.metric == metric and row.level == "task" and row.origin == "measured"]
    entries: dict[Entry, list[tuple[Row, SoftLabels]]] = {}
    left_out = set()
    for row in leaves:
        entry = Entry.of(row)
        if entry not in entries and len(entries) == MOST_RUNS:
            left_out.add(entry)
        elif labels := evidence.soft_labels(row):
            entries.setdefault(entry, []).append((row, labels))
    choices = [
        Choice(palette.labels[entry], [_leaf(row, labels, palette) for row, labels in own])
        for entry, own in entries.items()
    ]
    if not choices:
        return None
    caption = (
        "Above: shares of predicted (filled) and gold labels (outline) in nine equal segments. Below: every document "
        "(small), and for each predicted segment the mean of its gold labels (circle, its area by the number of "
        "documents) with their middle half (line); on the diagonal, predictions mean what they say. Unparsed answers "
        "are left out.",
        _left_out(len(entries) + len(left_out), len(entries), "runs"),
    )
    return Figure("Soft labels, predicted and gold", " ".join(filter(None, caption)), choices, shape="labels")


def _leaf(row: Row, labels: SoftLabels, palette: Palette) -> Panel:
    entry, part = Entry.of(row), visible(row.part or row.task)
    first, slash, second = part.partition("/")
    poles = (first, second) if slash else ("0", "1")
    unparsed = f"{labels.unparsed} unparsed" if labels.unparsed else ""
    if not len(labels.gold):
        return Panel(part, Markup('<p class="none">No answer could be parsed.</p>'), unparsed)
    predicted, series = bins(labels.predicted), palette.of(entry)
    name = f"{part}, {palette.labels[entry]}"
    drawing = plots.histogram(
        bins(labels.gold), predicted, poles=poles, series=series, name=f"Predicted and gold labels: {name}"
    ) + plots.reliability(
        labels.gold, labels.predicted, predicted, poles=poles, series=series, name=f"Gold against predictions: {name}"
    )
    return Panel(part, drawing, unparsed)
