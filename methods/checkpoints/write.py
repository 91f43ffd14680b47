"""Writes an edited copy of a checkpoint: streamed, verified, and complete or not there at all.

The work happens in ``<out>.unfinished`` beside the output. Every finished file is noted in a journal there with its
checksum, so that an interrupted run goes on where it stopped; files without which the folder does not load come last,
and at the end the folder is renamed.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from tqdm import tqdm

from harness_ext.errors import DataError, InputError
from harness_ext.methods.checkpoints.read import INDEX, Checkpoint, row_ranges
from harness_ext.methods.checkpoints.record import RECORD, Change, Record, write_record
from harness_ext.methods.checkpoints.shards import Shard, plan_shards, size_of, sync, write_shard

Edit = Callable[[str], Iterable[torch.Tensor] | None]
"""Name of a tensor → its new values, by rows in order (one piece may be the whole tensor), in any floating type; or
``None`` if it is copied from the base bit by bit."""

SHARD_BYTES = 5 * 10**9
_PIECE = 2**20
"""Entries that are compared at a time."""
_JOURNAL = "journal.jsonl"
_LOCK = "lock"
_COPIED = (".json", ".jinja", ".model", ".txt", ".py", ".tiktoken")
"""Endings of what stands beside the weights and belongs to the model: configuration, tokenizer, templates, code."""
_TERMS = ("LICENSE", "NOTICE", "USE_POLICY")


def write_checkpoint(
    base: Checkpoint,
    out: str | Path,
    edit: Edit,
    record: Record,
    *,
    max_shard_bytes: int | None = None,
) -> Path:
    """Write ``base`` with edited tensors to the new folder ``out``, or finish what an earlier call began there.

    Args:
        base: gives names, shapes, element types, the tensors that are not edited, and (if it is a folder) the files
            beside the weights, which are copied byte for byte.
        out: folder that does not exist yet, or is empty.
        edit: is called once for every tensor with floating-point values, in the order of the files (layers in order);
            never for tensors of files that an earlier call finished. It is rounded once, to the base's element type.
        record: goes to ``method.json``, completed by what changed; decides whether an unfinished folder is of this
            run.
        max_shard_bytes: size beyond which a new file is begun; ``SHARD_BYTES`` by default.

    Returns:
        ``out``.

    Raises:
        InputError: ``out`` exists, its disk is too small, an unfinished folder is of another run, or a new value has
            another shape than the base's or is NaN or Inf. The message names the tensor.
        DataError: what was written does not read back as it was written.
    """
    target = Path(out)
    check_out(base, target)
    shards = plan_shards(base, max_shard_bytes or SHARD_BYTES)
    folder = _unfinished(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, timeout=0):
            journal = _Journal(folder, record.identity())
            _write_shards(base, folder, shards, edit, record, journal)
            _verify(base, folder, shards, journal)
            _complete(base, folder, shards, record, journal)
            journal.remove()
            (folder / _LOCK).unlink()
            folder.rename(target)
            _sync_folder(target.parent)
    except Timeout as error:
        raise InputError(f"{folder} is being written by another process. Wait for it, or give another out.") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise InputError(
            f"{error.filename or folder} cannot be written ({error.strerror}). "
            + ("Free some space and repeat the command: it goes on where it stopped." if full else "Give another out.")
        ) from error
    return target


def check_out(base: Checkpoint, out: str | Path) -> None:
    """Refuse an output folder that cannot take a copy of ``base``, before any work is done.

    Raises:
        InputError: it holds something, is a file, or is on a disk with too little space.
    """
    target, folder = Path(out), _unfinished(Path(out))
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target} is not empty. Give another out, or delete it.")
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file. Give another out.")
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    there = sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
    needed, free = sum(size_of(base, name) for name in base.names), shutil.disk_usage(place).free + there
    if free < needed:
        raise InputError(
            f"{folder.parent} has {free / 1e6:,.1f} MB of free space, but {needed / 1e6:,.1f} MB are needed. Free some "
            "space or give another out."
        )


def _unfinished(target: Path) -> Path:
    return target.with_name(target.name + ".unfinished")


@dataclasses.dataclass
class _Finished:
    sha256: str
    bytes: int
    seconds: float
    changes: dict[str, Change]


class _Journal:
    """Which files of an unfinished checkpoint are finished: a first line says of which run, then one line a file."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._file = folder / _JOURNAL
        self.finished: dict[str, _Finished] = {}
        self.earlier_seconds = 0.0
        """How long interrupted runs worked on the files that they finished."""
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        entries = [entry for entry in map(_entry, lines) if entry is not None]
        if not entries:
            self._file.write_text("", encoding="utf-8")
            self._append({"run": identity})
            return
        if entries[0].get("run") != identity:
            raise InputError(
                f"{folder} was begun with another config or other inputs. Delete it, or give another out than "
                f"{folder.name.removesuffix('.unfinished')}."
            )
        for entry in entries[1:]:
            changes = {name: Change(**change) for name, change in entry["changes"].items()}
            self.finished[entry["file"]] = _Finished(entry["sha256"], entry["bytes"], entry["seconds"], changes)
        self.earlier_seconds = sum(part.seconds for part in self.finished.values())

    def add(self, file: str, finished: _Finished) -> None:
        self.finished[file] = finished
        self._append({"file": file} | dataclasses.asdict(finished))

    def forget(self, file: str) -> None:
        """Let the next run write this file again."""
        del self.finished[file]
        first, *rest = self._file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in rest if (_entry(line) or {}).get("file") != file]
        self._file.write_text("\n".join([first, *kept]) + "\n", encoding="utf-8")

    def remove(self) -> None:
        self._file.unlink()

    def _append(self, entry: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
            stream.flush()
            sync(stream.fileno())


def _entry(line: str) -> dict[str, Any] | None:
    """A line of the journal; ``None`` for the last one if the run was killed while it was written."""
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return entry


def _write_shards(
    base: Checkpoint, folder: Path, shards: list[Shard], edit: Edit, record: Record, journal: _Journal
) -> None:
    with tqdm(
        total=sum(shard.bytes for shard in shards), unit="B", unit_scale=True, desc="Writing", disable=None
    ) as bar:
        for shard in shards:
            known = journal.finished.get(shard.file)
            if known and (folder / shard.file).is_file() and (folder / shard.file).stat().st_size == known.bytes:
                bar.update(shard.bytes)
                continue
            began = time.monotonic()
            changes: dict[str, Change] = {}
            part = folder / f"{shard.file}.part"
            try:
                sha256 = write_shard(part, shard, base, _values(base, shard.names, edit, record, changes, bar))
            except InputError:  # it would be the same again: there is nothing to go on with
                shutil.rmtree(folder)
                raise
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(part)) from error
            part.rename(folder / shard.file)
            written = (folder / shard.file).stat().st_size
            journal.add(shard.file, _Finished(sha256, written, time.monotonic() - began, changes))


def _values(
    base: Checkpoint,
    names: Iterable[str],
    edit: Edit,
    record: Record,
    changes: dict[str, Change],
    bar: tqdm[Any],
) -> Iterator[torch.Tensor]:
    """The values that a file holds, in order; ``changes`` is filled on the way."""
    for name in names:
        shape, dtype = base.shape(name), base.dtype(name)
        change = changes[name] = Change(changed=0, entries=math.prod(shape), norm=0.0)
        new = edit(name) if dtype.is_floating_point else None
        if new is None:
            for start, stop in row_ranges(shape):
                rows = base.rows(name, start, stop)
                yield rows
                bar.update(rows.nbytes)
        else:
            for rows in _edited(base, name, new, change):
                yield rows
                bar.update(rows.nbytes)
        change.facts = record.facts.get(name, {})


def _edited(base: Checkpoint, name: str, new: Iterable[torch.Tensor], change: Change) -> Iterator[torch.Tensor]:
    """New values, rounded to the base's type and compared with it."""
    shape, dtype = base.shape(name), base.dtype(name)
    total = shape[0] if shape else 1
    done, squares = 0, 0.0
    for values in new:
        count = values.shape[0] if shape else 1
        if values.shape[1:] != shape[1:] or values.ndim != len(shape) or done + count > total:
            raise InputError(f"{name}: new values of shape {tuple(values.shape)} do not fit the base's shape {shape}.")
        rows = values.to(dtype)
        for ours, theirs in zip(
            rows.flatten().split(_PIECE), base.rows(name, done, done + count).flatten().split(_PIECE), strict=True
        ):
            if not torch.isfinite(ours).all():
                raise InputError(f"{name}: the new values hold NaN or Inf in {dtype}. Nothing was written.")
            change.changed += int((ours != theirs).sum())
            squares += float(torch.linalg.vector_norm(ours.double() - theirs.double())) ** 2
        yield rows
        done += count
    if done != total:
        raise InputError(f"{name}: {done} rows of new values came, but the base has {total}.")
    change.norm = math.sqrt(squares)


def _verify(base: Checkpoint, folder: Path, shards: list[Shard], journal: _Journal) -> None:
    """Read everything back: checksums as written, names, shapes and types as in the base."""
    from harness_ext.data.checksums import sha256_of

    for shard in tqdm(shards, desc="Verifying", unit="file", disable=None):
        path = folder / shard.file
        if sha256_of(path) != journal.finished[shard.file].sha256:
            journal.forget(shard.file)
            raise DataError(f"{path} does not read back as it was written. Check the disk and repeat the command.")
        with safe_open(path, framework="pt") as file:
            for name in shard.names:
                if tuple(file.get_slice(name).get_shape()) != base.shape(name):
                    raise DataError(f"{path}: {name} has another shape than in {base.path}.")


def _complete(base: Checkpoint, folder: Path, shards: list[Shard], record: Record, journal: _Journal) -> None:
    """Add what makes the folder a checkpoint, config.json last: without it nothing loads."""
    places = {name: shard.file for shard in shards for name in shard.names}
    index = {"metadata": {"total_size": sum(shard.bytes for shard in shards)}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    finished = [journal.finished[shard.file] for shard in shards]
    changes = {name: change for part in finished for name, change in part.changes.items()}
    write_record(folder, record, changes, wall_seconds=journal.earlier_seconds + time.monotonic() - record.began)
    for file in sorted(_beside_the_weights(base.path), key=lambda file: (file.name == "config.json", file.name)):
        shutil.copyfile(file, folder / file.name)


def _beside_the_weights(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        belongs = file.name.endswith(_COPIED) or file.name.startswith(_TERMS)
        if file.is_file() and belongs and not file.name.endswith(".index.json") and file.name != RECORD:
            yield file


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk once its folder is."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
