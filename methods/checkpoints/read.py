"""Reads the tensors of a checkpoint one at a time or by rows, never the whole model.

A checkpoint is a folder of safetensors files, with an index if there are several, or a LoRA adapter that stands for
the model it is merged into (:mod:`harness_ext.methods.checkpoints.adapters`). Tensors are mapped from the files:
what is read is held by the system's file cache, not by this process.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from harness_ext import files
from harness_ext.errors import DataError, InputError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Names of element types in the safetensors format."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
CONFIG = "config.json"
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Settings in config.json that belong to the tokenizer."""
CHUNK_BYTES = 256 * 2**20
"""Size in float32 beyond which a tensor is worked on by rows."""

_READ_BYTES = 2**19
"""What is looked at twice at a time: small enough for the processor's cache."""
_EXPONENTS = {
    torch.bfloat16: (torch.int16, 0x7F80),
    torch.float16: (torch.int16, 0x7C00),
    torch.float32: (torch.int32, 0x7F800000),
    torch.float64: (torch.int64, 0x7FF0000000000000),
}
"""Integers of the same size, and which of their bits are the exponent: NaN and Inf have all of them."""
_CACHED = 2**16
"""Entries whose bits stay in the processor's cache while they are looked at."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Checkpoint(ABC):
    """Named tensors that are read one at a time."""

    path: Path
    names: tuple[str, ...]
    """Names of the stored tensors, in the order of :func:`natural_order`."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, from the file's header."""

    @abstractmethod
    def dtype(self, name: str) -> torch.dtype:
        """Element type of a tensor, from the file's header."""

    @abstractmethod
    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows ``start`` to ``stop`` of a tensor; a tensor without dimensions has one row. Do not write to them."""

    @abstractmethod
    def digest(self, name: str) -> str:
        """What tells a tensor's content from another one's; it is read for this once.

        Raises:
            InputError: it holds NaN or Inf.
        """

    @abstractmethod
    def sources(self) -> dict[str, str]:
        """What the tensors are read from: file name → what tells its content from another one's.

        Raises:
            InputError: a tensor holds NaN or Inf.
        """

    def tensor(self, name: str) -> torch.Tensor:
        """A whole tensor; do not write to it."""
        return self.rows(name, 0, (*self.shape(name), 1)[0])

    def pieces(self, name: str, chunk_bytes: int = CHUNK_BYTES) -> Iterator[torch.Tensor]:
        """A tensor by `row_ranges`; do not write to them."""
        for start, stop in row_ranges(self.shape(name), chunk_bytes):
            yield self.rows(name, start, stop)

    def delta(self, base: Checkpoint, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of what was added to the tensor ``name`` of ``base``, as new float32 values."""
        own = self.rows(name, start, stop).to(torch.float32, copy=True)
        return own.sub_(base.rows(name, start, stop))


class View(Checkpoint):
    """Tensors of checkpoints under other names.

    Args:
        origin: gives path and sources.
        places: name → the checkpoint that holds the tensor, and its name there.
    """

    def __init__(self, origin: Checkpoint, places: Mapping[str, tuple[Checkpoint, str]]) -> None:
        self.path, self._origin, self._places = origin.path, origin, places
        self.names = tuple(sorted(places, key=natural_order))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        holder, own = self._places[name]
        return holder.shape(own)

    def dtype(self, name: str) -> torch.dtype:
        """Element type of a tensor."""
        holder, own = self._places[name]
        return holder.dtype(own)

    def tensor(self, name: str) -> torch.Tensor:
        """A whole tensor; do not write to it."""
        holder, own = self._places[name]
        return holder.tensor(own)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of a tensor."""
        holder, own = self._places[name]
        return holder.rows(own, start, stop)

    def digest(self, name: str) -> str:
        """That of the tensor behind it."""
        holder, own = self._places[name]
        return holder.digest(own)

    def sources(self) -> dict[str, str]:
        """Those of the checkpoint behind it."""
        return self._origin.sources()


def natural_order(name: str) -> tuple[tuple[bool, int, str], ...]:
    """A key that sorts names as people count: layer 2 stands before layer 10.

    >>> sorted(["layers.10.w", "layers.2.w", "embed.w"], key=natural_order)
    ['embed.w', 'layers.2.w', 'layers.10.w']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part)


def row_ranges(shape: tuple[int, ...], chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, int]]:
    """Ranges of rows that take at most ``chunk_bytes`` in float32 each (at least one row); an empty tensor has none.

    >>> list(row_ranges((5, 100), chunk_bytes=800))
    [(0, 2), (2, 4), (4, 5)]
    >>> list(row_ranges((), chunk_bytes=800))
    [(0, 1)]
    """
    if not math.prod(shape):
        return
    rows = shape[0] if shape else 1
    step = max(1, chunk_bytes // (4 * math.prod(shape[1:])))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


class Folder(Checkpoint):
    """A folder of safetensors files.

    Raises:
        InputError: it is no such folder, holds pickles only or quantised weights, or its index and its files disagree.
        DataError: a file is broken.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._files: dict[str, Any] = {}
        self._mapped: tuple[str, torch.Tensor] | None = None
        self._digests: dict[str, str] = {}
        self._place = self._places()
        self.names = tuple(sorted(self._place, key=natural_order))
        if "quantization_config" in self.config:
            raise InputError(
                f"{self.path}: the weights are quantised (config.json has quantization_config), and there is no "
                "arithmetic on them. Give the unquantised checkpoint."
            )

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json; empty without one."""
        file = self.path / CONFIG
        return read_json(file) if file.is_file() else {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, from the file's header."""
        return tuple(self._slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        """Element type of a tensor, from the file's header."""
        kind = self._slice(name).get_dtype()
        if kind not in DTYPES:
            raise InputError(f"{self.path}: {name} has element type {kind}, which is not supported. Convert it first.")
        return DTYPES[kind]

    def tensor(self, name: str) -> torch.Tensor:
        """A whole tensor as it is stored, mapped from the file; do not write to it."""
        if self._mapped is None or self._mapped[0] != name:
            self._mapped = name, self._file(name).get_tensor(name)
        return self._mapped[1]

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows ``start`` to ``stop`` of a tensor; a tensor without dimensions has one row."""
        whole = self.tensor(name)
        return whole[start:stop] if whole.ndim else whole

    def digest(self, name: str) -> str:
        """SHA-256 of a tensor's type, shape and values."""
        if name not in self._digests:
            digest = hashlib.sha256(f"{self.dtype(name)}\0{self.shape(name)}\0".encode())
            for rows in self.pieces(name, _READ_BYTES):
                digest.update(raw_bytes(rows))
                if not all_finite(rows):
                    raise InputError(f"{name} of {self.path} holds NaN or Inf. Nothing can be computed from it.")
            self._digests[name] = digest.hexdigest()
        return self._digests[name]

    def sources(self) -> dict[str, str]:
        """SHA-256 of the digests of all tensors, whatever files they stand in and in whatever order they are read."""
        left = [name for name in self.names if name not in self._digests]
        for name in tqdm(left, desc=f"Reading {self.path}", unit="tensor", disable=None if left else True):
            self.digest(name)
        lines = "".join(f"{name}\0{self.digest(name)}\n" for name in self.names)
        return {"weights": hashlib.sha256(lines.encode()).hexdigest()}

    def _places(self) -> dict[str, str]:
        """Which file each tensor is in."""
        if not os.path.isdir(self.path):  # noqa: PTH112 - Path raises where a name is too long
            raise InputError(f"{self.path} is no folder with a checkpoint.")
        if (self.path / SINGLE).is_file():  # as transformers: an index beside it is of an earlier save
            return dict.fromkeys(self._open(SINGLE).keys(), SINGLE)
        if (self.path / INDEX).is_file():
            return self._indexed(self.path / INDEX)
        if any(True for pattern in _PICKLES for _ in self.path.glob(pattern)):
            raise InputError(
                f"{self.path} holds pickled weights, which can run code when they are read. Convert them where you "
                "trust them: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)."
            )
        raise InputError(f"{self.path} holds neither {SINGLE} nor {INDEX}: it is no checkpoint that can be read.")

    def _indexed(self, index: Path) -> dict[str, str]:
        """As transformers: all tensors of the files that an index names, whether it names them or not."""
        places = read_as(_Index, index).weight_map
        found: dict[str, str] = {}
        for file in sorted(set(places.values())):
            if Path(file).name != file or file == ".." or "\\" in file:
                raise DataError(f"{index} names {file}, which is no plain file name. Fetch the checkpoint again.")
            if not files.is_file(self.path / file):
                raise DataError(f"{self.path}: {file} is missing, which {INDEX} names. Fetch the checkpoint again.")
            held = set(self._open(file).keys())
            if lost := sorted(name for name, place in places.items() if place == file and name not in held):
                raise DataError(f"{self.path}: {lost[0]} is not in {file}, where {INDEX} places it.")
            found |= dict.fromkeys(held, file)
        return found

    def _open(self, file: str) -> Any:
        if file not in self._files:
            try:
                self._files[file] = safe_open(self.path / file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise DataError(f"{self.path / file} is broken ({error}). Fetch or save it again.") from error
        return self._files[file]

    def _file(self, name: str) -> Any:
        if name not in self._place:
            raise InputError(f"{self.path}: there is no tensor {name}.")
        return self._open(self._place[name])

    def _slice(self, name: str) -> Any:
        return self._file(name).get_slice(name)


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether no entry is NaN or Inf: ``torch.isfinite(tensor).all()``, in a tenth of its time.

    >>> all_finite(torch.tensor([1.0, -3e38])), all_finite(torch.tensor([1.0, -math.inf]))
    (True, False)
    """
    if tensor.dtype not in _EXPONENTS:
        return bool(torch.isfinite(tensor.float()).all())  # torch has no answer for some types of 8 bits
    integer, exponent = _EXPONENTS[tensor.dtype]
    pieces = tensor.flatten().view(integer).split(_CACHED) if tensor.numel() else ()
    return all(int((piece & exponent).amax()) != exponent for piece in pieces)


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor as they are stored in a file."""
    return memoryview(tensor.contiguous().flatten().view(torch.uint8).numpy())


class _Index(BaseModel):
    """Which file each tensor is in."""

    weight_map: dict[str, str] = Field(min_length=1)


Form = TypeVar("Form", bound=BaseModel)


def read_as(form: type[Form], file: Path) -> Form:
    """The object in a JSON file of a known form.

    Raises:
        DataError: it holds something else.
    """
    try:
        return form.model_validate(read_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{file}: {place}: {first['msg'].lower()}. Fetch or save it again.") from None


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: it holds something else.
    """
    try:
        content = files.read_json(file)
    except files.FileError as error:
        raise DataError(f"{file} cannot be read ({error}). Fetch or save it again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object. Fetch or save it again.")
    return content
