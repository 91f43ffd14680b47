"""The MBTIBench table: S-RMSE / S-MAE by dimension beside the paper's rows and the trivial predictors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

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
    bounds,
    docs,
    kinds,
    lines,
    number,
    percent,
    score,
    share,
    title,
    to_base,
    unique,
)  # fmt: skip
from harness_ext.results.derived import definition, mean_rank
from harness_ext.results.reading.frame import Row
from harness_ext.tasks.mbtibench.derived import DIMENSIONS, SUBSETS

MOST_PARSE_FAILURES = 0.05
"""Above this share of unparsable answers a row is never the best of a column."""

_CONSTANT = "constant mean"
_DETAILS = (
    "s_rmse_recal",
    "pearson",
    "kendall_tau_b",
    "ccc",
    "bias",
    "polarisation_gap",
    "var_ratio",
    "w1_marginal",
    "jsd_hist9_bits",
    "brier_soft",
    "order_bias",
    "s_rmse_both_orders",
)
_ROUNDING = 1e-6  # a model that never answers repeats the constant up to rounding
_VARIANTS = ("zero_shot", "step_by_step", "few_shot", "psycot")
_COLUMNS = (
    Column("Model", numeric=False),
    Column("Source", numeric=False, optional=2),
    Column("Setting", numeric=False),
    *(Column(dimension, optional=2) for dimension in DIMENSIONS),
    Column("Mean"),
    Column("Δ base"),
    Column("Beats constant"),
    Column("Rank", optional=2),
    Column("Parse failure"),
    Column("Spearman", optional=2),
    Column("S-RMSE worst", optional=2),
    Column("n", optional=3),
)


class _Line:
    """One line of the table before it is drawn."""

    def __init__(self, entry: Entry, rows: Sequence[Row]) -> None:
        self.entry = entry
        self.rows = [row for row in rows if row.level == "task" and row.part in DIMENSIONS]
        self.numbers = {(row.metric, row.part): row for row in self.rows}
        self.values = {key: row.value for key, row in self.numbers.items()}
        for row in rows:
            if row.level == "group" and math.isclose(row.value, self.mean(row.metric)):
                self.numbers[row.metric, "Mean"] = row
        self.rank = next((row.value for row in rows if row.metric == "rank"), math.nan)
        self.whole = not any(row.n < row.n_total for row in self.rows)

    def get(self, metric: str, dimension: str) -> float:
        """A value; NaN where it is missing or undefined."""
        return self.values.get((metric, dimension), math.nan)

    def mean(self, metric: str) -> float:
        """Mean over the four dimensions; NaN if one is missing or undefined."""
        return statistics.fmean(self.get(metric, dimension) for dimension in DIMENSIONS)

    @property
    def has_undefined_spearman(self) -> bool:
        """Whether predictions of a dimension do not vary, so that they cannot be correlated."""
        return any(row.metric == "spearman" and math.isnan(row.value) for row in self.rows)

    @property
    def trusted(self) -> bool:
        """Whether answers were parsed and predictions vary on all docs: only then can the line be the best."""
        parsed = self.mean("parse_failure") <= MOST_PARSE_FAILURES and math.isfinite(self.mean("spearman"))
        return self.entry.measured and self.whole and parsed


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """The tables of MBTIBench: benchmark scores and, apart, runs on sample data."""
    del partial  # a mean is never taken over fewer than the four dimensions
    tables = []
    for kind, part in kinds(rows):
        details = _details(part, kind)
        part = [row for row in part if not row.family]
        scored = {Entry.of(row) for row in part if row.metric == "s_rmse" and row.part in DIMENSIONS}
        tables.append(_table([row for row in part if Entry.of(row) in scored or row.metric == "rank"], kind))
        if others := [row for row in part if Entry.of(row) not in scored and row.origin == "measured"]:
            tables.append(generic.table(others, "MBTIBench: tasks without soft-label scores", kind))
        tables += details
    return [table for table in tables if table.rows]


def groups(rows: Sequence[Row]) -> Groups:
    """The mean over the four dimensions for each way of asking."""
    leaves = [row for row in rows if row.level == "task" and row.origin != "baseline" and row.variant and row.part]
    dimensions = {row.part for row in leaves}
    means = {
        (entry.variant, entry): statistics.fmean(row.value for row in own)
        for entry, own in lines(leaves).items()
        if {row.part for row in own} == dimensions
    }
    return Groups("By way of asking", means)


def _table(rows: Sequence[Row], kind: Kind) -> Table:
    drawn = sorted((line for line in (_Line(*item) for item in lines(rows).items()) if line.values), key=_order)
    constant = next((line for line in drawn if line.entry[:2] == ("baseline", _CONSTANT)), None)
    printed = next((line for line in drawn if line.entry.origin == "published" and not line.entry.variant), None)
    if kind == "benchmark":
        _rank(drawn)
    best = _best(drawn, constant) if constant and kind == "benchmark" else {}
    cells, losers = [], []
    for line in drawn:
        reference = printed if line.entry.origin == "published" else constant
        delta = line.mean("s_rmse") - reference.mean("s_rmse") if reference and line.whole else math.nan
        if line.entry.measured and delta > -_ROUNDING:
            losers.append(f"{line.entry.label} does not beat the constant.")
        cells.append(_cells(line, best, delta, rows))
    return Table(title("MBTIBench", kind), _COLUMNS, tuple(cells), unique(_notes(drawn, losers, kind)), kind).compact()


def _details(rows: Sequence[Row], kind: Kind) -> list[Table]:
    """Means over the four dimensions of what the samples say beyond the leaf metrics, and S-RMSE by subset."""
    means = {(Entry.of(row), row.family, row.metric): row for row in rows if row.level == "group"}
    cells = []
    for entry, own in lines(row for row in rows if row.part in DIMENSIONS and row.origin == "measured").items():
        if (entry, "", "s_rmse_recal") in means:
            own = [row for row in own if not row.family]
            cells.append(
                (
                    Cell(entry.name),
                    Cell(entry.words(own)),
                    *(score(means.get((entry, "", metric)), 3) for metric in _DETAILS),
                    *(score(means.get((entry, name, "s_rmse"))) for name in SUBSETS),
                )
            )
    if not cells:
        return []
    columns = (
        *(Column(name, numeric=False) for name in ("Model", "Setting")),
        *(Column(metric, optional=True) for metric in _DETAILS),
        *(Column(f"S-RMSE {name.replace('_', ' ')}", optional=True) for name in SUBSETS),
    )
    notes = (
        "Means over the four dimensions; the values of each and all other metrics are in the CSV.",
        "s_rmse_recal: S-RMSE after a line fitted on the other half of the authors; far below S-RMSE, a model is "
        "shifted but informed.",
        "order_bias: mean difference between the answers on the scale and on the reversed scale, turned the same way; "
        "s_rmse_both_orders: S-RMSE of the mean of both answers.",
        "Subsets: authors by source, and those whose posts do not name personality types or traits.",
        f"{INTERVALS} w1_marginal and jsd_hist9_bits have none where the two distributions are nearer than in any "
        "resample.",
    )
    return [Table(title("MBTIBench: details from the samples", kind), columns, tuple(cells), notes, kind).compact()]


def _order(line: _Line) -> tuple[int, str, int]:
    origin = list(SOURCES).index(line.entry.origin)
    if not line.entry.measured:
        return origin, "", 0  # as in the file
    variant = line.entry.variant
    return origin, line.entry.name, _VARIANTS.index(variant) if variant in _VARIANTS else len(_VARIANTS)


def _rank(drawn: list[_Line]) -> None:
    """Rank measured variants within each model; published ranks stay as printed."""
    backbones: dict[str, list[_Line]] = {}
    for line in drawn:
        if line.entry.measured and line.whole and math.isfinite(line.mean("s_rmse") + line.mean("s_mae")):
            backbones.setdefault(line.entry.name, []).append(line)
    for backbone in backbones.values():
        if len(backbone) > 1:
            columns = [
                [line.get(metric, dimension) for line in backbone]
                for dimension in DIMENSIONS
                for metric in ("s_rmse", "s_mae")
            ]
            for line, rank in zip(backbone, mean_rank(columns, higher_is_better=False), strict=True):
                line.rank = rank


def _best(drawn: list[_Line], constant: _Line) -> dict[str, float]:
    """The lowest S-RMSE of each column among trusted lines that beat the constant there."""
    trusted = [line for line in drawn if line.trusted]
    if len(trusted) < 2:
        return {}
    columns = {dimension: [line.get("s_rmse", dimension) for line in (constant, *trusted)] for dimension in DIMENSIONS}
    columns["Mean"] = [line.mean("s_rmse") for line in (constant, *trusted)]
    return {
        column: min((value for value in values if value < limit), default=math.nan)
        for column, (limit, *values) in columns.items()
    }


def _cells(line: _Line, best: dict[str, float], delta: float, rows: Sequence[Row]) -> tuple[Cell, ...]:
    def pair(column: str, rmse: float, mae: float) -> Cell:
        if math.isnan(rmse):
            return NOTHING
        both = [line.numbers.get((metric, column)) for metric in ("s_rmse", "s_mae")]
        intervals = [bounds(row).strip() for row in both if row is not None]
        text = f"{rmse:.2f}" + (f"/{mae:.2f}" if math.isfinite(mae) else "")
        text = " ".join((text, *filter(None, ["/".join(filter(None, intervals))])))
        ends = (both[0].low, both[0].high) if both[0] else (math.nan, math.nan)
        return Cell(text, rmse, line.trusted and rmse == best.get(column), *ends)

    def mean(metric: str, draw: Callable[[Row | None], Cell], plain: Callable[[float], Cell]) -> Cell:
        own = line.numbers.get((metric, "Mean"))
        return draw(own) if own else plain(line.mean(metric))

    failed = line.mean("parse_failure")
    doubtful = line.entry.measured and (failed > MOST_PARSE_FAILURES or line.has_undefined_spearman)
    beats = "yes" if delta < -_ROUNDING else "no"
    return (
        Cell(line.entry.name),
        Cell(SOURCES[line.entry.origin]),
        Cell(line.entry.words(line.rows)),
        *(pair(dimension, line.get("s_rmse", dimension), line.get("s_mae", dimension)) for dimension in DIMENSIONS),
        pair("Mean", line.mean("s_rmse"), line.mean("s_mae")),
        to_base(line.numbers.get(("s_rmse", "Mean")), rows),
        NOTHING if math.isnan(delta) else Cell(f"{beats} ({delta:+.3f})", delta),
        number(line.rank),
        mean("parse_failure", share, percent) if line.entry.measured else NOTHING,
        Cell("undefined") if line.has_undefined_spearman else mean("spearman", score, number),
        mean("s_rmse_worst", score, number) if doubtful else NOTHING,
        docs(line.rows) if line.entry.measured else NOTHING,
    )


def _notes(drawn: list[_Line], losers: list[str], kind: Kind) -> Iterator[str]:
    yield "Cells: S-RMSE/S-MAE in segments, lower is better; Mean: plain mean over the four dimensions."
    if any(row.low < row.high for line in drawn for row in line.numbers.values()):
        yield f"{INTERVALS} Of S-RMSE, then of S-MAE."
    if any(math.isfinite(row.delta_low) for line in drawn for row in line.numbers.values()):
        yield f"{TO_BASE} Below 0 is better."
    if kind == "sample":
        yield "Sample data was written for this project so that everything runs offline; it says nothing about a model."
        return
    yield (
        "Beats constant: mean S-RMSE minus that of predicting the mean soft label for everyone. A model that never "
        "answers scores exactly 0."
    )
    yield from losers
    yield definition(mean_rank)
    yield (
        f"Bold: the best measured row that beats the constant, with at most {MOST_PARSE_FAILURES:.0%} parse failures "
        "and a defined Spearman correlation; published rows report neither and are never bold. S-RMSE worst, shown "
        "where a row fails these, gives every unparsable answer the far end of the scale."
    )
    if any(line.entry.origin == "published" for line in drawn):
        yield (
            "Published rows (arXiv:2412.12510) used the authors' prompts, a chat template and posts cut to 80 tokens; "
            "rows that differ are not directly comparable. Published rows are held against the printed baseline; Qwen "
            "and Llama are means of 5 greedy reruns, GPT is 1 run."
        )
        for line in drawn:
            if line.entry.measured and (deviations := ", ".join(_deviations(line))):
                yield f"{line.entry.label} differs from the published setting: {deviations}."


def _deviations(line: _Line) -> Iterator[str]:
    if not line.entry.prompt_pack:
        yield "the project's own prompts"
    if not any(row.chat_template_hash for row in line.rows):
        yield "no chat template"
    if "truncation o200k80" not in line.entry.setting and "truncation tokens:" not in line.entry.setting:
        yield "posts not cut to 80 tokens"
