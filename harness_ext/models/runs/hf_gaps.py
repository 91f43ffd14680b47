"""What ``hf`` leaves out for models in this process: a split over CPU processes, and a cache that knows its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_ext.errors import InputError
from harness_ext.models.runs.cache import digest

IDENTITY_KEY = "harness-ext identity"
"""Under this key a ``--use_cache`` file names whose answers it holds."""


def share_documents(lm: Any) -> None:
    """Let the processes of ``accelerate launch`` share the documents on CPU too, where ``hf`` gives all to each."""
    accelerator = getattr(lm, "accelerator", None)
    if accelerator is not None and accelerator.num_processes > 1 and lm.world_size == 1:
        lm._rank = accelerator.process_index
        lm._world_size = accelerator.num_processes


def claim(cache_hook: Any, identity: Mapping[str, Any]) -> None:
    """Write into lm-eval's ``--use_cache`` file whose answers it holds, or check that they are the same model's.

    Args:
        cache_hook: lm-eval's hook, with or without a file.
        identity: see :func:`harness_ext.models.runs.identity.identity_of`.

    Raises:
        InputError: the file holds another model's answers, or may: lm-eval's own keys do not say whose they are.
    """
    stored = cache_hook.dbdict
    if stored is None:
        return
    own = digest(identity)
    if stored.get(IDENTITY_KEY, None if len(stored) else own) != own:
        raise InputError(
            f"--use_cache {stored.filename}: holds answers of another model or other settings; name a new file"
        )
    stored[IDENTITY_KEY] = own
