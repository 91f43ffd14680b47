"""Checkpoints of a training run: everything that a killed run needs to continue to the same weights.

``checkpoint-<step>`` appears under its name only when it is complete; the one before it is removed after that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness_ext.errors import DataError, InputError
from harness_ext.files import read_json
from harness_ext.methods.checkpoints.work_folder import synced

_NAME = "checkpoint-"
_IDENTITY = "run.json"


def identity(settings: Mapping[str, Any], rows: Mapping[str, Iterable[Any]]) -> dict[str, Any]:
    """What two runs must share for one to continue the other: their settings and a checksum of each role's rows."""
    run = dict(settings)
    for role, own in rows.items():
        digest = hashlib.sha256()
        for row in own:
            digest.update(repr(row).encode())
            digest.update(b"\n")
        run[f"{role}_sha256"] = digest.hexdigest()
    return run


class Checkpoints:
    """The checkpoints in a folder of one run on one accelerator, whose models, optimizers and schedulers they hold."""

    def __init__(self, folder: Path, accelerator: Any, run: Mapping[str, Any]) -> None:
        self._folder, self._accelerator, self._run = folder, accelerator, dict(run)

    def restore(self) -> int:
        """Load the last checkpoint and return its step; 0 and nothing else if there is none.

        Raises:
            InputError: the checkpoint is of a run with another config or other rows.
            DataError: the checkpoint is damaged.
        """
        found = self._found()
        if not found:
            return 0
        step, folder = found[-1]
        try:
            content = read_json(folder / _IDENTITY)
            stored, files = dict(content["run"]), dict(content["bytes"])  # accelerate ignores lost random states
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} is damaged ({error}): delete it, the run starts over") from error
        if lost := sorted(name for name, size in files.items() if _size(folder / name) != size):
            raise DataError(f"{folder} is damaged ({lost[0]} has another size): delete it, the run starts over")
        differing = sorted(name for name in {*stored, *self._run} if stored.get(name) != self._run.get(name))
        if differing:
            raise InputError(
                f"{folder} is of another run: {', '.join(differing)} differ; delete it or choose another folder"
            )
        try:
            self._accelerator.load_state(str(folder))
        except Exception as error:  # torch, safetensors and pickle each have their own errors
            raise DataError(f"{folder} cannot be loaded ({error}): delete it, the run starts over") from error
        return step

    def save(self, step: int) -> None:
        """Write the checkpoint of ``step``, then remove the ones before it.

        Raises:
            DataError: it cannot be written; the checkpoint before it is intact.
        """
        partial, final = self._folder / f".{_NAME}{step}.partial", self._folder / f"{_NAME}{step}"
        main = self._accelerator.is_main_process
        try:
            if main:
                for leftover in self._folder.glob(f".{_NAME}*.partial"):
                    shutil.rmtree(leftover)
                partial.mkdir(parents=True)
            self._accelerator.wait_for_everyone()
            self._accelerator.save_state(str(partial))
            self._accelerator.wait_for_everyone()
            if main:
                content = {"run": self._run, "bytes": {path.name: _size(path) for path in partial.iterdir()}}
                (partial / _IDENTITY).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
                synced(partial)  # a rename may reach the disk before what was renamed
                partial.rename(final)
        except Exception as error:  # a full disk is an OSError here, a RuntimeError in torch, another in safetensors
            shutil.rmtree(partial, ignore_errors=True)
            intact = [folder.name for _, folder in self._found()]
            raise DataError(
                f"{final} cannot be written ({error}): make room and run again; "
                + (f"{intact[-1]} is intact and will be continued" if intact else "the run will start over")
            ) from error
        if main:
            for _, older in self._found()[:-1]:
                shutil.rmtree(older)
        self._accelerator.wait_for_everyone()

    def _found(self) -> list[tuple[int, Path]]:
        numbers = ((path.name.removeprefix(_NAME), path) for path in self._folder.glob(f"{_NAME}*"))
        return sorted((int(number), path) for number, path in numbers if number.isdecimal())


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
