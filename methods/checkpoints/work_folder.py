"""Unfinished work: a folder beside the output with a lock and a journal, so that a killed run goes on where it stopped.

Every finished step is a line of the journal, written after what the step made is on the disk. At the end the folder
gets the output's name (`publish`), or is deleted. It has no config.json before: no program takes it for a model.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, NonNegativeFloat, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, json_lines, read_json

_JOURNAL = "journal.jsonl"
_LOCK = "lock"


class WorkFolder:
    """The folder of one run and its journal: a first line says of which run, then comes one line a finished step.

    Args:
        folder: exists.
        identity: of the run, such as `record.Record.identity`; a folder of another run is refused.

    Raises:
        InputError: the folder belongs to a run with other settings or inputs.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        entries = _read(folder) or [{"run": identity}]
        if entries[0].get("run") != identity:
            self.refuse()
        self._entries = {str(entry["file"]): entry for entry in entries[1:]}
        self._rewrite(entries[0])
        self._since = time.monotonic()

    def refuse(self) -> NoReturn:
        """Leave the folder to the run that it belongs to.

        Raises:
            InputError: always.
        """
        out = self.folder.name.removesuffix(self.folder.suffix)
        raise InputError(
            f"{self.folder} was begun with another config or other inputs. Delete it, or give another out than {out}."
        )

    def finished(self, step: str) -> Any:
        """What a finished step noted; ``None`` if it is not finished."""
        return self._entries[step]["note"] if step in self._entries else None

    def finish(self, step: str, note: Any, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Store a step's tensors, then note that it is finished, in this order."""
        if tensors is not None:
            part = self.folder / f"{step}.part"
            write_whole(part, tensors)
            _sync(part)
            part.replace(self._file(step))
        now = time.monotonic()
        self._entries[step] = {"file": step, "note": note, "seconds": now - self._since}
        self._since = now
        with (self.folder / _JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(self._entries[step]) + "\n")
        _sync(self.folder / _JOURNAL)

    def forget(self, step: str) -> None:
        """Let the next run do a step again."""
        del self._entries[step]
        self._rewrite(_read(self.folder)[0])

    def read(self, step: str, name: str) -> torch.Tensor:
        """A tensor that a finished step stored.

        Raises:
            DataError: the step's file is broken.
        """
        try:
            with safe_open(self._file(step), framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"{self._file(step)} is broken ({error}). Delete {self.folder}: the run starts over."
            ) from None
        return tensor

    @property
    def begun(self) -> bool:
        """Whether any step is finished."""
        return bool(self._entries)

    @property
    def seconds(self) -> float:
        """Time of all finished steps, those before an interruption included."""
        return sum(float(entry["seconds"]) for entry in self._entries.values())

    def _file(self, step: str) -> Path:
        return self.folder / f"{step}.safetensors"

    def _rewrite(self, first: Mapping[str, Any]) -> None:
        part = self.folder / f"{_JOURNAL}.part"
        lines = [json.dumps(entry) + "\n" for entry in (first, *self._entries.values())]
        part.write_text("".join(lines), encoding="utf-8")
        _sync(part)
        part.replace(self.folder / _JOURNAL)


def _read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a journal, without a last one that was cut off by a kill; none without a journal.

    Version 0.1.0 noted the steps of a method in progress.json, and the facts of a file without a ``note`` around them.
    """
    if (folder / _JOURNAL).is_file():
        entries: list[dict[str, Any]] = []
        with suppress(FileError, ValidationError):
            for _, line in json_lines(folder / _JOURNAL):
                if not entries:
                    entries.append(_Begun.model_validate(line).model_dump())
                else:
                    step = _Step.model_validate(line)
                    entries.append({**step.model_dump(), "note": step.note if "note" in line else line})
        return entries
    if (folder / "progress.json").is_file():
        with suppress(FileError, ValidationError):
            old = _Progress.model_validate(read_json(folder / "progress.json"))
            share = old.seconds / max(1, len(old.finished))
            steps = [{"file": step, "note": note, "seconds": share} for step, note in old.finished.items()]
            return [{"run": old.run}, *steps]
    return []


class _Begun(BaseModel):
    """The first line of a journal."""

    run: str


class _Step(BaseModel):
    """Any other line."""

    file: str
    seconds: NonNegativeFloat
    note: Any = None


class _Progress(BaseModel):
    """What version 0.1.0 wrote instead."""

    run: str
    seconds: NonNegativeFloat
    finished: dict[str, Any]


@contextmanager
def claimed(folder: Path, identity: str, *, resumes: bool = True) -> Iterator[WorkFolder]:
    """Own a folder of unfinished work meanwhile; it stays if the block fails after a step was finished.

    Args:
        folder: is made if it is not there.
        identity: of the run.
        resumes: whether the work goes on where it stopped, for the sentence about a full disk.

    Raises:
        InputError: the disk is full, another process works there, or the folder belongs to a run with other settings
            or inputs.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, timeout=0):
            work = WorkFolder(folder, identity)
            try:
                yield work
            except (InputError, OSError):
                if not work.begun:  # there is nothing to go on from, and another try may have other settings
                    shutil.rmtree(folder, ignore_errors=True)
                raise
    except Timeout:
        raise InputError(f"{folder} is being written by another process. Wait for it, or give another out.") from None
    except OSError as error:
        way_out = "Give another out."
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            go_on = "and repeat the command: it goes on where it stopped." if resumes else "or give another out."
            way_out = f"Free some space {go_on}"
        raise InputError(f"{error.filename or folder} cannot be written ({error.strerror}). {way_out}") from error


@contextmanager
def work_folder(out: str | Path, identity: str, needed_bytes: int) -> Iterator[WorkFolder]:
    """The work folder of a method beside ``out``, which is deleted once the block is done.

    Args:
        out: what the method makes.
        identity: of the run.
        needed_bytes: what the steps will take at most.

    Raises:
        InputError: as `claimed`, or the disk is too small.
    """
    folder = Path(out).with_name(f"{Path(out).name}.work")
    free = free_bytes(folder)
    if free < needed_bytes:
        raise InputError(
            f"{folder.parent} has {free / 1e9:.1f} GB of free space, but {needed_bytes / 1e9:.1f} GB are needed while "
            "the method works. Free some space or give another out."
        )
    with claimed(folder, identity) as work:
        yield work
        shutil.rmtree(folder)


def free_bytes(folder: Path) -> int:
    """Space for a folder that is there or will be, what it holds already included."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    there = sum(file.stat().st_size for file in folder.rglob("*")) if folder.is_dir() else 0
    return shutil.disk_usage(place).free + there


def publish(folder: Path, target: Path) -> None:
    """Give a finished folder its name, once all of it is on the disk; journal and lock are left out.

    Raises:
        OSError: the disk is full.
    """
    for name in (_JOURNAL, _LOCK):
        (folder / name).unlink(missing_ok=True)
    synced(folder)
    folder.rename(target)
    _sync(target.parent)


def write_whole(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a file of tensors that are in memory.

    Raises:
        OSError: the file cannot be written; safetensors itself tells the system's error in words only.
    """
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def mapped(file: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.float32]]:
    """An array in a file, which is made in full size if it is not there: a full disk is noticed at once."""
    size = 4 * math.prod(shape)
    with file.open("ab") as stream:
        if stream.tell() != size:
            stream.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
    return np.memmap(file, dtype=np.float32, mode="r+", shape=shape)


def synced(folder: Path) -> None:
    """Have the system put a folder and the files in it on the disk."""
    for path in [*folder.iterdir(), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on the disk: a full disk is reported here at the latest."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
