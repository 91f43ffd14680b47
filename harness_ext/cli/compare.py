"""``harness-ext compare``: is one run better than another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness_ext.cli.saying import print_json


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS", help="Folders of lm-eval's --output_path, or results or samples files."),
    ],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Compare this task or group only; repeatable.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Compare this metric, or metric,filter; repeatable. Default: the headline."),
    ] = None,
    all_metrics: Annotated[bool, typer.Option("--all-metrics", help="Compare every metric that is reported.")] = False,
    draws: Annotated[
        int, typer.Option(min=100, help="Number of bootstrap resamples and of random exchanges.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of both.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the comparisons as JSON for machines.")] = False,
) -> None:
    """Compare runs on the same questions: is A better than B, or may it be chance?

    Every pair of runs is compared in the headline metric of each task and group they share, or in those that you name:
    difference with a 95 % bootstrap interval, p-value of a paired permutation test, the same corrected for the number
    of lines (Holm), effect size and the smallest difference that this test could have found. Runs whose docs, prompts,
    data, judges, filters, task versions or settings differ are refused, with the reason. Runs need lm-eval's
    --log_samples.

    Examples:

    - `harness-ext compare results/base results/tuned`
    - `harness-ext compare results/base results/tuned --task mbtibench_zero_shot --metric s_rmse`
    - `harness-ext compare results/a results/b results/c --json > comparison.json`

    Exit codes: 0 compared (whatever the result), 1 refused because the runs are not comparable, 2 wrong input, 3 a file
    is broken.
    """
    import dataclasses

    from rich.console import Console
    from rich.progress import track

    from harness_ext.leaderboards import comparison, terminal
    from harness_ext.results.statistics.comparability import NotComparableError
    from harness_ext.results.statistics.compare import plan
    from harness_ext.results.statistics.paired import assess, corrected

    try:
        planned = plan(runs, tasks=task or (), metrics=metric or (), every_metric=all_metrics)
    except NotComparableError as error:
        if json_:
            print_json({"refused": [mismatch._asdict() for mismatch in error.mismatches]})
        raise
    progress = Console(stderr=True)
    jobs = track(planned.jobs, "Comparing", console=progress, transient=True, disable=not progress.is_terminal)
    found = corrected([assess(job, draws=draws, seed=seed) for job in jobs])
    if json_:
        lines = [{**dataclasses.asdict(one), "better": one.better} for one in found]
        print_json({"comparisons": lines, "notes": planned.notes, "draws": draws, "seed": seed})
        return
    notes = [*planned.notes, f"{draws} resamples and exchanges at most, seed {seed}."]
    terminal.show(comparison.tables(found, notes), Console())
