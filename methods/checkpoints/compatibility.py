"""Do two checkpoints hold the same model, so that their difference means something?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import MergedAdapter
from harness_ext.methods.checkpoints.read import Checkpoint, read_json, row_ranges

_ARCHITECTURE = ("model_type", "architectures", "num_attention_heads", "num_key_value_heads", "head_dim")
"""Settings in config.json with which the same weights are another model."""


def matched(
    model: Checkpoint,
    base: Checkpoint,
    *,
    missing: Literal["error", "base"] = "error",
    dtypes: Literal["same", "any"] = "same",
) -> Checkpoint:
    """``model`` under the names of ``base``, or a refusal that names what differs.

    The stored names of the base decide. A tied weight that only one of the two stores beside its twin is found by its
    twin's values.

    Args:
        model: what is compared with ``base``; an adapter fits the base it was opened with.
        base: what it is compared with.
        missing: ``"base"`` takes the base's tensor where the model has none, and ignores tensors that only the model
            has.
        dtypes: ``"any"`` accepts another floating type than the base's.

    Raises:
        InputError: architectures, tokenizers, names, shapes or element types differ.
    """
    _compare_architectures(model.path, base.path)
    _compare_tokenizers(model.path, base.path)
    if isinstance(model, MergedAdapter):
        return model
    found = {name: name for name in base.names if name in set(model.names)}
    lost = [name for name in base.names if name not in found]
    for name in lost:
        twin = next((other for other in found if _equal(base, name, other)), None)
        if twin is not None and found[twin] == twin:
            found[name] = twin
        elif missing == "error":
            raise InputError(
                f"{name} of {base.path} is not in {model.path}. Give a model of the same architecture, or set "
                "missing=base to take the base's."
            )
    if missing == "error":
        for name in set(model.names) - set(base.names):
            if not any(_equal(model, name, other) for other in found.values() if other != name):
                raise InputError(
                    f"{name} of {model.path} is not in {base.path}. Give a model of the same architecture, or set "
                    "missing=base to leave it out."
                )
    for name, source in found.items():
        _compare_tensors(model, source, base, name, dtypes)
    return _Matched(model, base, found)


class _Matched:
    """A checkpoint under the names of another one."""

    def __init__(self, model: Checkpoint, base: Checkpoint, found: dict[str, str]) -> None:
        self.path, self.names = model.path, base.names
        self._model, self._base, self._found = model, base, found

    def shape(self, name: str) -> tuple[int, ...]:
        return self._base.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        holder, own = self._holder(name)
        return holder.dtype(own)

    def tensor(self, name: str) -> torch.Tensor:
        holder, own = self._holder(name)
        return holder.tensor(own)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        holder, own = self._holder(name)
        return holder.rows(own, start, stop)

    def delta(self, base: Checkpoint, name: str, start: int, stop: int) -> torch.Tensor:
        return self.rows(name, start, stop).to(torch.float32, copy=True).sub_(base.rows(name, start, stop))

    def sources(self) -> dict[str, str]:
        return self._model.sources()

    def _holder(self, name: str) -> tuple[Checkpoint, str]:
        return (self._model, self._found[name]) if name in self._found else (self._base, name)


def _compare_tensors(model: Checkpoint, source: str, base: Checkpoint, name: str, dtypes: str) -> None:
    ours, theirs = model.shape(source), base.shape(name)
    if ours != theirs:
        raise InputError(f"{name} has shape {ours} in {model.path}, but {theirs} in {base.path}.")
    own, expected = model.dtype(source), base.dtype(name)
    floating = own.is_floating_point and expected.is_floating_point
    if own != expected and not (floating and dtypes == "any"):
        way_out = " Set dtypes=any to compute with both in float32." if floating else ""
        raise InputError(f"{name} is {own} in {model.path}, but {expected} in {base.path}.{way_out}")


def _compare_architectures(model: Path, base: Path) -> None:
    files = model / "config.json", base / "config.json"
    if not all(file.is_file() for file in files):
        return
    ours, theirs = map(read_json, files)
    for key in _ARCHITECTURE:
        if key in ours and key in theirs and ours[key] != theirs[key]:
            raise InputError(
                f"{model} is another architecture than {base}: {key} is {ours[key]}, not {theirs[key]}, in config.json."
            )


def _compare_tokenizers(model: Path, base: Path) -> None:
    """Additions are fine; a token with two numbers, or a number with two tokens, is not."""
    ours, theirs = _vocabulary(model), _vocabulary(base)
    tokens = {number: token for token, number in theirs.items()}
    for token, number in ours.items():
        if theirs.get(token, number) != number or tokens.get(number, token) != token:
            raise InputError(
                f"the tokenizers of {model} and {base} differ: {token!r} has number {number} in the first. The same "
                "rows of their embeddings mean different tokens."
            )


def _vocabulary(folder: Path) -> dict[str, int]:
    """Token → number, from tokenizer.json; empty without one."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return {}
    content = read_json(file)
    vocabulary: Any = (content.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # unigram: pairs of token and score
        vocabulary = {pair[0]: number for number, pair in enumerate(vocabulary)}
    return {**vocabulary, **{token["content"]: token["id"] for token in content.get("added_tokens") or []}}


def _equal(checkpoint: Checkpoint, one: str, other: str) -> bool:
    """Do two tensors of a checkpoint hold the same values? Read by rows, up to the first difference."""
    if checkpoint.shape(one) != checkpoint.shape(other) or checkpoint.dtype(one) != checkpoint.dtype(other):
        return False
    pieces = row_ranges(checkpoint.shape(one), chunk_bytes=2**20)
    return all(torch.equal(checkpoint.rows(one, *rows), checkpoint.rows(other, *rows)) for rows in pieces)
