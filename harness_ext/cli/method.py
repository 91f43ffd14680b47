"""``harness-ext method``: list, describe and run the methods that make models."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from harness_ext.cli.saying import AsJson, group, plain, print_json, warnings_said
from harness_ext.errors import InputError
from harness_ext.methods.registry import load, method_names, summary

if TYPE_CHECKING:
    from harness_ext.methods.registry import Method

app = group("List, describe and run the methods that make models.")
_run = group("Run a method; the `--help` of each one explains its settings.")
app.add_typer(_run, name="run")

Name = Annotated[str, typer.Argument(help="Name of a method; `harness-ext method list` shows all.", show_default=False)]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all methods.

    Examples:

    - `harness-ext method list`
    """
    rows = {name: summary(name) for name in method_names()}
    if as_json:
        print_json([{"method": name, "summary": text} for name, text in rows.items()])
        return
    width = max(map(len, rows))
    for name, text in rows.items():
        typer.echo(f"{name:<{width}}  {text}")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show what a method does, and its settings with types, defaults and where the defaults are from.

    Examples:

    - `harness-ext method show irr`
    - `harness-ext method show ties --json`
    """
    from harness_ext.methods.settings import settings_of

    method = load(name)
    if as_json:
        settings = [setting._asdict() for setting in settings_of(method.config)]
        print_json({"method": name, "about": method.about, "settings": settings})
        return
    typer.echo(_describe(method))


class _MethodCommand(TyperCommand):
    """A command whose help is made when it is asked for: it imports the method."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.help = f"{_describe(load(str(self.name)))}\n\n{_USE.format(name=self.name)}"
        super().format_help(ctx, formatter)


_USE = """Examples:

- `harness-ext method run {name} --config {name}.yaml`
- `harness-ext method run {name} --config {name}.yaml --set out=another-folder`

Exit codes: 2 wrong input, 3 a file is broken, 130 interrupted (the run goes on when the command is repeated)."""


def _run_method(
    context: typer.Context,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One setting, instead of the file's. A list is written [a, b].",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file of settings, one `key: value` a line.", show_default=False),
    ] = None,
) -> None:
    from harness_ext.methods.settings import from_file, from_text

    method = load(str(context.info_name))
    values = from_file(config) if config else {}
    settings = method.config(**(values | from_text(method.config, set_ or [])))
    try:
        with warnings_said():
            typer.echo(plain(str(method.apply(settings))))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be used ({error.strerror}).") from error
    except KeyboardInterrupt:
        typer.echo("interrupted: repeat the command to go on.", err=True)
        raise typer.Exit(130) from None


for _name in method_names():
    _run.command(_name, cls=_MethodCommand, short_help=summary(_name))(_run_method)


def _describe(method: Method) -> str:
    """The method and its settings as Markdown that is also readable as it is."""
    from harness_ext.methods.settings import settings_of

    lines = [method.about, "", inspect.cleandoc(method.config.__doc__ or ""), "", "Settings:", ""]
    for setting in settings_of(method.config):
        default = "required" if setting.required else f"default {json.dumps(setting.default, default=str)}"
        lines.append(f"- `{setting.name}` ({setting.kind}; {default}): {setting.about}")
    return "\n".join(lines)
