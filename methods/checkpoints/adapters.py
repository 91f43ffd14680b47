"""A LoRA adapter read as the model that it makes of its base, without the adapter library and without the model.

The change of a weight is ``scale · B·A``; it exists only for the rows that are asked for. It is summed rank by rank:
a matrix product's last bits depend on how many rows it is given, and a merge must not.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open

from harness_ext.errors import DataError, InputError
from harness_ext.files import is_file, sha256_of
from harness_ext.methods.checkpoints.read import CONFIG, Checkpoint, Folder, all_finite, read_as, read_json
from harness_ext.methods.checkpoints.tied import Untied, tied_weights

ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_OTHER_KINDS = (
    "use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "megatron_config", "arrow_config",
    "kasa_config", "monteclora_config", "alora_invocation_tokens", "trainable_token_indices", "target_parameters",
)  # fmt: skip
"""Settings of adapters whose change is not ``scale · B·A`` of the weights that are stored."""
_CHANGE_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Ways to start the training that change the base's weights as well."""
_CONV1D = ("clvp", "clvp_decoder", "decision_transformer", "gpt2", "imagegpt", "openai-gpt")
"""Models whose layers have transposed linears. Their adapters say so in a setting for all modules, in which peft notes
the kind of the last module only."""
_LONGEST_PATTERN = 500
_MERGE_IT = "Merge the adapter with peft's merge_and_unload() and give the merged model."


class _Settings(BaseModel):
    """What an adapter says of itself, as far as it is used here."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    peft_type: str | None = None
    base_model_name_or_path: str | None = None
    lora_alpha: float = 8
    alpha_pattern: dict[str, float] | None = None
    use_rslora: bool | None = False
    fan_in_fan_out: bool | None = False


class _Product(NamedTuple):
    """A change ``scale · left · right`` of a two-dimensional weight."""

    left: torch.Tensor
    """Shape (rows of the weight, rank)."""
    right: torch.Tensor
    """Shape (rank, columns of the weight)."""
    scale: float

    def rows(self, start: int, stop: int) -> torch.Tensor:
        left = self.left[start:stop].float()
        total = torch.zeros(stop - start, self.right.shape[1])
        term = torch.empty_like(total)
        for rank, right in enumerate(self.right.float()):
            torch.mul(left[:, rank : rank + 1], right, out=term)
            total += term
        return total.mul_(self.scale)


class MergedAdapter(Checkpoint):
    """The model that a LoRA adapter makes of ``base``.

    Supported: linear layers, transposed linear layers (``fan_in_fan_out``) and embeddings; rank-stabilised scaling,
    patterns of rank and alpha, trained biases, modules that are saved whole. Refused: any other kind of adapter, and
    one that changes one side of tied weights, unless the base is `Untied`.

    Raises:
        InputError: the adapter is of another kind, a tensor of it fits no tensor of the base, or it breaks a tie.
        DataError: a file is broken.
    """

    def __init__(self, path: str | Path, base: Checkpoint) -> None:
        self.path = Path(path)
        self.base = base
        self.names = base.names
        self.settings = read_as(_Settings, self.path / ADAPTER).model_dump()
        self._refuse_other_kinds()
        self._weights = _opened(self.path)
        for head, embeddings in broken_ties(self.path, base).items():
            raise InputError(
                f"{self.path}: it changes {head} or {embeddings}, which are one tensor in {base.path}: the model that "
                "it makes has to store two. Let task_arithmetic write that model (weights: [1.0]) and give it."
            )
        self._products: dict[str, _Product] = {}
        self._whole: dict[str, str] = {}
        """Tensors that the adapter replaces: name in the base → name in the adapter."""
        self.transposed: set[str] = set()
        """Adapted weights that are stored as (columns, rows)."""
        self.places: dict[str, str] = {}
        """Adapted linear weights: name in the base → name of the factor B in the adapter."""
        self._keys = frozenset(self._weights.keys())
        for key in sorted(self._keys):
            self._place(key)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the base's tensor."""
        return self.base.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """Element type of the base's tensor."""
        return self.base.dtype(name)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of a merged tensor; in float32 if the adapter changes it."""
        rows = self.base.rows(name, start, stop)
        if name in self._whole:
            rows = self._whole_rows(name, start, stop)
        return self._products[name].rows(start, stop).add_(rows) if name in self._products else rows

    def delta(self, base: Checkpoint, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of the change, in float32: the adapter's own, without the rounding of adding and subtracting."""
        if base.path != self.base.path:  # as a model, it differs from another base by more than its own change
            return super().delta(base, name, start, stop)
        rows = self.base.rows(name, start, stop)
        change = self._products[name].rows(start, stop) if name in self._products else torch.zeros(rows.shape)
        return change.add_(self._whole_rows(name, start, stop).sub_(rows)) if name in self._whole else change

    def digest(self, name: str) -> str:
        """That of the whole adapter, whose tensors were looked at when it was opened; the base has its own."""
        return "".join(self.sources().values())

    def sources(self) -> dict[str, str]:
        """SHA-256 of the adapter's weights and of its settings."""
        return dict(self._sources)

    @cached_property
    def _sources(self) -> dict[str, str]:
        return {name: sha256_of(self.path / name) for name in (WEIGHTS, ADAPTER)}

    def factors(self, name: str) -> tuple[torch.Tensor, torch.Tensor, float] | None:
        """(left, right, scale) of the change of a tensor, ``scale · left · right``; ``None`` if there is no such."""
        product = self._products.get(name)
        return None if product is None else (product.left, product.right, product.scale)

    def _whole_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        return self._weights.get_slice(self._whole[name])[start:stop].to(torch.float32, copy=True)

    def _refuse_other_kinds(self) -> None:
        kind = self.settings.get("peft_type")
        if kind != "LORA":
            raise InputError(f"{self.path}: an adapter of kind {kind} cannot be merged here, only LoRA.")
        start = str(self.settings.get("init_lora_weights")).lower()
        others = [setting for setting in _OTHER_KINDS if self.settings.get(setting)]
        if start.startswith(_CHANGE_THE_BASE):
            others.append("init_lora_weights")
        if others:
            raise InputError(f"{self.path}: {others[0]} in {ADAPTER} is not supported. {_MERGE_IT}")

    def _place(self, key: str) -> None:
        """Find what a tensor of the adapter changes."""
        path = _path(key)
        for a, b in ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B")):
            for own, other in ((a, b), (b, a)):
                if path.endswith(own) and key.removesuffix(own) + other not in self._keys:
                    raise DataError(f"{self.path}: {key} has no other factor beside it. Save the adapter again.")
            if path.endswith(b):
                return
            if path.endswith(a):
                module = path.removesuffix(a)
                name = self._name_in_base(f"{module}.weight")
                self._products[name] = self._product(name, module, key, key.removesuffix(a) + b)
                if b.endswith(".weight"):
                    self.places[name] = key.removesuffix(a) + b
                return
        if "lora_" in path:
            raise InputError(f"{self.path}: {key} is a part of LoRA that is not supported. {_MERGE_IT}")
        name = self._name_in_base(path)
        shape = tuple(self._weights.get_slice(key).get_shape())
        if shape != self.base.shape(name):
            raise InputError(
                f"{self.path}: {key} has shape {shape}, but {name} of {self.base.path} has {self.base.shape(name)}."
            )
        _refuse_non_finite(self._weights.get_tensor(key), f"{self.path}: {key}")
        self._whole[name] = key
        if ".base_layer." in key and isinstance(self.base, Untied):  # peft loads it into the one tensor that there is
            for other in {self.base.head, self.base.embeddings} - {name}:
                self._whole.setdefault(other, key)

    def _product(self, name: str, module: str, key_a: str, key_b: str) -> _Product:
        a, b = self._weights.get_tensor(key_a), self._weights.get_tensor(key_b)
        shape = self.base.shape(name)
        if a.ndim != 2 or b.ndim != 2 or len(shape) != 2:
            raise InputError(f"{self.path}: {key_a} adapts no linear layer and no embedding. {_MERGE_IT}")
        if "lora_embedding" not in key_a and self._is_transposed(shape, (len(b), a.shape[1])):
            self.transposed.add(name)
        left, right = (a.T, b.T) if name in self.transposed or "lora_embedding" in key_a else (b, a)
        if left.shape[1] != right.shape[0] or (left.shape[0], right.shape[1]) != shape:
            raise InputError(
                f"{self.path}: {key_a} {tuple(a.shape)} and B {tuple(b.shape)} do not make the shape {shape} of {name} "
                f"in {self.base.path}. Is the adapter for another base?"
            )
        for factor, key in ((a, key_a), (b, key_b)):
            _refuse_non_finite(factor, f"{self.path}: {key}")
        return _Product(left, right, self._scale(module, left.shape[1]))

    def _is_transposed(self, shape: tuple[int, ...], product: tuple[int, int]) -> bool:
        """Whether a weight is stored as (inputs, outputs); only for a square one do the shapes not tell."""
        config = self.base.path / CONFIG
        kind = read_json(config).get("model_type") if config.is_file() else None
        if kind not in _CONV1D and not self.settings.get("fan_in_fan_out"):
            return False
        if shape == product == product[::-1]:
            return kind is None or kind in _CONV1D
        return shape == product[::-1]

    def _scale(self, module: str, rank: int) -> float:
        alpha = self._of_pattern("alpha_pattern", module, self.settings["lora_alpha"])
        return alpha / (math.sqrt(rank) if self.settings.get("use_rslora") else rank)

    def _of_pattern(self, setting: str, module: str, otherwise: float) -> float:
        """The value for a module in a pattern, whose keys are regular expressions of the ends of module names."""
        for key, value in (self.settings[setting] or {}).items():
            if len(key) > _LONGEST_PATTERN or re.search(r"\)[*+{]", key):  # could be tried for hours
                raise InputError(f"{self.path}: a key of {setting} in {ADAPTER} repeats a group. {_MERGE_IT}")
            try:
                if re.match(rf"(.*\.)?({key})$", module):
                    return float(value)
            except re.error as error:
                raise DataError(f"{self.path}: {setting} in {ADAPTER} is broken ({error}). Save it again.") from None
        return otherwise

    def _name_in_base(self, path: str) -> str:
        """A base may store its tensors without the prefix of the model's class, or with it."""
        if path in self.base.names:
            return path
        fitting = [name for name in self.base.names if path.endswith(f".{name}") or name.endswith(f".{path}")]
        if len(fitting) != 1:
            raise InputError(
                f"{self.path}: {path} is {'ambiguous' if fitting else 'not'} in {self.base.path}. Is the adapter for "
                "another base?"
            )
        return fitting[0]


def broken_ties(folder: Path, base: Checkpoint) -> dict[str, str]:
    """Tied weights of a base of which an adapter in ``folder`` changes one side by itself; see `tied_weights`."""
    paths = {re.sub(r"\.(lora_\w+(\.weight)?|weight|bias)$", "", _path(key)) for key in _opened(folder).keys()}  # noqa: SIM118
    outside = {f"{path}.weight" for path in paths if not re.search(r"\.\d+\.", path)}
    if not outside or isinstance(base, Untied):
        return {}
    return {
        name: other
        for name, other in tied_weights(base).items()
        if any(path == one or path.endswith(f".{one}") for path in outside for one in (name, other))
    }


def _path(key: str) -> str:
    return key.removeprefix(_PREFIX).replace(".base_layer.", ".")


def open_checkpoint(path: str | Path, base: Checkpoint | None = None) -> Checkpoint:
    """Open a model's folder, or a LoRA adapter's as the model that it makes of ``base``.

    Raises:
        InputError: the folder holds nothing that can be read, or an adapter comes without ``base``.
        DataError: a file is broken.
    """
    if not is_adapter(path):
        return Folder(path)
    if base is None:
        raise InputError(f"{path} is an adapter; a model's checkpoint is needed here. Merge it first.")
    return MergedAdapter(path, base)


def is_adapter(path: str | Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return is_file(Path(path) / ADAPTER) and not is_file(Path(path) / CONFIG)


def _opened(folder: Path) -> Any:
    file = folder / WEIGHTS
    if not file.is_file():
        raise InputError(f"{folder} holds no {WEIGHTS} (pickled adapters are not read). Save the adapter again.")
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{file} cannot be read ({error}). Save the adapter again.") from error


def _refuse_non_finite(tensor: torch.Tensor, what: str) -> None:
    if not all_finite(tensor):
        raise InputError(f"{what} holds NaN or Inf. Nothing can be computed from it.")
