"""The EiBench-R tables: aspect and task macro of a model, then every leaf with its share of unparsable answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness_ext.leaderboards import generic
from harness_ext.leaderboards.table import (
    INTERVALS,
    NOTHING,
    SOURCES,
    TO_BASE,
    Cell,
    Column,
    Entry,
    Groups,
    Kind,
    Table,
    docs,
    kinds,
    lines,
    number,
    score,
    share,
    title,
    to_base,
    unique,
)
from harness_ext.results.derived import definition
from harness_ext.results.reading.frame import Row
from harness_ext.tasks.eibench.aspects import EI_ASPECTS, ei_scores

_ABOUT = (
    "EiBench-R is a labelled reconstruction from public sources; it is not the EiBench of arXiv:2402.10073, whose data "
    "and tables are not public."
)
_GROUPS = ("eibench", "eibench_few_shot", "eibench_full", "eibench_ll", "eibench_ll_few_shot")
_CAVEAT = (
    "Published rows are encoders trained on the task and scored on its whole test set; measured rows are prompted, and "
    "capped where they say so."
)
_NAMES = {"ep": "perception (ep)", "ec": "cognition (ec)", "ee": "expression (ee)"}
_PARTS = tuple(part for parts in EI_ASPECTS.values() for part in parts)
_LEAVES = len(_PARTS)
MEANS = ("ei_ep", "ei_ec", "ei_ee", "ei_aspect_macro", "ei_task_macro")
_PARTIAL = tuple(f"{name}_partial" for name in MEANS)
_LEAF_MEAN = "Mean of leaves"
_COLUMNS = (
    Column("Model", numeric=False),
    Column("Setting", numeric=False),
    *map(Column, MEANS[:-1]),
    Column(MEANS[-1], optional=True),  # where all leaves ran, the mean of leaves is the same
    *map(Column, (_LEAF_MEAN, "Δ base", "Leaves")),
    Column("n", optional=True),
)


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """Summary, leaf table and published numbers of EiBench-R, benchmark scores apart from sample data."""
    tables = []
    published = [row for row in rows if row.origin == "published"]
    for kind, part in kinds([row for row in rows if row.origin == "measured"]):
        for cap in dict.fromkeys(row.cap for row in part if row.level == "task"):
            capped = [row for row in part if row.cap == cap]
            counted = [row for row in capped if row.part in _PARTS or row.task in _GROUPS]
            if any(row.metric == "ei_score" and row.level == "task" for row in counted):
                tables += [_summary(counted, kind, partial), _leaves(counted, kind)]
            if others := [row for row in capped if row.part not in _PARTS and row.level == "task"]:
                made = generic.table(others, _title("extension, in no average", others, kind), "benchmark")
                tables.append(replace(made, kind=kind))
            if kind == "benchmark":
                tables += _beside_published(capped, published)
    return tables


def groups(rows: Sequence[Row]) -> Groups:
    """The mean of each aspect, where all its leaves were measured."""
    values: dict[tuple[str, Entry], float] = {}
    for entry, own in lines(row for row in rows if row.level == "task" and row.origin == "measured").items():
        scores = ei_scores({row.part: row.value for row in own})
        values |= {(name, entry): getattr(scores, aspect) for aspect, name in _NAMES.items()}
    return Groups("By aspect", {key: value for key, value in values.items() if math.isfinite(value)})


def _beside_published(rows: Sequence[Row], published: Sequence[Row]) -> list[Table]:
    """The leaves for which somebody has published a number, in the metric that was published."""
    shared = dict.fromkeys((row.task, row.metric) for row in rows if row.level == "task")
    cells, remarks = [], [_CAVEAT, "Score: 0 to 100."]
    for task, metric in shared:
        theirs = [row for row in published if (row.task, row.metric) == (task, metric)]
        for row in (*(row for row in rows if (row.task, row.metric) == (task, metric)), *theirs) if theirs else ():
            entry = Entry.of(row)
            texts = (row.part, metric, entry.name, SOURCES[row.origin], entry.words([row]))
            cells.append((*map(Cell, texts), score(row)))
        remarks += [f"{row.model}, {row.part}: {row.note}." for row in theirs if row.note]
    columns = (
        *(Column(name, numeric=False) for name in ("Leaf", "Metric", "Model", "Source", "Setting")),
        Column("Score"),
    )
    words = _title("published numbers of the same sources", rows, "benchmark")
    return [Table(words, columns, tuple(cells), unique((*remarks, _ABOUT)))] if cells else []


def _title(words: str, rows: Sequence[Row], kind: Kind) -> str:
    cap = rows[0].cap
    sizes = {"": "", "all": ", all docs"}
    return title(f"EiBench-R: {words}{sizes.get(cap, f', at most {cap} docs a leaf')}", kind)


def _summary(rows: Sequence[Row], kind: Kind, partial: bool) -> Table:
    # A group row has no settings of its own beyond those of its leaves, so both fall into the same line.
    cells, notes = [], [definition(ei_scores)]
    for entry, numbers in lines(
        row for row in rows if row.metric in ("ei_score", "ei_leaf_mean", *MEANS, *_PARTIAL)
    ).items():
        leaves = [row for row in numbers if row.level == "task"]
        derived = {row.metric: row for row in numbers if row.metric.startswith("ei_") and row.metric != "ei_score"}
        own = {row.part: row.value for row in leaves}
        scores = ei_scores(own, partial=partial)
        group = next((row for row in numbers if row.task in _GROUPS and row.metric == "ei_score"), None)
        present = _LEAVES - len(scores.missing)
        if not present:
            continue  # a run of extension leaves only
        ran = group.value if group else ei_scores(own, partial=True).task_macro
        whole = derived.get("ei_task_macro")

        def ran_of(name: str, derived: Mapping[str, Row] = derived) -> Row | None:
            """The row of a mean over all of its leaves, or over those that ran."""
            of_leaves = derived.get("ei_leaf_mean") if name == "ei_task_macro" else None
            return derived.get(name) or derived.get(f"{name}_partial") or of_leaves

        compared = derived.get("ei_aspect_macro") or derived.get("ei_leaf_mean") or group
        cells.append(
            (
                Cell(entry.name),
                Cell(entry.words(leaves)),
                *(_score(getattr(scores, name.removeprefix("ei_")), ran_of(name)) for name in MEANS),
                _score(ran, next((row for row in (group, whole, derived.get("ei_leaf_mean")) if row), None)),
                to_base(compared, rows),
                Cell(f"{present} of {_LEAVES}", present),
                docs([derived["ei_task_macro"]] if whole else leaves),
            )
        )
        if scores.missing:
            done = "the others are averaged" if partial else "nothing is averaged over the rest (--partial does)"
            if present < len(scores.missing):
                named = f"only {present} of {_LEAVES} leaves ran ({', '.join(sorted(set(own) & set(_PARTS)))})"
            else:
                named = f"{len(scores.missing)} of {_LEAVES} leaves missing ({', '.join(scores.missing)})"
            notes.append(f"{entry.label}: {named}, {done}.")
    if any(row.low < row.high for row in rows):
        notes.append(INTERVALS)
    notes += [f"{_LEAF_MEAN}: ei_score of lm-eval's group, or the plain mean over the leaves that ran.", _ABOUT]
    made = Table(_title("aspects", rows, kind), _COLUMNS, tuple(cells), unique(notes), kind)
    unsaid = {"Δ base", *(MEANS if all(cell is NOTHING for row in cells for cell in row[2 : 2 + len(MEANS)]) else ())}
    if any(row[-3] is not NOTHING for row in cells):
        unsaid.discard("Δ base")
        words = "of ei_aspect_macro, or of the mean of leaves where some are missing"
        made = replace(made, notes=unique((*notes[:-1], f"{TO_BASE} Δ base here: {words}.", notes[-1])))
    return made.of([column.name not in unsaid for column in _COLUMNS])


def _leaves(group_rows: Sequence[Row], kind: Kind) -> Table:
    rows = [row for row in group_rows if row.level == "task"]
    entries = list(lines(rows))
    found = {(Entry.of(row), row.part, row.metric): row for row in rows}
    cells = []
    for aspect, parts in EI_ASPECTS.items():
        for part in parts:
            scores = [found.get((entry, part, "ei_score")) for entry in entries]
            if any(scores):
                values = {row.value for row in scores if row is not None and not row.n < row.n_total}
                best = max(values) if kind == "benchmark" and len(values) > 1 else math.nan
                chance = next(row.chance for row in scores if row is not None)
                line = [Cell(aspect.upper()), Cell(part), number(chance) if kind == "benchmark" else NOTHING]
                for entry, row in zip(entries, scores, strict=True):
                    failures = [found.get((entry, part, metric)) for metric in generic.FAILURES]
                    line += [*_leaf(row, failures, best), to_base(row, rows)]
                cells.append((*line, docs(own for own in scores if own is not None)))
    columns = [Column("Aspect", numeric=False), Column("Leaf", numeric=False), Column("Chance", optional=True)]
    for entry in entries:
        columns += [Column(entry._replace(cap="").label), Column("unparsable", optional=True), Column("Δ base")]
    columns.append(Column("n", optional=True))
    return Table(
        _title("ei_score by leaf", rows, kind), tuple(columns), tuple(cells), unique(_notes(rows, kind)), kind
    ).compact()


def _leaf(row: Row | None, failures: Sequence[Row | None], best: float) -> list[Cell]:
    if row is None:
        return [NOTHING, NOTHING]
    whole = not row.n < row.n_total
    failed = next((failure for failure in failures if failure is not None), None)
    return [score(row, best=whole and row.value == best), share(failed)]


def _score(value: float, row: Row | None, *, best: bool = False) -> Cell:
    """A number with the interval of a row that holds the same one."""
    return score(row, best=best) if row is not None and math.isclose(row.value, value) else number(value, best=best)


def _notes(rows: Sequence[Row], kind: Kind) -> Iterator[str]:
    yield "ei_score: the leaf's main metric, 0 to 100, higher is better; unparsable answers count as wrong."
    if any(row.low < row.high for row in rows if row.metric == "ei_score"):
        yield INTERVALS
    if any(math.isfinite(row.delta_low) for row in rows):
        yield TO_BASE
    real = kind == "benchmark"  # chance and constant answers are those of the real docs
    if real and any(not math.isnan(row.chance) for row in rows):
        yield "Chance: expected ei_score of guessing evenly on all docs of the leaf; a constant answer may score more."
    if real and any(row.part in ("emobench_eu", "emobench_ea") for row in rows):
        yield (
            "EmoBench, options in file order: always A scores 9.5 in emobench_eu and 13.5 in emobench_ea; the best "
            "constant letters score 11.5 (A, B) and 37.0 (C)."
        )
    yield _ABOUT
    cut = unique(
        f"{row.part} {row.n:.0f} of {row.n_total:.0f}"
        for row in rows
        if row.metric == "ei_score" and row.n < row.n_total
    )
    if cut:
        yield f"Only the first docs: {', '.join(cut)}."
