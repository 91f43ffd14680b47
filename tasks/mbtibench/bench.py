"""What tables know of MBTIBench."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness_ext.results.benches import Bench
from harness_ext.results.derived import mean_rank
from harness_ext.results.published.checks import Finding, found
from harness_ext.results.reading.frame import Row

BENCH = Bench(
    headline="s_rmse",
    printed={"s_rmse": "S-RMSE"},
    parts={"ei": "E/I", "sn": "S/N", "tf": "T/F", "jp": "J/P"},
    usual={"truncation": None, "gold": "em", "system_role": "text", "personality": None, "digits_single_token": True},
    soft_labels="s_rmse",
)


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """MBTIBench: Rank is the mean over the eight columns of the rank among the variants of one model."""
    models: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.variant:
            models[row.model].append(row)
    for model in models.values():
        printed = [row for row in model if row.metric == "rank"]
        columns = [
            [
                row.value
                for rank in printed
                for row in model
                if (row.variant, row.part, row.metric) == (rank.variant, *column)
            ]
            for column in dict.fromkeys((row.part, row.metric) for row in model if row.metric != "rank")
        ]
        for row, rank in zip(printed, mean_rank(columns, higher_is_better=False), strict=True):
            if abs(rank - row.value) > 0.0051:
                yield found("rank", row, f"printed {row.value:.2f}, the cells give {rank:.3f}")
