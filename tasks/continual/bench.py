"""What tables know of continual learning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from harness_ext.results.published.checks import Finding, found
from harness_ext.results.reading.frame import Row


def check_published(rows: Sequence[Row]) -> Iterator[Finding]:
    """Continual runs: AP, F.Ra and BWT follow from the scores after each stage."""
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        tasks = list(dict.fromkeys(row.part for row in own if row.level == "task"))
        scores = {(row.setting, row.part): row.value for row in own if row.level == "task"}
        stages = list(dict.fromkeys(setting for setting, _ in scores))
        last = [scores[stages[-1], task] for task in tasks]
        first = [scores[stage, task] for stage, task in zip(stages, tasks, strict=True)]
        best = [
            max(scores[stage, task] for stage in stages[at:-1]) - scores[stages[-1], task]
            for at, task in enumerate(tasks[:-1])
        ]
        gains = fmean(late - early for late, early in zip(last, first, strict=True))
        expected = {"AP": fmean(last), "F.Ra": fmean(best), "BWT": gains}
        for row in own:
            if row.level == "group" and abs(row.value - expected[row.metric]) > 1e-4:
                yield found("score matrix", row, f"{row.value:g}, the stages give {expected[row.metric]:.4f}")
