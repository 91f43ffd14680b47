"""Every command that the documentation or a help text shows is one that exists; those that need no model are run."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from lm_eval._cli import HarnessCLI
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager
from typer.testing import CliRunner
from warm_python import python

from harness_ext.cli.app import app

CHECKOUT = Path(__file__).parents[2]
PAGES = (
    "README.md", "CONTRIBUTING.md", "docs/*.md", "docs/extending/*.md", "tasks/*/README.md",
    "examples/*/README.md", "benchmarks/*.md",
)  # fmt: skip

_INLINE = re.compile(r"`((?:harness-ext|lm_eval)\s[^`]+)`")
_EXAMPLE = re.compile(r"^- `(.*)`$", re.MULTILINE)  # in the help of a command
_LINE = re.compile(r"^(?:    \s*)?(?:\$ )?((?:[A-Z_]+=\S+ )*(?:harness-ext|lm_eval) .*)$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELLS = {"sh", "bash", "console"}


class Command(NamedTuple):
    """A command as a page shows it."""

    page: str
    words: tuple[str, ...]
    """Program and arguments; redirections, comments and ellipses are left out."""
    whole: bool
    """It stands on a line of its own; in running text, required arguments may be left out."""

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands() -> list[Command]:
    found: list[Command] = []
    for pattern in PAGES:
        for file in sorted(CHECKOUT.glob(pattern)):
            found += _commands_of(file.relative_to(CHECKOUT).as_posix(), file.read_text(encoding="utf-8"))
    for name, command in _subcommands(typer.main.get_command(app)):
        found += _commands_of(f"{name} --help", inspect.cleandoc(command.help or ""))
    return found


def _commands_of(page: str, text: str) -> Iterator[Command]:
    blocks = [body for language, body in _FENCE.findall(text) if language in _SHELLS]
    prose = _FENCE.sub("", text)
    blocks += re.findall(r"(?:^    .*\n)+", prose, re.MULTILINE)
    for block in blocks:
        for line in _LINE.findall(re.sub(r"\\\n\s*", "", block)):
            yield Command(page, _words(line), whole=True)
    for code in _EXAMPLE.findall(prose):
        yield Command(page, _words(code), whole=True)
    for code in _INLINE.findall(_EXAMPLE.sub("", prose)):
        yield Command(page, _words(code), whole=False)


def _words(line: str) -> tuple[str, ...]:
    words = [word for word in shlex.split(line, comments=True) if word not in {"…", "..."}]
    if ">" in words:
        words = words[: words.index(">")]
    while re.match("[A-Z_]+=", words[0]):
        words.pop(0)
    return tuple(words)


def _subcommands(command: Any, name: str = "harness-ext") -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner, subcommand in getattr(command, "commands", {}).items():
        yield from _subcommands(subcommand, f"{name} {inner}")


ALL = commands()
OURS = [command for command in ALL if command.words[0] == "harness-ext"]
LM_EVAL = [command for command in ALL if command.words[0] == "lm_eval" or command.words[:2] == ("harness-ext", "run")]


def test_commands_are_found_in_every_kind_of_place() -> None:
    assert {"README.md", "docs/data.md", "docs/replay.md", "tasks/mbtibench/README.md", "harness-ext table --help"} <= {
        command.page for command in ALL
    }


@pytest.mark.parametrize("shown", OURS, ids=str)
def test_a_harness_ext_command_has_only_subcommands_options_and_values_that_exist(shown: Command) -> None:
    command: Any = typer.main.get_command(app)
    rest = list(shown.words[1:])
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{command.name} has no subcommand {rest[0]}"
        command = command.commands[rest.pop(0)]
    at_once = {"--help", "--install-completion", "--show-completion"}.intersection(
        rest
    )  # they work while they are read
    assert at_once - {"--help"} <= {option for parameter in command.params for option in parameter.opts}
    try:
        command.make_context(command.name, [word for word in rest if word not in at_once])
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError" or (
            type(error).__name__ == "MissingParameter" and not shown.whole
        ):
            return
        raise


@pytest.fixture(scope="module")
def task_names() -> set[str]:
    made = {command.words[2] for command in OURS if command.words[1] == "new-task" and len(command.words) > 2}
    return made | set(TaskManager(include_path=str(CHECKOUT / "examples")).all_tasks)


@pytest.mark.parametrize("shown", LM_EVAL, ids=str)
def test_an_lm_eval_command_has_only_options_models_and_tasks_that_exist(
    shown: Command, task_names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = list(shown.words[1:])
    if shown.words[0] == "harness-ext":  # what is not ours goes to lm-eval
        ours: Any = typer.main.get_command(app)
        arguments = (
            ours.commands["run"].make_context("run", [word for word in shown.words[2:] if word != "--help"]).args
        )
    if not arguments:
        return
    command = [] if arguments[0] in {"run", "ls", "validate"} else ["run"]
    monkeypatch.setattr(sys, "argv", ["lm_eval", *command, *arguments])
    # Without their value, options at the end ("--tasks …") are no error of the page.
    if not shown.whole and arguments[-1].startswith("--") and arguments[-1] != "--help":
        sys.argv.pop()
    try:
        given = HarnessCLI().parse_args()
    except SystemExit as end:
        assert end.code in {0, None}, "lm_eval refuses these arguments"
        return
    if given.command != "run":
        return
    names = given.tasks.split(",") if isinstance(given.tasks, str) else given.tasks or []
    assert {name for name in names if not name.startswith("<")} <= task_names
    if given.model:
        try:
            get_model(given.model)
        except ModuleNotFoundError as error:  # an engine that lm-eval knows and that is not installed here
            assert error.name in {"vllm", "sglang"}


def _only_reads_the_package(shown: Command) -> bool:
    reading = {"path", "published list", "published show", "published validate", "data list", "data show"}
    reading |= {"method list", "method show", "tasks"}
    return shown.whole and (shown.words[1] in reading or " ".join(shown.words[1:3]) in reading | {"data croissant"})


@pytest.mark.parametrize("shown", [command for command in OURS if _only_reads_the_package(command)], ids=str)
def test_a_command_that_only_reads_what_is_installed_runs(
    shown: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, list(shown.words[1:]))
    assert done.exit_code == 0, done.output


def _needs_nothing(shown: Command) -> bool:
    """A run on the bundled sample, or of an example, without a model."""
    text = " ".join(shown.words)
    own = '{"data": "sample"}' in text or shown.page.startswith("examples/")
    model = any(f"--model {name}" in text for name in ("dummy", "replay"))
    return shown.whole and own and (model or shown.words[1:-1] == ("--config",))  # the file names the model


@pytest.mark.slow
@pytest.mark.parametrize("shown", [command for command in LM_EVAL if _needs_nothing(command)], ids=str)
def test_a_run_without_a_model_works_as_shown(shown: Command, tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "examples", tmp_path / "examples")
    # Commands of an example start at the top of the checkout or in the example's own folder, as its page says.
    start = tmp_path if any("examples/" in word for word in shown.words) else (tmp_path / shown.page).parent
    start.mkdir(parents=True, exist_ok=True)
    _run(start, "-m", "lm_eval", *shown.words[1:])
    if "--output_path" in shown.words:
        results = shown.words[shown.words.index("--output_path") + 1]
        assert Command(shown.page, ("harness-ext", "table", results), whole=True) in ALL
        _run(start, "-c", "from harness_ext.cli import main; main()", "table", results)


def _run(folder: Path, *arguments: str) -> None:
    done = python(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
