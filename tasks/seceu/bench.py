"""What tables know of SECEU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness_ext.results.benches import Bench

if TYPE_CHECKING:
    from harness_ext.results.published.checks import Finding
    from harness_ext.results.reading.frame import Row

BENCH = Bench(asks={"seceu": "which emotions a situation evokes, beside people's answers"}, sizes={"seceu": 40})


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """SECEU: EQ = 15 (2.79 - SECEU) / 0.822 + 100, from the human norm's mean and standard deviation."""
    from harness_ext.results.published.checks import found  # pandas, which a list of tasks need not wait for

    printed = {row.model: row.value for row in rows if row.metric == "seceu"}
    for row in rows:
        if row.metric == "eq":
            formula = 15 * (2.79 - printed[row.model]) / 0.822 + 100
            # Both are rounded: EQ to a point, SECEU to a hundredth.
            if abs(formula - row.value) > 0.5 + 0.005 * 15 / 0.822:
                yield found("formula", row, f"printed {row.value:g}, the printed SECEU gives {formula:.2f}")
