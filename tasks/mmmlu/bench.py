"""What tables know of MMMLU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from harness_ext.results.published.checks import Finding, found
from harness_ext.results.reading.frame import Row


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """MMMLU: Average is the mean over the languages, up to the rounding of both."""
    for row in rows:
        if row.level == "group":
            mean = fmean(other.value for other in rows if other.model == row.model and other.level == "task")
            if abs(mean - row.value) > 0.0006:
                yield found("average", row, f"printed {row.value:.3f}, the languages give {mean:.4f}")
