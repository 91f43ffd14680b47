"""``harness-ext run``: lm-eval's own run command, with this package loaded and the plan announced."""

from __future__ import annotations

import sys
from typing import Any

import typer

PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]}
"""Typer context settings under which every option that is not ours goes to lm-eval."""


def run(context: typer.Context) -> None:
    """Run lm-eval, with this package's tasks and backends, and say first what it will do.

    All arguments are those of **lm_eval run**, which lists them with **lm_eval run --help**. Added to it: tasks and
    backends of installed packages are found even where the start-up hook is switched off (HARNESS_EXT_AUTOLOAD=0), and
    before the first request the number of requests of each task is printed, with their sizes and, for a transformers
    model in this process, the time they will roughly take (from a few timed requests).

    Examples:

    - `harness-ext run --model hf --model_args pretrained=my-model,dtype=float32 --tasks mbtibench,eibench`
    - `harness-ext run --model replay --model_args path=answers.jsonl --tasks mbtibench --output_path results`

    Exit codes: those of lm-eval; 2 wrong input, 3 data missing or broken.
    """
    if not context.args:
        typer.echo(context.get_help())
        raise typer.Exit
    lm_eval_run(context.args)


def lm_eval_run(arguments: list[str]) -> None:
    """Do what ``lm_eval run`` does with these arguments, in this process; the plan goes to stderr."""
    from harness_ext import _autoload

    _autoload.install()
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    from harness_ext.models.plan import announced, describe_requests, describe_time, estimate, task_plans

    def say(lm: Any, tasks: Any) -> None:
        if getattr(lm, "rank", 0) == 0:
            print(describe_requests(task_plans(tasks)), file=sys.stderr, flush=True)
            print(describe_time(estimate(lm, tasks)), file=sys.stderr, flush=True)

    given = sys.argv
    sys.argv = ["lm_eval", "run", *arguments]
    try:
        with announced(say):
            setup_logging()
            parser = HarnessCLI()
            parser.execute(parser.parse_args())
    finally:
        sys.argv = given
