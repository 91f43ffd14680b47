"""Assembles the ``harness-ext`` command from its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

import harness_ext
from harness_ext.cli import check as _check
from harness_ext.cli import compare as _compare
from harness_ext.cli import data as _data
from harness_ext.cli import demo as _demo
from harness_ext.cli import export as _export
from harness_ext.cli import forget_quality as _forget_quality
from harness_ext.cli import import_judgments as _import_judgments
from harness_ext.cli import judge_agreement as _judge_agreement
from harness_ext.cli import judge_turns as _judge_turns
from harness_ext.cli import memorisation as _memorisation
from harness_ext.cli import method as _method
from harness_ext.cli import new_task as _new_task
from harness_ext.cli import pairs as _pairs
from harness_ext.cli import path as _path
from harness_ext.cli import probes as _probes
from harness_ext.cli import published as _published
from harness_ext.cli import rejudge as _rejudge
from harness_ext.cli import replies as _replies
from harness_ext.cli import run as _run
from harness_ext.cli import table as _table
from harness_ext.cli import tasks as _tasks
from harness_ext.cli import view as _view

app = typer.Typer(
    name="harness-ext",
    help="Benchmarks, backends and comparison tables on top of lm-evaluation-harness.",
    epilog="Exit codes: 0 done, 1 a check said no, 2 wrong input, 3 data missing or broken, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness-ext {harness_ext.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


# In the order a new user meets them.
app.command("demo")(_demo.demo)
app.command("tasks")(_tasks.tasks)
app.command("run", context_settings=_run.PASS_THROUGH)(_run.run)
app.command("table")(_table.table)
app.command("view")(_view.view)
app.command("export")(_export.export)
app.command("compare")(_compare.compare)
app.command("forget-quality")(_forget_quality.forget_quality)
app.command("memorisation")(_memorisation.memorisation)
app.command("replies")(_replies.replies)
app.command("rejudge")(_rejudge.rejudge)
app.command("judge-turns")(_judge_turns.judge_turns)
app.command("import-judgments")(_import_judgments.import_judgments)
app.command("judge-agreement")(_judge_agreement.judge_agreement)
app.command("new-task")(_new_task.new_task)
app.command("check")(_check.check)
app.command("lock")(_check.lock)
app.command("path")(_path.path)
app.command("pairs")(_pairs.pairs)
app.add_typer(_data.app, name="data")
app.add_typer(_method.app, name="method")
app.add_typer(_probes.app, name="probes")
app.add_typer(_published.app, name="published")
