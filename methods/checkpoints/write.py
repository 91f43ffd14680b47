"""Writes edited copies of checkpoints and adapters: streamed, verified, and complete or not there at all.

The work happens in ``<out>.unfinished`` beside the output (`work_folder`). Files without which the folder does not load
come last, and at the end the folder is renamed.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ValidationError
from safetensors import safe_open
from tqdm import tqdm
from xxhash import xxh3_128

from harness_ext.errors import DataError, InputError
from harness_ext.methods.checkpoints.adapters import ADAPTER, WEIGHTS
from harness_ext.methods.checkpoints.read import (
    CONFIG,
    DTYPES,
    INDEX,
    TOKENS,
    Checkpoint,
    all_finite,
    natural_order,
    raw_bytes,
    read_json,
)
from harness_ext.methods.checkpoints.record import RECORD, Change, Record, write_record
from harness_ext.methods.checkpoints.tied import Untied
from harness_ext.methods.checkpoints.work_folder import WorkFolder, claimed, free_bytes, publish, write_whole

Edit = Callable[[str], Iterable[torch.Tensor] | None]
"""Name of a tensor → its new values, by rows in order (one piece may be the whole tensor), in any floating type; or
``None`` if it is copied from the base bit by bit."""

log = logging.getLogger(__name__)

SHARD_BYTES = 5 * 10**9
_PIECE = 2**16
"""Entries that are compared at a time: few enough for the processor's cache."""
_READ_BYTES = 2**20
_COPIED = (".json", ".jinja", ".model", ".txt", ".py", ".tiktoken")
"""Endings of what stands beside the weights and belongs to the model: configuration, tokenizer, templates, code."""
_TERMS = ("LICENSE", "NOTICE", "USE_POLICY")
_TEXTS = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken"),
    *("chat_template*", "generation_config.json"),
)
"""Files that say how a model reads and writes texts."""
_CODES = {dtype: code for code, dtype in DTYPES.items()}


def write_checkpoint(
    base: Checkpoint,
    out: str | Path,
    edit: Edit,
    record: Record,
    *,
    max_shard_bytes: int | None = None,
    tokenizer: Path | None = None,
    beside: Callable[[Path], None] | None = None,
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
        tokenizer: folder of a model whose tokenizer, chat template and special tokens are written instead.
        beside: writes more files into the folder, before it gets its name.

    Returns:
        ``out``.

    Raises:
        InputError: ``out`` exists, its disk is too small, an unfinished folder is of another run, or a new value has
            another shape than the base's or is NaN or Inf. The message names the tensor.
        DataError: what was written does not read back as it was written.
    """
    target = Path(out)
    check_out(base, target)
    shards = _plan(base, max_shard_bytes or SHARD_BYTES)
    with claimed(_unfinished(target), record.identity()) as work:
        earlier_seconds = work.seconds
        _write_shards(base, shards, edit, record, work)
        _verify(base, shards, work)
        _complete(base, shards, record, work, earlier_seconds, tokenizer or base.path)
        if beside is not None:
            beside(work.folder)
        publish(work.folder, target)
    return target


def check_out(base: Checkpoint | None, out: str | Path) -> None:
    """Refuse an output folder that cannot take a copy of ``base``, before any work is done.

    Raises:
        InputError: it holds something, is a file, or is on a disk with too little space.
    """
    target = Path(out)
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target} is not empty. Give another out, or delete it.")
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file that is there already. Give another out.")
    needed = sum(_size(base, name) for name in base.names) if base else 0
    free = free_bytes(_unfinished(target)) if base else 0
    if free < needed:
        raise InputError(
            f"{target.parent} has {free / 1e6:,.1f} MB of free space, but {needed / 1e6:,.1f} MB are needed. Free some "
            "space or give another out."
        )


def _unfinished(target: Path) -> Path:
    return target.with_name(target.name + ".unfinished")


class _Shard(NamedTuple):
    """A file of a checkpoint that is yet to be written."""

    file: str
    names: tuple[str, ...]
    bytes: int
    """Size of the tensors; the header comes on top."""


class _Written(BaseModel):
    """What the journal notes of a file that is written."""

    xxh3: str
    bytes: int
    changes: dict[str, Change]
    read: str | None = None
    """`Record.digest` of its tensors."""


def _written(work: WorkFolder, shard: _Shard) -> _Written | None:
    """The note on a file; ``None`` if it is not finished, or the journal is damaged."""
    try:
        return _Written.model_validate(work.finished(shard.file))
    except ValidationError:
        return None


def _size(checkpoint: Checkpoint, name: str) -> int:
    """Bytes of a tensor as it is stored."""
    size: int = checkpoint.dtype(name).itemsize
    return math.prod(checkpoint.shape(name)) * size


def _plan(checkpoint: Checkpoint, max_bytes: int) -> list[_Shard]:
    """Divide a checkpoint's tensors, in their order, into files of at most ``max_bytes`` (or of one tensor)."""
    groups: list[tuple[list[str], int]] = [([], 0)]
    for name in checkpoint.names:
        size = _size(checkpoint, name)
        if groups[-1][0] and groups[-1][1] + size > max_bytes:
            groups.append(([], 0))
        groups[-1] = ([*groups[-1][0], name], groups[-1][1] + size)
    return [
        _Shard(f"model-{number:05}-of-{len(groups):05}.safetensors", _aligned(checkpoint, names), size)
        for number, (names, size) in enumerate(groups, start=1)
    ]


def _aligned(checkpoint: Checkpoint, names: Sequence[str]) -> tuple[str, ...]:
    """Wider element types first: then every tensor starts at a multiple of its element's size."""
    return tuple(sorted(names, key=lambda name: (-checkpoint.dtype(name).itemsize, natural_order(name))))


def _write_shards(base: Checkpoint, shards: list[_Shard], edit: Edit, record: Record, work: WorkFolder) -> None:
    total = sum(shard.bytes for shard in shards)
    with tqdm(total=total, unit="B", unit_scale=True, desc="Writing", disable=None) as bar:
        for shard in shards:
            known, path = _written(work, shard), work.folder / shard.file
            if known and path.is_file() and path.stat().st_size == known.bytes:
                if record.digest(shard.names) != known.read:
                    work.refuse()
                bar.update(shard.bytes)
                continue
            changes: dict[str, Change] = {}
            part = path.with_name(f"{shard.file}.part")
            try:
                xxh3 = _write_shard(part, shard, base, _values(base, shard.names, edit, record, changes, bar))
            except InputError:  # it would be the same again: there is nothing to go on with
                shutil.rmtree(work.folder)
                raise
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(part)) from error
            part.rename(path)
            facts = {name: dataclasses.asdict(change) for name, change in changes.items()}
            read = record.digest(shard.names)
            work.finish(shard.file, {"xxh3": xxh3, "bytes": path.stat().st_size, "changes": facts, "read": read})


def _write_shard(path: Path, shard: _Shard, checkpoint: Checkpoint, values: Iterable[torch.Tensor]) -> str:
    """Write a file of tensors, whose values come in order and in pieces of any size, and return its XXH3 checksum.

    The format's own writer needs all of a file in memory.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in shard.names:
        end = offset + _size(checkpoint, name)
        header[name] = {
            "dtype": _CODES[checkpoint.dtype(name)],
            "shape": list(checkpoint.shape(name)),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = xxh3_128()
    with path.open("wb") as stream:
        pieces: Iterator[bytes | memoryview] = map(raw_bytes, values)
        for piece in itertools.chain([len(text).to_bytes(8, "little"), text], pieces):
            digest.update(piece)
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _values(
    base: Checkpoint, names: Iterable[str], edit: Edit, record: Record, changes: dict[str, Change], bar: tqdm[Any]
) -> Iterator[torch.Tensor]:
    """The values that a file holds, in order; ``changes`` is filled on the way."""
    for name in names:
        shape, dtype = base.shape(name), base.dtype(name)
        change = changes[name] = Change(changed=0, entries=math.prod(shape), norm=0.0)
        record.digest([name])
        new = edit(name) if dtype.is_floating_point else None
        for rows in base.pieces(name) if new is None else _edited(base, name, new, change):
            yield rows
            bar.update(rows.nbytes)
        change.facts = record.facts.get(name, {})


def _edited(base: Checkpoint, name: str, new: Iterable[torch.Tensor], change: Change) -> Iterator[torch.Tensor]:
    """New values, rounded to the base's type and compared with it."""
    shape, dtype = base.shape(name), base.dtype(name)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
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
            if not all_finite(ours):
                raise InputError(f"{name}: the new values hold NaN or Inf in {dtype}. Nothing was written.")
            difference = ours.to(wide).double().sub_(theirs.to(wide).double())
            change.changed += int(torch.count_nonzero(difference))
            squares += float(difference.dot(difference))
        yield rows
        done += count
    if done != total:
        raise InputError(f"{name}: {done} rows of new values came, but the base has {total}.")
    change.norm = math.sqrt(squares)


def _verify(base: Checkpoint, shards: list[_Shard], work: WorkFolder) -> None:
    """Read everything back: checksums as written, names, shapes and types as in the base."""
    for shard in tqdm(shards, desc="Verifying", unit="file", disable=None):
        path = work.folder / shard.file
        known = _written(work, shard)
        if known is None or _checksum(path) != known.xxh3:
            work.forget(shard.file)
            raise DataError(f"{path} does not read back as it was written. Check the disk and repeat the command.")
        with safe_open(path, framework="pt") as file:
            for name in shard.names:
                if tuple(file.get_slice(name).get_shape()) != base.shape(name):
                    raise DataError(f"{path}: {name} has another shape than in {base.path}.")


def _checksum(path: Path) -> str:
    """XXH3 of a file: it tells what a disk damaged, and takes a tenth of the time of SHA-256."""
    digest = xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _complete(
    base: Checkpoint, shards: list[_Shard], record: Record, work: WorkFolder, earlier_seconds: float, tokenizer: Path
) -> None:
    """Add what makes the folder a checkpoint, config.json last: without it nothing loads."""
    places = {name: shard.file for shard in shards for name in shard.names}
    index = {"metadata": {"total_size": sum(shard.bytes for shard in shards)}, "weight_map": places}
    (work.folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    written = [known for shard in shards if (known := _written(work, shard))]
    changes = {name: change for known in written for name, change in known.changes.items()}
    write_record(work.folder, record, changes, wall_seconds=earlier_seconds + time.monotonic() - record.began)
    for file in _beside_the_weights(tokenizer):
        if _of_texts(file):
            shutil.copyfile(file, work.folder / file.name)
    for file in _beside_the_weights(base.path):
        if not _of_texts(file) and file.name != CONFIG:
            shutil.copyfile(file, work.folder / file.name)
    _write_config(base, tokenizer, work.folder)


def _write_config(base: Checkpoint, tokenizer: Path, folder: Path) -> None:
    """Write config.json: byte for byte the base's unless weights were untied or another tokenizer has other tokens."""
    if not (base.path / CONFIG).is_file():
        return
    content = read_json(base.path / CONFIG)
    changed = {**content, **(base.config_changes if isinstance(base, Untied) else {})}
    if (tokenizer / CONFIG).is_file():
        theirs = read_json(tokenizer / CONFIG)
        changed |= {key: theirs.get(key) for key in TOKENS if theirs.get(key) != content.get(key)}
    if changed == content:
        shutil.copyfile(base.path / CONFIG, folder / CONFIG)
    else:
        (folder / CONFIG).write_text(json.dumps(changed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _beside_the_weights(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        belongs = file.name.endswith(_COPIED) or file.name.startswith(_TERMS)
        if not belongs or file.name.endswith(".index.json") or file.name in (RECORD, ADAPTER):
            continue
        if _leads_out(file):
            log.warning("%s is a link out of its folder: it is not copied.", file)
        elif file.is_file():
            yield file


def _leads_out(file: Path) -> bool:
    """Whether a link leads out of its folder; in a hub cache all files are links into the folder of blobs."""
    folder = file.parent.resolve()
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    return file.is_symlink() and not {folder, blobs} & {*file.resolve().parents}


def _of_texts(file: Path) -> bool:
    return any(fnmatch(file.name, pattern) for pattern in _TEXTS)


def write_adapter(
    source: Path,
    out: str | Path,
    replaced: Mapping[str, torch.Tensor],
    facts: Mapping[str, dict[str, Any]],
    record: Record,
    *,
    tokenizer: Path | None = None,
) -> Path:
    """Copy the adapter in ``source`` to the new folder ``out`` with some tensors replaced.

    Args:
        source: folder of an adapter.
        out: folder that does not exist yet, or is empty.
        replaced: name in the adapter → new values, which are rounded once to the stored type.
        facts: name in the adapter → what to note about it.
        record: goes to ``method.json``.
        tokenizer: folder of a model whose tokenizer, chat template and special tokens are written instead of those that
            lie beside the adapter.

    Raises:
        InputError: ``out`` is taken, the disk is full, or a new value is NaN or Inf.
    """
    began = time.monotonic()
    target = Path(out)
    check_out(None, target)
    changes: dict[str, Change] = {}
    tensors: dict[str, torch.Tensor] = {}
    with safe_open(source / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        for name in file.keys():  # noqa: SIM118 (the file is no mapping)
            old = file.get_tensor(name)
            new = tensors[name] = replaced[name].to(old.dtype).contiguous() if name in replaced else old
            if not all_finite(new):
                raise InputError(f"{name}: the new values hold NaN or Inf in {old.dtype}. Nothing was written.")
            changed = int((new != old).sum())
            norm = float((new.double() - old.double()).norm()) if changed else 0.0
            changes[name] = Change(changed, math.prod(old.shape), norm, facts.get(name, {}))
    with claimed(_unfinished(target), record.identity(), resumes=False) as work:
        write_whole(work.folder / WEIGHTS, tensors, metadata)
        write_record(work.folder, record, changes, wall_seconds=time.monotonic() - began)
        for path in _beside_the_weights(tokenizer) if tokenizer else ():
            if _of_texts(path):
                shutil.copyfile(path, work.folder / path.name)
        for path in sorted(source.iterdir(), key=lambda path: path.name == ADAPTER):  # without it nothing loads
            kept = path.name not in (WEIGHTS, RECORD) and not (tokenizer and _of_texts(path))
            if path.is_file() and kept and not _leads_out(path):
                shutil.copyfile(path, work.folder / path.name)
        publish(work.folder, target)
    return target
