"""Where data and what is kept may lie on this machine, and whether the network may be used: environment variables."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_YES = {"1", "on", "yes", "true"}


def mirror_folder() -> Path | None:
    """Folder named by ``HARNESS_EXT_MIRROR``, laid out as ``owner/repo/commit/path``; ``None`` if it is not set."""
    value = os.environ.get("HARNESS_EXT_MIRROR")
    return Path(value).expanduser().absolute() if value else None


def cache_folder() -> Path:
    """Folder named by ``HARNESS_EXT_CACHE``; the user's cache folder for this program if it is not set.

    ``data/`` below it is laid out like a mirror and may be used as one.
    """
    value = os.environ.get("HARNESS_EXT_CACHE")
    return Path(value).expanduser().absolute() if value else platformdirs.user_cache_path("harness-ext")


def offline_because() -> str | None:
    """The setting that forbids the network, such as ``HF_HUB_OFFLINE=1``; ``None`` if none does."""
    for variable in ("HARNESS_EXT_OFFLINE", "HF_HUB_OFFLINE"):
        value = os.environ.get(variable, "")
        if value.strip().lower() in _YES:
            return f"{variable}={value}"
    return None
