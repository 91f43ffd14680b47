"""Writes safetensors files: tensor by tensor, or whole with the format's own writer, which needs all in memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from harness_ext.methods.checkpoints.read import DTYPES, Checkpoint, natural_order, raw_bytes

_CODES = {dtype: code for code, dtype in DTYPES.items()}


class Shard(NamedTuple):
    """A file of a checkpoint that is yet to be written."""

    file: str
    names: tuple[str, ...]
    bytes: int
    """Size of the tensors; the header comes on top."""


def size_of(checkpoint: Checkpoint, name: str) -> int:
    """Bytes of a tensor as it is stored."""
    size: int = checkpoint.dtype(name).itemsize
    return math.prod(checkpoint.shape(name)) * size


def plan_shards(checkpoint: Checkpoint, max_bytes: int) -> list[Shard]:
    """Divide a checkpoint's tensors, in their order, into files of at most ``max_bytes`` (or of one tensor)."""
    groups: list[tuple[list[str], int]] = [([], 0)]
    for name in checkpoint.names:
        size = size_of(checkpoint, name)
        if groups[-1][0] and groups[-1][1] + size > max_bytes:
            groups.append(([], 0))
        groups[-1] = ([*groups[-1][0], name], groups[-1][1] + size)
    return [
        Shard(f"model-{number:05}-of-{len(groups):05}.safetensors", _aligned(checkpoint, names), size)
        for number, (names, size) in enumerate(groups, start=1)
    ]


def write_shard(path: Path, shard: Shard, checkpoint: Checkpoint, values: Iterable[torch.Tensor]) -> str:
    """Write a file of tensors with the shapes and element types of ``checkpoint`` and return its SHA-256.

    Args:
        path: file to write.
        shard: which tensors, in the order of the file.
        checkpoint: where the header's shapes and element types are from.
        values: the tensors' values, in the same order, in pieces of any size.

    Raises:
        OSError: the file cannot be written.
    """
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for piece in _with_header(shard, checkpoint, values):
            digest.update(piece)
            stream.write(piece)
        stream.flush()
        sync(stream.fileno())
    return digest.hexdigest()


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


def sync(descriptor: int) -> None:
    """Have the system put a file's content on the disk: a full disk is reported here at the latest."""
    os.fsync(descriptor)


def _with_header(shard: Shard, checkpoint: Checkpoint, values: Iterable[torch.Tensor]) -> Iterator[bytes | memoryview]:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in shard.names:
        end = offset + size_of(checkpoint, name)
        header[name] = {
            "dtype": _CODES[checkpoint.dtype(name)],
            "shape": list(checkpoint.shape(name)),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for value in values:
        yield raw_bytes(value)


def _aligned(checkpoint: Checkpoint, names: Sequence[str]) -> tuple[str, ...]:
    """Wider element types first: then every tensor starts at a multiple of its element's size."""
    return tuple(sorted(names, key=lambda name: (-checkpoint.dtype(name).itemsize, natural_order(name))))
