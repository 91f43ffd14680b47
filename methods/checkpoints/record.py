"""``method.json``: what made a checkpoint, from what, and what it changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import harness_ext
from harness_ext.files import sha256_of
from harness_ext.methods.checkpoints.read import Checkpoint

RECORD = "method.json"
_PACKAGES = ("lm-eval", "torch", "transformers", "safetensors", "peft", "accelerate", "numpy")
_ABOUT_THE_MACHINE = ("out", "max_in_flight_bytes")
"""Config fields that do not change a result."""
_SINCE_0_1_0 = {"configs": "same", "tokenizer_from": "base", "weights_by_name": None}
"""Config fields that what is unfinished may not know: it did as their defaults say."""


@dataclasses.dataclass
class Change:
    """What became of one tensor."""

    changed: int
    """Entries whose stored value differs from the base's."""
    entries: int
    norm: float
    """Euclidean norm of the difference of the stored values."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the method itself has to say about this tensor."""


@dataclasses.dataclass
class Record:
    """What is known of a run when it starts; ``facts`` and ``notes`` are filled while it works."""

    method: str
    config: Any
    """The method's ``Config``."""
    checkpoints: Mapping[str, Checkpoint]
    """Role (``base``, ``models[0]``, …) → what was read."""
    files: dataclasses.InitVar[Iterable[str]] = ()
    """Files of data, whose SHA-256 are noted."""
    by_tensor: bool = False
    """Whether a tensor of the output depends on nothing else in ``checkpoints`` than the tensors of its name: they are
    read once, as it is written, instead of all of them first."""
    facts: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """Name of a tensor → what to note about it beside its change; kept when an interrupted run goes on."""
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What to note about the whole run."""

    def __post_init__(self, files: Iterable[str]) -> None:
        """Read data and, unless they are read tensor by tensor, checkpoints; the clock of the run starts here."""
        self.began = time.monotonic()
        self.data = {file: sha256_of(Path(file)) for file in files}
        if not self.by_tensor:
            self.inputs  # noqa: B018

    @cached_property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """Role → where a checkpoint is, and what tells its content from another one's."""
        return {
            role: {"path": str(checkpoint.path), "sha256": checkpoint.sources()}
            for role, checkpoint in self.checkpoints.items()
        }

    def digest(self, names: Iterable[str]) -> str | None:
        """What tells apart what tensors of the output are made from; ``None`` where `identity` does.

        Raises:
            InputError: a tensor holds NaN or Inf.
        """
        if not self.by_tensor:
            return None
        digests = [checkpoint.digest(name) for name in names for checkpoint in self.checkpoints.values()]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """The config as JSON can hold it."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self.config).items()}

    def identity(self) -> str:
        """A digest of everything that the result depends on: equal for a run that can go on where another stopped.

        But for checkpoints that are read tensor by tensor: `digest` stands for them.
        """
        settings = {
            key: value
            for key, value in self.settings().items()
            if key not in _ABOUT_THE_MACHINE and (key not in _SINCE_0_1_0 or value != _SINCE_0_1_0[key])
        }
        roles = {} if self.by_tensor else self.inputs
        contents = {role: entry["sha256"] for role, entry in roles.items()}
        whole = [self.method, settings, contents, self.data]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def write_record(folder: Path, record: Record, changes: Mapping[str, Change], *, wall_seconds: float) -> Path:
    """Write ``method.json`` into ``folder`` and return its path.

    Args:
        folder: where the checkpoint or adapter is.
        record: what the run was.
        changes: what became of each tensor; tensors that were copied may be left out.
        wall_seconds: how long the run took, the parts before an interruption included.
    """
    changed = {name: change for name, change in changes.items() if change.changed}
    settings = record.settings()
    content = {
        "method": record.method,
        "config": settings,
        "base": record.inputs.get("base"),
        "inputs": {role: entry for role, entry in record.inputs.items() if role != "base"},
        "data": record.data,
        "seeds": {key: value for key, value in settings.items() if "seed" in key},
        "versions": _versions(),
        "wall_seconds": round(wall_seconds, 3),
        "peak_rss_bytes": _peak_rss(),
        "notes": record.notes,
        "total": {
            "tensors": len(changes),
            "changed_tensors": len(changed),
            "entries": sum(change.entries for change in changes.values()),
            "changed_entries": sum(change.changed for change in changed.values()),
            "norm": math.sqrt(math.fsum(change.norm**2 for change in changed.values())),
        },
        "tensors": {
            name: {"changed": change.changed, "entries": change.entries, "norm": change.norm, **change.facts}
            for name, change in changes.items()
            if change.changed or change.facts
        },
    }
    file = folder / RECORD
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "harness-ext": harness_ext.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _peak_rss() -> int | None:
    """The most memory this process ever held, mapped pages of files included; ``None`` where it cannot be told."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
