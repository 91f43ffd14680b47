"""What tables know of TOFU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness_ext.results.benches import Bench

if TYPE_CHECKING:
    from harness_ext.results.published.checks import Finding
    from harness_ext.results.reading.frame import Row

BENCH = Bench(
    headline="truth_ratio",
    usual={"ds_size": None, "truth_ratio": "geometric", "compat": None, "question_key": "question"},
    asks={
        "tofu_01": "forgetting 1 % of invented authors, and what is kept",
        "tofu_05": "forgetting 5 % of invented authors, and what is kept",
        "tofu_10": "forgetting 10 % of invented authors, and what is kept",
        **dict.fromkeys(
            ["tofu_forget01", "tofu_forget05", "tofu_forget10"],
            "what is still known of authors that were to be forgotten",
        ),
        "tofu_mia": "whether forgotten answers are told from those of unseen authors",
        "tofu_utility": "what is still known of other authors and of the world",
    },
    sizes={
        "tofu_forget01": 40,
        "tofu_forget05": 200,
        "tofu_forget10": 400,
        "tofu_mia_forget01": 80,
        "tofu_mia_forget05": 400,
        "tofu_mia_forget10": 800,
        "tofu_utility": 617,
    },
)


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """TOFU: model utility is the harmonic mean of nine parts in [0, 1], six of which are printed."""
    from harness_ext.results.published.checks import found  # pandas, which a list of tasks need not wait for

    lines: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.task == "tofu_utility":
            lines[row.model, row.method, row.part, row.setting, row.locator][row.metric] = row
    names = [f"{subset}_{metric}" for subset in ("retain", "ra", "wf") for metric in ("prob", "rougeL_recall")]
    for line in lines.values():
        if "model_utility" in line and all(name in line for name in names):
            # Printed with four decimals, cut or rounded; the three parts that are not printed are 1 at most.
            largest = 9 / (3 + sum(1 / (line[name].value + 1e-4) for name in names))
            if line["model_utility"].value > largest + 1e-4:
                problem = f"{line['model_utility'].value:g} is more than its printed parts allow ({largest:.4f})"
                yield found("harmonic mean", line["model_utility"], problem)
