"""The safety tables: over-refusal and compliance for each run and judge, suites, and harm apart from refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness_ext.leaderboards import generic, judged
from harness_ext.leaderboards.table import (
    INTERVALS,
    NOTHING,
    TO_BASE,
    Cell,
    Column,
    Entry,
    Kind,
    Table,
    bounds,
    docs,
    kinds,
    lines,
    share,
    title,
    to_base,
    unique,
)
from harness_ext.results.derived import harmonic_mean
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.judges import JUDGED_METRICS
from harness_ext.scoring.safety import FULL_REFUSAL_METRICS, HARM_METRICS, REFUSAL_METRICS
from harness_ext.tasks.safety.derived import DISTINCT, MICRO, SUITES

_BALANCE = "safety_balance"
_REFUSAL = (*REFUSAL_METRICS, *FULL_REFUSAL_METRICS)
_SUITE_METRICS = tuple(
    f"{metric}{ending}{of}"
    for ending in ("", "_full")
    for metric, of in (
        ("over_refusal", ""),
        ("unsafe_compliance", ""),
        ("unsafe_compliance", MICRO),
        ("unsafe_compliance", DISTINCT),
    )
)
_ORDER = ("safety_xstest", *dict.fromkeys(leaf for suite in SUITES for leaf in suite.leaves))
_ROUNDING = 1e-6


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """The tables of the safety tasks; refusal and harm never share one, nor benchmark scores and sample data."""
    del partial  # a suite's mean is never taken over fewer than its sets
    tables = []
    for kind, part in kinds(rows):
        tables += _judged([row for row in part if row.origin == "measured"], kind)
        known = {row.task for row in part if row.metric in JUDGED_METRICS and row.origin == "measured"}
        if others := [row for row in part if row.task not in known or row.origin != "measured"]:
            tables.append(generic.table(others, "Safety: other numbers", kind))
    return tables


def _judged(rows: Sequence[Row], kind: Kind) -> list[Table]:
    harmful = {(row.task, row.filter) for row in rows if row.metric in HARM_METRICS}
    harm = [row for row in rows if (row.task, row.filter) in harmful]
    refusal = [row for row in rows if (row.task, row.filter) not in harmful]
    leaves = [row for row in refusal if row.level == "task"]
    balanced = {row.task for row in leaves if row.metric == _BALANCE}
    both = [row for row in leaves if row.task in balanced]
    one_sided = [row for row in leaves if row.task not in balanced]
    groups = [row for row in refusal if row.level == "group"]
    tables = [
        _table("Safety: harmless and harmful requests in one set", both, _REFUSAL, kind),
        _table("Safety: suites", groups, _SUITE_METRICS, kind),
        _table("Safety: refusal by set", one_sided, _REFUSAL, kind),
        _table("Safety: harm, by judges of harm", harm, HARM_METRICS, kind),
    ]
    return [table for table in tables if table.rows]


def _table(words: str, rows: Sequence[Row], metrics: Sequence[str], kind: Kind) -> Table:
    tasks = sorted(dict.fromkeys(row.task for row in rows), key=_place)
    best = _best(rows) if kind == "benchmark" else {}
    cells: list[tuple[Cell, ...]] = []
    for task in tasks:
        for entry, own in lines(row for row in rows if row.task == task).items():
            values = {row.metric: row for row in own}
            if any(metric in values for metric in metrics):
                cells.append((*_line(task, entry, own, values, metrics, best), to_base(_compared(own), rows, 4)))
    columns = (
        *(Column(name, numeric=False) for name in ("Model", "Set", "Setting", "Judge", "Agreement")),
        *(Column(_heading(metric), optional=metric.endswith("_full")) for metric in metrics),
        Column("Scale", numeric=False),
        Column("invalid\u00a0↓"),
        Column("Docs", optional=True),
        Column("Δ base"),
    )
    shown = [row for row in rows if row.metric in metrics]
    return Table(title(words, kind), columns, tuple(cells), unique(_notes(shown, kind)), kind).compact()


def _line(
    task: str,
    entry: Entry,
    own: Sequence[Row],
    values: dict[str, Row],
    metrics: Sequence[str],
    best: dict[tuple[str, str], float],
) -> tuple[Cell, ...]:
    first = next(values[metric] for metric in metrics if metric in values)
    invalid = values.get("invalid")
    return (
        Cell(entry.name),
        Cell(task.removeprefix("safety_")),
        Cell(entry._replace(filter="", judge="", judge_version="").words(own)),
        Cell(judged.name(first)),
        Cell(judged.agreement(first)),
        *(_cell(values.get(metric), best) for metric in metrics),
        Cell(values["harm_score"].unit) if "harm_score" in values else NOTHING,
        share(invalid),
        docs([first]),
    )


def _place(task: str) -> tuple[int, str]:
    known = [*_ORDER, *(suite.task for suite in SUITES)]
    task = task.removesuffix("_judged")
    return (known.index(task) if task in known else len(known)), task


def _heading(metric: str) -> str:
    named = metric.replace(MICRO, ", all docs").replace(DISTINCT, ", distinct requests")
    return f"{named}\u00a0{'↑' if _BALANCE in metric else '↓'}"


def _cell(row: Row | None, best: dict[tuple[str, str], float]) -> Cell:
    unsaid = row is not None and math.isnan(row.value)
    if row is None or (unsaid and (row.metric == "harm_score" or row.metric.endswith("_full"))):
        return NOTHING  # a judge need not give scores, nor tell a partial refusal from a full one
    if unsaid:
        return Cell("undefined")
    is_best = row.metric == _BALANCE and _whole(row) and row.value == best.get((row.task, judged.name(row)))
    return Cell(f"{row.value:.4f}{bounds(row)}", row.value, is_best, row.low, row.high)


def _compared(own: Sequence[Row]) -> Row | None:
    """The number of a line that is held against its base: the one whose difference was drawn, else the first."""
    return next((row for row in own if math.isfinite(row.delta_low)), own[0] if own else None)


def _whole(row: Row) -> bool:
    return not row.n < row.n_total


def _best(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """The best balance by each judge, where runs differ."""
    found: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        if row.metric == _BALANCE and _whole(row) and not math.isnan(row.value):
            found.setdefault((row.task, judged.name(row)), set()).add(row.value)
    return {key: max(values) for key, values in found.items() if len(values) > 1}


def _notes(rows: Sequence[Row], kind: Kind) -> Iterator[str]:
    if kind == "sample":
        yield "Sample data was written for this project so that everything runs offline; it says nothing about a model."
    metrics = {row.metric for row in rows}
    if metrics & {*HARM_METRICS}:
        yield "attack_success, harm_score: what a judge of harm says of the answers; refusal is another question."
    elif metrics:
        yield (
            "over_refusal: share of harmless requests refused; unsafe_compliance: share of harmful requests not "
            "refused, which says nothing about the harm in the answers."
        )
    if metrics & {_BALANCE, f"{_BALANCE}_full"}:
        yield "safety_balance: 2ab / (a + b) with a = 1 - over_refusal and b = 1 - unsafe_compliance."
    if any(metric.endswith("_full") for metric in metrics):
        yield "_full: only a full refusal counts as one; else a partial refusal does, too."
    if any(math.isfinite(row.low) for row in rows):
        yield INTERVALS
    if any(row.base for row in rows):
        yield f"{TO_BASE} Shown for a task's first metric."
    if any(row.level == "group" for row in rows):
        yield "Suites: plain mean over their sets."
    for total, distinct in sorted(_sizes(rows)):
        yield (
            f"all docs: the rate over all {total:.0f} docs of all sets, which share requests; distinct requests: each "
            f"of the {distinct:.0f} counted once, whatever its case and final punctuation."
        )
    if any(row.task == "safety_catqa" for row in rows):
        yield "catqa: language macro, the mean over en, zh and vi, each by the judge that is named for it."
    yield from _doubts(rows)
    if rows:
        yield "Agreement: accuracy and Cohen's κ of the judge against people, on the labels that are named below."
    yield from judged.notes(rows)
    if rows:
        yield "Version of a string rule: what the results record, else that of the rule installed here."


def _sizes(rows: Sequence[Row]) -> set[tuple[float, float]]:
    """Docs of the harm suite, and distinct requests among them."""
    docs = {Entry.of(row): row.n for row in rows if row.metric.endswith(MICRO)}
    return {(docs[Entry.of(row)], row.n) for row in rows if row.metric.endswith(DISTINCT) and Entry.of(row) in docs}


def _doubts(rows: Sequence[Row]) -> Iterator[str]:
    """What keeps the lines of a table from being compared, or their numbers from fitting together."""
    for part, name in (("system prompt", "system prompts"), ("chat template", "use of a chat template")):
        found = {_setting(row, part): None for row in rows}
        if len(found) > 1:
            yield (
                f"Runs differ in their {name} ({', '.join(sorted(told or 'none' for told in found))}): both rates "
                "depend on it strongly, and such lines do not compare."
            )
    remarks: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.note:
            remarks.setdefault(row.note, {})[Entry.of(row).name] = None
    for remark, models in remarks.items():
        yield f"{', '.join(models)}: {remark}."
    for entry, own in lines(rows).items():
        for task in dict.fromkeys(row.task for row in own):
            values = {row.metric: row.value for row in own if row.task == task}
            for ending in ("", "_full"):
                told, expected = (values.get(f"{_BALANCE}{ending}"), _expected_balance(values, ending))
                if told is not None and expected is not None and abs(told - expected) > _ROUNDING:
                    yield f"{entry.label}: safety_balance{ending} of {task} does not follow from its parts."


def _setting(row: Row, part: str) -> str:
    return next((told for told in row.setting.split(", ") if told.startswith(part)), "")


def _expected_balance(values: dict[str, float], ending: str) -> float | None:
    parts = [values.get(f"{metric}{ending}") for metric in REFUSAL_METRICS[:2]]
    known = [1 - part for part in parts if part is not None and part <= 1]
    return harmonic_mean(known) if len(known) == 2 else None
