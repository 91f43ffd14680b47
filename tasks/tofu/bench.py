"""What tables know of TOFU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness_ext.results.published.checks import Finding, found
from harness_ext.results.reading.frame import Row


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """TOFU: model utility is the harmonic mean of nine parts in [0, 1], six of which are printed."""
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
