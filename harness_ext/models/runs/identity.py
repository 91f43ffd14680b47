"""Everything that the answers of a backend depend on besides the request: whose answers a file may hold."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import version
from typing import Any

from harness_ext.errors import InputError
from harness_ext.models.runs.cache import digest

_COLUMNS = 1021
"""Weights are summed in so many columns: a prime, so that exchanged rows or blocks of a matrix change the sums."""
_CHUNK = _COLUMNS * (1 << 16)
_VOLATILE = ("_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "_attn_implementation_internal")
_INERT = {"timeout", "max_retries", "_concurrent", "verify_certificate", "ca_cert_path"}
"""Settings that decide whether a server answers, not what: a run may go on with others."""
_SECRET = {"api_key", "auth_token", "header", "_header"}
_SETTINGS = (
    "max_length", "max_gen_toks", "truncation", "add_bos_token", "prefix_token_id", "think_end_token",
    "enable_thinking",
)  # fmt: skip
_PLAIN = (str, int, float, bool, type(None))

IDENTITY_KEY = "harness-ext identity"
"""Under this key a ``--use_cache`` file names whose answers it holds."""


def identity(lm: Any) -> dict[str, Any]:
    """Everything known of a backend that its answers may depend on.

    For a model in this process that is the model itself (:func:`identity_of`); otherwise the backend's settings,
    without secrets, of which only a hash is kept.

    Raises:
        InputError: the weights are not in memory.
    """
    kind = f"{type(lm).__module__}.{type(lm).__qualname__}"
    huggingface = sys.modules.get("lm_eval.models.huggingface")  # importing it takes torch
    if huggingface is not None and isinstance(lm, huggingface.HFLM):
        return {**identity_of(lm, kind), "chat template": digest(plain(getattr(lm, "chat_template_args", None)))}
    about = lm.get_model_info() if hasattr(lm, "get_model_info") else None
    return {"backend": kind, "settings": digest([plain(vars(lm)), plain(about)])}


def plain(value: Any) -> Any:
    """What JSON can hold of a setting; objects are left out."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items() if name not in _INERT | _SECRET}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, _PLAIN) else None


def claim(lm: Any, cache_hook: Any) -> None:
    """Write into lm-eval's ``--use_cache`` file whose answers it holds, or check that they are the same model's.

    Args:
        lm: the backend, asked for its own ``identity``, if it has such a method.
        cache_hook: lm-eval's hook, with or without a file.

    Raises:
        InputError: the file holds another model's answers, or may: lm-eval's own keys do not say whose they are.
    """
    stored = cache_hook.dbdict
    if stored is None:
        return
    own = digest(lm.identity() if hasattr(lm, "identity") else identity(lm))
    if stored.get(IDENTITY_KEY, None if len(stored) else own) != own:
        raise InputError(
            f"--use_cache {stored.filename}: holds answers of another model or other settings; name a new file"
        )
    stored[IDENTITY_KEY] = own


def identity_of(lm: Any, backend: str) -> dict[str, Any]:
    """The identity of an ``HFLM`` with a loaded model.

    It is made from what was loaded, not from names: weights (with adapters and deltas applied), configuration,
    tokenizer, precision and settings. So a checkpoint that is overwritten in place is another model, and one that is
    moved is not.

    Raises:
        InputError: some weights are not in memory.
    """
    import torch

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
            **{name: getattr(lm, name) for name in _SETTINGS},
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "lm_eval")},
    }


def weights_checksum(model: Any) -> str:
    """Checksum of all parameters and buffers in memory: names, types, shapes and bits.

    Read once at memory speed: bits are summed as integers in columns, and the sums are hashed.

    Raises:
        InputError: some weights are not in memory.
    """
    import torch

    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not torch.is_tensor(tensor):
            continue
        if tensor.is_meta:
            raise InputError(f"resume=: the weights {name} are offloaded and cannot be identified; run without resume=")
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().contiguous().view(-1)
        flat = flat.view(integers[flat.element_size()]) if flat.element_size() in integers else flat.view(torch.int8)
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
