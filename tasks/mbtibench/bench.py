"""What tables know of MBTIBench."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness_ext.results.benches import Bench
from harness_ext.results.derived import mean_rank

if TYPE_CHECKING:
    from harness_ext.results.published.checks import Finding
    from harness_ext.results.reading.frame import Row

BENCH = Bench(
    headline="s_rmse",
    printed={"s_rmse": "S-RMSE"},
    parts={"ei": "E/I", "sn": "S/N", "tf": "T/F", "jp": "J/P"},
    usual={"truncation": None, "gold": "em", "system_role": "text", "personality": None, "digits_single_token": True},
    soft_labels="s_rmse",
    asks={
        "mbtibench": "how strongly an author leans to a pole: soft labels",
        "mbtibench_few_shot": "how strongly an author leans to a pole, after two scored demonstrations",
        "mbtibench_hard": "which pole an author leans to",
        "mbtibench_null_ll": "nine scores without any posts, for calibration",
        "mbtibench_psycot": "a questionnaire about the author first, then how strongly the author leans to a pole",
        "mbtibench_step_by_step": "reasoning first, then how strongly the author leans to a pole",
        "mbtibench_swap": "how strongly an author leans to a pole, on the reversed scale",
        "mbtibench_dreaddit": "whether a post tells of stress, without and with the author's personality",
        "mbtibench_dreaddit_personality": "how strongly the author of a Dreaddit post leans to a pole; no gold label",
    },
    sizes={
        "mbtibench": 286,
        "mbtibench_null_ll": 1,
        "mbtibench_psycot_ll_ei": 3146,
        "mbtibench_psycot_ll_sn": 4004,
        "mbtibench_psycot_ll_tf": 4004,
        "mbtibench_psycot_ll_jp": 3146,
        "mbtibench_dreaddit": 300,
    },
)


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """MBTIBench: Rank is the mean over the eight columns of the rank among the variants of one model."""
    from harness_ext.results.published.checks import found  # pandas, which a list of tasks need not wait for

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
