"""``harness-ext run``: lm-eval's own run command, with this package loaded and the plan announced."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Twin = Literal["letters"]

PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]}
"""Typer context settings under which every option that is not ours goes to lm-eval."""


def run(
    context: typer.Context,
    task_twin: Annotated[
        Twin | None,
        typer.Option("--task_twin", help="Ask multiple-choice tasks for a letter: for servers without likelihoods."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", help="Keep each task's answers in this folder as it ends, and go on from there."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Count the tokens of every task and group, load no weights, ask nothing.")
    ] = False,
    prices: Annotated[
        str | None,
        typer.Option("--prices", metavar="IN,OUT", help="Of a million tokens read and written: say what the run cost."),
    ] = None,
) -> None:
    """Run lm-eval, with this package's tasks and backends, and say first what it will do.

    All arguments are those of **lm_eval run**, which lists them with **lm_eval run --help**. Added to it: tasks and
    backends of installed packages are found even where the start-up hook is switched off (HARNESS_EXT_AUTOLOAD=0), and
    before the first request the number of requests of each task is printed, with their sizes and, for a transformers
    model in this process, the time they will roughly take (from a few timed requests).

    Examples:

    - `harness-ext run --model hf --model_args pretrained=my-model,dtype=float32 --tasks mbtibench,eibench`
    - `harness-ext run --model replay --model_args path=answers.jsonl --tasks mbtibench --output_path results`
    - `harness-ext run --model hf --model_args pretrained=my-model --tasks eibench --resume answers`
    - `harness-ext run --model vllm --model_args pretrained=my-model --tasks mbtibench_zero_shot_ll --plan`

    Exit codes: those of lm-eval; 2 wrong input, 3 data missing or broken.
    """
    if not context.args:
        typer.echo(context.get_help())
        raise typer.Exit
    lm_eval_run(context.args, plan=plan, task_twin=task_twin, resume=resume, prices=_prices(prices) if prices else None)


def lm_eval_run(
    arguments: list[str],
    *,
    plan: bool = False,
    task_twin: Twin | None = None,
    resume: Path | None = None,
    prices: tuple[float, float] | None = None,
) -> None:
    """Do what ``lm_eval run`` does with these arguments, in this process; the plan goes to stderr.

    Args:
        arguments: those of ``lm_eval run``.
        plan: print what the run would cost in tokens instead.
        task_twin: what multiple-choice tasks are asked for in place of likelihoods.
        resume: where the answers of each task are kept as it ends, and taken from.
        prices: of a million tokens read and written.
    """
    from harness_ext import _autoload

    _autoload.install()
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    from harness_ext.models.plan import announced, describe_requests, describe_time, estimate, task_plans

    def say(lm: Any, loaded: Any) -> None:
        tasks = loaded.get("tasks", loaded)
        if getattr(lm, "rank", 0) == 0:
            print(describe_requests(task_plans(tasks)), file=sys.stderr, flush=True)
            print(describe_time(estimate(lm, tasks)), file=sys.stderr, flush=True)

    given = sys.argv
    sys.argv = ["lm_eval", "run", *arguments]
    try:
        with ExitStack() as stack:
            if plan:
                from harness_ext.models.cost import instead_of_asking

                stack.enter_context(instead_of_asking(print))
            else:
                stack.enter_context(announced(say))
            if task_twin:
                from harness_ext.models import letters

                stack.enter_context(letters.instead_of_likelihoods())
            if resume:
                from harness_ext.models.runs.resume import resuming

                stack.enter_context(resuming(resume))
            if prices:
                from harness_ext.models.runs.usage import Prices, priced

                stack.enter_context(priced(Prices(*prices)))
            setup_logging()
            parser = HarnessCLI()
            parser.execute(parser.parse_args())
    finally:
        sys.argv = given


def _prices(text: str) -> tuple[float, float]:
    """The two numbers of ``--prices``.

    >>> _prices("0.15,0.60")
    (0.15, 0.6)
    """
    from harness_ext.errors import InputError

    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        read = written = -1.0
    if not (0 <= read < float("inf") and 0 <= written < float("inf")):
        raise InputError(f"--prices {text}: give the prices of a million tokens read and written, such as 0.15,0.60.")
    return read, written
