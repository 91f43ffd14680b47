"""What a method keeps on disk while it works: finished stages, so that a killed run goes on where it stopped.

Everything is in one folder beside the output, without a config.json: no program takes it for a model.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.shards import sync, write_whole

_STATE = "progress.json"
_LOCK = "lock"


class WorkFolder:
    """The folder of one run and its progress.

    Args:
        folder: exists.
        identity: of the run; a folder of another run is refused.

    Raises:
        InputError: the folder belongs to a run with other settings or inputs.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        file = folder / _STATE
        self._state: dict[str, Any] = {"run": identity, "finished": {}, "seconds": 0.0}
        if file.is_file():
            self._state = json.loads(file.read_text(encoding="utf-8"))
        if self._state["run"] != identity:
            raise InputError(f"{folder} was begun with another config or other inputs. Delete it, or give another out.")
        self._since = time.monotonic()

    def finished(self, stage: str) -> Any:
        """What a finished stage noted; ``None`` if it is not finished."""
        return self._state["finished"].get(stage)

    def finish(self, stage: str, note: Any, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Store a stage's tensors, then note that it is finished, in this order."""
        if tensors is not None:
            part = self.folder / f"{stage}.part"
            write_whole(part, tensors)
            with part.open("rb") as stream:
                sync(stream.fileno())
            part.replace(self._file(stage))
        now = time.monotonic()
        self._state["seconds"] += now - self._since
        self._since = now
        self._state["finished"][stage] = note
        part = self.folder / f"{_STATE}.part"
        with part.open("w", encoding="utf-8") as stream:
            json.dump(self._state, stream)
            stream.flush()
            sync(stream.fileno())
        part.replace(self.folder / _STATE)

    def read(self, stage: str, name: str) -> torch.Tensor:
        """A tensor that a finished stage stored."""
        with safe_open(self._file(stage), framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor

    @property
    def begun(self) -> bool:
        """Whether any stage is finished."""
        return bool(self._state["finished"])

    @property
    def seconds(self) -> float:
        """Time of all finished stages, those before an interruption included."""
        return float(self._state["seconds"])

    def _file(self, stage: str) -> Path:
        return self.folder / f"{stage}.safetensors"


@contextmanager
def work_folder(out: str | Path, identity: str, needed_bytes: int) -> Iterator[WorkFolder]:
    """The work folder beside ``out``, which is deleted once the block is done and kept if it fails later on.

    Args:
        out: what the method makes.
        identity: of the run, such as `record.Record.identity`.
        needed_bytes: what the stages will take at most.

    Raises:
        InputError: the disk is too small or full, another process works there, or the folder belongs to a run with
            other settings or inputs.
    """
    folder = Path(out).with_name(f"{Path(out).name}.work")
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    there = sum(file.stat().st_size for file in folder.rglob("*")) if folder.is_dir() else 0
    free = shutil.disk_usage(place).free + there
    if free < needed_bytes:
        raise InputError(
            f"{folder.parent} has {free / 1e9:.1f} GB of free space, but {needed_bytes / 1e9:.1f} GB are needed while "
            "the method works. Free some space or give another out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, timeout=0):
            work = WorkFolder(folder, identity)
            try:
                yield work
            except InputError:
                if not work.begun:  # there is nothing to go on from, and another try will have other settings
                    shutil.rmtree(folder)
                raise
            shutil.rmtree(folder)
    except Timeout:
        raise InputError(f"{folder} is in use by another process. Wait for it, or give another out.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(
            f"{error.filename or folder} cannot be written ({error.strerror}). Free some space and repeat the command: "
            "it goes on where it stopped."
        ) from error
