"""Everything that the answers of a loaded model depend on besides the request: the key to a run's stored answers."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any

import torch

from harness_ext.errors import InputError
from harness_ext.models.runs.cache import digest

_COLUMNS = 1021
"""Weights are summed in so many columns: a prime, so that exchanged rows or blocks of a matrix change the sums."""
_CHUNK = _COLUMNS * (1 << 16)
_VOLATILE = ("_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "_attn_implementation_internal")
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def identity_of(lm: Any, backend: str) -> dict[str, Any]:
    """The identity of an ``HFLM`` with a loaded model.

    It is made from what was loaded, not from names: weights (with adapters and deltas applied), configuration,
    tokenizer, precision and settings. So a checkpoint that is overwritten in place is another model, and one that is
    moved is not.

    Raises:
        InputError: some weights are not in memory.
    """
    model = lm.model
    return {
        "backend": backend,
        "kind": lm.backend,
        "weights": weights_checksum(model),
        "config": _config(model),
        "adapters": _adapters(model),
        "tokenizer": _tokenizer(lm.tokenizer),
        "settings": {
            "dtype": str(model.dtype),
            "device": torch.device(lm.device).type,
            "mixed_precision_dtype": str(lm.mixed_precision_dtype),
            "softmax_dtype": str(lm.softmax_dtype),
            "max_length": lm.max_length,
            "max_gen_toks": lm.max_gen_toks,
            "truncation": lm.truncation,
            "add_bos_token": lm.add_bos_token,
            "prefix_token_id": lm.prefix_token_id,
            "think_end_token": lm.think_end_token,
            "enable_thinking": lm.enable_thinking,
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "lm_eval")},
    }


def weights_checksum(model: Any) -> str:
    """Checksum of all parameters and buffers in memory: names, types, shapes and bits.

    Read once at memory speed: bits are summed as integers in columns, and the sums are hashed.

    Raises:
        InputError: some weights are not in memory.
    """
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not torch.is_tensor(tensor):
            continue
        if tensor.is_meta:
            raise InputError(f"resume=: the weights {name} are offloaded and cannot be identified; run without resume=")
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().contiguous().view(-1)
        flat = flat.view(_INTEGERS[flat.element_size()]) if flat.element_size() in _INTEGERS else flat.view(torch.int8)
        for first in range(0, flat.numel(), _CHUNK):
            chunk = flat[first : first + _CHUNK]
            whole = chunk.numel() // _COLUMNS * _COLUMNS
            sums = chunk[:whole].view(-1, _COLUMNS).sum(0, dtype=torch.int64)
            state.update(sums.cpu().numpy().tobytes())
            state.update(chunk[whole:].cpu().numpy().tobytes())
    return state.hexdigest()


def _config(model: Any) -> str:
    settings = {
        "model": _stable(model.config.to_dict()),
        "attention": str(getattr(model.config, "_attn_implementation", None)),
        "generation": _stable(model.generation_config.to_dict()) if getattr(model, "generation_config", None) else None,
    }
    return digest(json.loads(json.dumps(settings, default=str)))


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _stable(item) for key, item in value.items() if key not in _VOLATILE}
    return value


def _adapters(model: Any) -> list[str]:
    """Settings of the adapters, which act beside their weights (scaling, say), and which of them are active."""
    adapters = getattr(model, "peft_config", None)
    if not isinstance(adapters, dict):
        return []
    shown = [
        f"{name} {json.dumps(_stable(one.to_dict()), sort_keys=True, default=_listed)}"
        for name, one in adapters.items()
    ]
    return [digest(text) for text in sorted(shown)] + [str(getattr(model, "active_adapter", ""))]


def _listed(value: Any) -> Any:
    return sorted(str(item) for item in value) if isinstance(value, (set, frozenset)) else str(value)


def _tokenizer(tokenizer: Any) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    content = fast.to_str() if fast is not None else sorted(tokenizer.get_vocab().items())
    return digest([type(tokenizer).__name__, content, str(tokenizer.special_tokens_map), tokenizer.model_max_length])
