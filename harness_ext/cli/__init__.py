"""The ``harness-ext`` command: one module a subcommand; heavy imports happen inside the functions."""

from __future__ import annotations

import gc
import sys

_OBJECTS = 50_000
"""Made between two searches for circles, which rows and samples are not in: a fifteenth of the time of a table."""


def main() -> None:
    """Run the command line; a known error is one line on stderr and its own exit code."""
    from harness_ext.errors import HarnessExtError

    gc.set_threshold(_OBJECTS)
    try:
        from harness_ext.cli.app import app

        app()
    except HarnessExtError as error:
        from harness_ext.leaderboards.printable import shortened, visible  # names of files and models are in it

        print(f"error: {shortened(visible(str(error)), 3_000)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # while the commands are imported; later typer exits with 130 by itself
        print("interrupted", file=sys.stderr)
        sys.exit(130)
