"""``harness-ext view``: the page of a folder of results, opened, and kept up to date while a run is under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness_ext.cli.saying import say, write

NAME = "view.html"
POLL = 2.0
"""Seconds between two looks at the folder."""
REFRESH = 15
"""Seconds without a touch after which the page in the browser loads itself again."""


def view(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS", help="Result files of lm-eval, or folders that hold them.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=f"The page's file. Default: {NAME} in the first folder.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Model, as tables name it, that runs without a method.json are compared with: Δ base."),
    ] = None,
    show_samples: Annotated[
        bool, typer.Option("--show-samples", help="Also show samples of harmful, personal or unknown sources.")
    ] = False,
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch", help="Build the page again whenever results change. Default: on a terminal."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show results in the browser: tables, plots and samples of the newest runs.

    The page is one file that loads nothing. While this command runs it is built again whenever a result arrives, and
    the browser loads it again when nobody has touched it for a while; Ctrl-C ends both and leaves the page.

    Examples:

    - `harness-ext view results/`
    - `harness-ext view results/ --base HuggingFaceTB/SmolLM2-135M-Instruct`
    - `harness-ext view results/ --no-watch --no-browser`

    Exit codes: 0 shown, 2 wrong input or no result at all, 130 interrupted.
    """
    from harness_ext.errors import InputError

    for path in results:
        if not path.exists():
            raise InputError(f"{path} does not exist; give result files of lm-eval or the folder of its --output_path.")
    page = output or (results[0] if results[0].is_dir() else results[0].parent) / NAME
    watching = sys.stdout.isatty() if watch is None else watch
    seen = _state(results)
    draw = _drawn(results, base, show_samples=show_samples, waiting=watching)
    shown = False
    try:
        while True:
            if draw:
                write(page, draw(REFRESH if watching else 0), "Give another --output.", make_folder=True)
                say(f"{'Built again' if shown else 'Built'}: {page}.")
                if browser and not shown:
                    typer.launch(page.resolve().as_uri())
                shown = True
            elif not shown:
                say(f"Waiting for the first result in {', '.join(map(str, results))}; Ctrl-C ends.")
            if not watching:
                return
            seen = _changed(results, seen)
            draw = _drawn(results, base, show_samples=show_samples, waiting=True) or draw
    except KeyboardInterrupt:
        if draw:
            write(page, draw(0), "Give another --output.", make_folder=True)
        raise


def _drawn(
    results: Sequence[Path], base: str | None, *, show_samples: bool, waiting: bool
) -> Callable[[int], str] | None:
    """The page as a function of the seconds after which it loads itself again; None while there is no result."""
    from harness_ext.leaderboards import build, page
    from harness_ext.leaderboards.evidence import Evidence
    from harness_ext.results.reading.runs import read

    evidence = Evidence(base=base or "")
    runs = read(results, evidence.visit)
    if runs.frame.empty and waiting:
        return None
    frame, tables = build.of_runs(runs, evidence, base=base)
    return lambda refresh: page.render(frame, tables, runs, evidence, show_samples=show_samples, refresh=refresh)


_State = frozenset[tuple[Path, int, int]]


def _state(results: Sequence[Path]) -> _State:
    """Every file that may hold results, with its size and the time of its last change."""
    files = (file for path in results for file in ([path] if path.is_file() else path.rglob("*.json*")))
    found = set()
    for file in files:
        try:
            told = file.stat()
        except OSError:  # gone since it was listed
            continue
        found.add((file, told.st_size, told.st_mtime_ns))
    return frozenset(found)


def _changed(results: Sequence[Path], seen: _State) -> _State:
    """Wait until the files are others than before and have come to rest."""
    before = seen
    while True:
        time.sleep(POLL)
        now = _state(results)
        if now != seen and now == before:
            return now
        before = now
