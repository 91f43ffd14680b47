"""``harness-ext path``: where an installed folder is, for commands that take a path."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Folder(str, Enum):
    """The folders that are installed with the package."""

    tasks = "tasks"
    data_cards = "data_cards"
    leaderboards = "leaderboards"
    methods = "methods"
    metrics = "metrics"


def path(folder: Annotated[Folder, typer.Argument(help="Which folder.")]) -> None:
    """Print where an installed folder is.

    `tasks` is for places where the start-up hook is not wanted (HARNESS_EXT_AUTOLOAD=0), `metrics` for `evaluate.load`.

    Examples:

    - `harness-ext path tasks`
    - `lm_eval --include_path "$(harness-ext path tasks)" --tasks mbtibench ...`
    """
    from importlib.resources import files

    typer.echo(files(f"harness_ext.{folder.value}"))
