"""What a check is and what it finds: one function a check, registered by a decorator under its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from harness_ext.checks.files import TaskFile

Kind = Literal["file", "suite", "sample", "card", "failure", "task", "scores", "lock"]


@dataclass(frozen=True)
class Finding:
    """A mistake, where it is, why it matters and how it is mended."""

    check: str
    file: Path
    line: int
    what: str
    why: str
    mend: str
    task: str = ""
    """The task, group or card that it was found in."""


class Found(NamedTuple):
    """What a check says: the mistake and its place."""

    what: str
    key: str = ""
    """Key of the task's YAML that it is about, such as ``metadata.version``."""
    of: TaskFile | None = None
    """The file that it is found in, where the subject is no task."""
    file: Path | None = None
    """Where it is, if not in a task's YAML."""
    line: int = 1


Run = Callable[[Any], Iterator[Found]]
_Run = TypeVar("_Run", bound=Run)


class Check(NamedTuple):
    """A check: its name, what it is asked about, and what is said beside each of its findings."""

    name: str
    kind: Kind
    run: Run
    why: str
    mend: str
    house: bool
    """Asked only of benchmarks that follow this package's conventions (``metadata.bench``)."""

    @property
    def looks_at(self) -> str:
        """The first line of the function's docstring."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


CHECKS: dict[str, Check] = {}
"""All checks by name, once their modules are imported."""


def check(kind: Kind, *, why: str, mend: str, house: bool = False) -> Callable[[_Run], _Run]:
    """Register a function as a check; its name, with dashes, is the check's.

    Args:
        kind: what it is called with: ``file`` a ``TaskFile``, ``suite`` a ``Suite``, ``sample`` a ``SampleFile``,
            ``card`` a ``CardFile``, ``failure`` a ``Failure``, ``task`` a ``Loaded``, ``scores`` a ``Played``,
            ``lock`` a ``Locked``.
        why: what goes wrong where the mistake stands, in one sentence.
        mend: what to do, in one sentence.
        house: see :class:`Check`.
    """

    def registered(run: _Run) -> _Run:
        name = run.__name__.replace("_", "-")
        CHECKS[name] = Check(name, kind, run, why, mend, house)
        return run

    return registered
