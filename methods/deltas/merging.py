"""What the methods on task vectors share: their settings, and a merge that holds a few rows at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.compatibility import Fit, apart, differences, tokenizer_of
from harness_ext.methods.checkpoints.read import CHUNK_BYTES, Checkpoint, View, row_ranges
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.write import check_out, write_checkpoint
from harness_ext.methods.deltas import dare, keep_mask
from harness_ext.methods.settings import Count, Finite, settings

_ARRAYS = 6
"""Float32 arrays of a chunk's size that a merge holds beside one array a model."""
_CACHED_BYTES = 2**18
"""Size in float32 of rows that stay in the processor's cache while they are worked on."""


@settings
class Inputs(Fit):
    """What every method on task vectors is told."""

    base: str
    """Folder of the checkpoint that the others were made from; names, element types, configuration and tokenizer of
    the output are its own."""
    out: str
    """Folder to write, new or empty."""
    missing: Literal["error", "base"] = "error"
    """What to do about tensors that not every model has: refuse, or take the base's. Ours."""
    max_in_flight_bytes: Count = CHUNK_BYTES
    """Memory for the rows of all models that are worked on together. Ours; does not change the result."""


@settings
class WeightedInputs(Inputs):
    """A weighted combination of models."""

    models: tuple[str, ...]
    """Folders of the models that are merged, each made from the base: checkpoints or LoRA adapters."""
    weights: tuple[Finite, ...]
    """One factor a model. Whoever publishes a merge chose them by validation: there is no default."""
    weights_by_name: dict[str, tuple[Finite, ...]] | None = None
    """Other factors for some tensors: numbers of layers (``8-15``) or a pattern of names (``*.mlp.*``), and one factor
    a model; the first entry that fits a tensor decides. Ours."""

    def __post_init__(self) -> None:
        """Refuse settings that no merge can have."""
        for weights in (self.weights, *(self.weights_by_name or {}).values()):
            if not self.models or len(self.models) != len(weights):
                raise InputError(f"there are {len(self.models)} models and {len(weights)} weights. Give one each.")

    def by_role(self) -> dict[str, str]:
        """Role → folder of each model."""
        return {f"models[{number}]": model for number, model in enumerate(self.models)}

    def weights_of(self, name: str) -> tuple[float, ...]:
        """One factor a model, for a tensor."""
        for pattern, weights in (self.weights_by_name or {}).items():
            if _fits(pattern, name):
                return weights
        return self.weights


def _fits(pattern: str, name: str) -> bool:
    """Whether a tensor is meant: its layer is one of ``first-last``, or its name fits a pattern of the shell.

    >>> _fits("2-10", "model.layers.9.mlp.up_proj.weight"), _fits("*.mlp.*", "model.layers.9.self_attn.q_proj.weight")
    (True, False)
    """
    layers = re.fullmatch(r"(\d+)(?:-(\d+))?", pattern)
    if not layers:
        return fnmatchcase(name, pattern)
    number = next((int(part) for part in name.split(".") if part.isdecimal()), -1)
    return int(layers[1]) <= number <= int(layers[2] or layers[1])


class Delta:
    """The task vector of one model at one tensor, by rows; can be iterated again and again."""

    def __init__(self, model: Checkpoint, base: Checkpoint, name: str, chunk_bytes: int) -> None:
        self._model, self._base, self.name = model, base, name
        self.entries = math.prod(base.shape(name))
        self.ranges = list(row_ranges(base.shape(name), chunk_bytes))

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Pieces in float32, each a new array."""
        for start, stop in self.ranges:
            yield self._model.delta(self._base, self.name, start, stop)

    def base_rows(self) -> Iterator[torch.Tensor]:
        """The base in the same pieces; do not write to them."""
        for start, stop in self.ranges:
            yield self._base.rows(self.name, start, stop)

    def whole_rows(self) -> Iterator[torch.Tensor]:
        """The pieces again, but a tensor with one dimension, which is one row, in one piece."""
        if len(self._base.shape(self.name)) == 1 and self.ranges:
            yield torch.cat(list(self))
        else:
            yield from self


class _InFloat32(View):
    """A checkpoint whose rows are handed out in float32 (float64 stays); the last ones are kept, which all models need.

    Do not write to them.
    """

    _kept: tuple[tuple[str, int, int], torch.Tensor] | None = None

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of a tensor."""
        place = name, start, stop
        if self._kept is None or self._kept[0] != place:
            stored = super().rows(*place)
            self._kept = place, stored if stored.dtype == torch.float64 else stored.float()
        return self._kept[1]


class Merge:
    """The checkpoints of a merge, checked and open."""

    def __init__(self, method: str, config: Inputs, models: Mapping[str, str], *, by_tensor: bool = True) -> None:
        """Open and compare everything.

        Args:
            method: name for ``method.json``.
            config: settings of the method.
            models: role → folder, in the order in which their deltas are wanted.
            by_tensor: see `Record`.

        Raises:
            InputError: the models do not fit the base, hold NaN or Inf, or the output cannot be written.
            DataError: a file is broken.
        """
        self._config = config
        self._chunk_bytes = min(config.max_in_flight_bytes // (len(models) + _ARRAYS), _CACHED_BYTES)
        self.base = apart(open_checkpoint(config.base), models.values())
        check_out(self.base, config.out)
        self.models = [
            config.matched(open_checkpoint(path, self.base), self.base, config.missing) for path in models.values()
        ]
        for pattern in getattr(config, "weights_by_name", None) or ():
            if not any(_fits(pattern, name) for name in self.names()):
                raise InputError(f"weights_by_name has {pattern}, which fits no tensor of {self.base.path}.")
        checkpoints = {"base": self.base, **dict(zip(models, self.models, strict=True))}
        self._tokenizer = tokenizer_of(config, checkpoints)
        self._wide = _InFloat32(self.base, {name: (self.base, name) for name in self.base.names})
        self._record = Record(method, config, checkpoints, by_tensor=by_tensor)
        self._record.notes |= differences(checkpoints, self.base)

    def names(self) -> list[str]:
        """Tensors that are merged: those with floating-point values."""
        return [name for name in self.base.names if self.base.dtype(name).is_floating_point]

    def deltas(self, name: str) -> list[Delta]:
        """The task vectors of all models at one tensor."""
        return [Delta(model, self._wide, name, self._chunk_bytes) for model in self.models]

    def write(self, change: Callable[[str, list[Delta]], Iterable[torch.Tensor]], scale: float = 1.0) -> Path:
        """Write the base plus ``scale`` times a change that is given by tensor, and return the output folder.

        Args:
            change: name and deltas of a tensor → the change, in pieces of whole rows.
            scale: factor of the whole change.
        """

        def edit(name: str) -> Iterator[torch.Tensor]:
            start, rows = 0, (*self.base.shape(name), 1)[0]
            for piece in change(name, self.deltas(name)):
                stop = start + (len(piece) if piece.ndim else rows)
                yield (piece.mul_(scale) if scale != 1 else piece).add_(self._wide.rows(name, start, stop))
                start = stop

        return write_checkpoint(self.base, self._config.out, edit, self._record, tokenizer=self._tokenizer)


def masked(deltas: Iterable[torch.Tensor], name: str, seed: int, drop: float, rescale: bool) -> Iterator[torch.Tensor]:
    """Drop random entries of a tensor's delta, whatever pieces it comes in (DARE)."""
    start = 0
    for piece in deltas:
        keep = keep_mask(seed, name, start, start + piece.numel(), drop)
        yield dare(piece, keep.view(piece.shape), drop, rescale)
        start += piece.numel()
