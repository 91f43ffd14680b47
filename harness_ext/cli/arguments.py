"""What the command says of an error: our own errors, and arguments that lm-eval or a library below it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness_ext.errors import HarnessExtError, InputError
from harness_ext.files import FileError, parse_json
from harness_ext.models.runs.asking import frame_of
from harness_ext.results.catalogue import nearest

_EXTRAS = {
    "torch": "harness-ext[hf]",
    "transformers": "harness-ext[hf]",
    "accelerate": "harness-ext[hf]",
    "peft": "harness-ext[methods]",
    "aiohttp": "lm-eval[api]",
    "tiktoken": "lm-eval[api]",
    "vllm": "lm-eval[vllm]",
    "sglang": "sglang",
    "anthropic": "lm-eval[anthropic]",
    "litellm": "lm-eval[litellm]",
}
"""What brings a package that a backend needs."""


def metadata_of(text: str | None) -> dict[str, Any]:
    """The switches of ``--metadata``.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        found = parse_json(text or "{}")
    except FileError as error:
        raise InputError(f"--metadata is no JSON ({error}).") from error
    if not isinstance(found, dict):
        raise InputError('--metadata is no JSON object. Write {"key": value}.')
    return found


def in_one_sentence(error: Exception) -> HarnessExtError | None:
    """The error as one of ours, whose text says the mistake and the way out; ``None`` where a traceback says more."""
    if isinstance(error, HarnessExtError):
        return error
    text = _mistake(error)
    return None if text is None else InputError(text)


def _mistake(error: Exception) -> str | None:
    """lm-eval 0.4.13 has no type for these errors, so they are known by how they begin."""
    said = str(error)
    if isinstance(error, ModuleNotFoundError):
        return _missing_package(error)
    if isinstance(error, OSError) and frame_of(error, "cached_files") is not None:
        return _unknown_model(error)
    if isinstance(error, UnboundLocalError) and "'wandb'" in said:  # lm-eval goes on without it, for a moment
        return "--wandb_args needs wandb, which is not installed: pip install 'lm-eval[wandb]'."
    if isinstance(error, FileNotFoundError) and said.startswith("Config file not found: "):
        return f"{said[0].lower()}{said[1:]}. Give the path of a YAML file as --config."
    if not isinstance(error, ValueError):
        return None
    if said.startswith("Hugging Face token is not defined"):
        return "--hf_hub_log_args pushes to the Hub, which needs a token that may write: set HF_TOKEN."
    if said.startswith("Tasks not found: "):
        typed = said.removeprefix("Tasks not found: ").split(", ")
        manager = (frame_of(error, "process_tasks") or {}).get("task_manager")
        return tasks_not_found(typed, getattr(manager, "all_tasks", ()))
    if said.startswith("Attempted to load model "):
        return f"{said[0].lower()}{said[1:]}. Give one of them as --model."
    return said if said.startswith("Invalid JSON: ") else None


def tasks_not_found(typed: Sequence[str], names: Iterable[str]) -> str:
    """What to say of names that are no task's, with the nearest ones.

    >>> tasks_not_found(["mbtibnch"], ["mbtibench", "arc"])
    'tasks not found: mbtibnch (perhaps mbtibench). `harness-ext tasks` lists ours, `lm_eval ls groups` all.'
    """
    names = list(names)
    found = {name: nearest(name, names, 3) for name in typed}
    each = ", ".join(f"{name} (perhaps {' or '.join(near)})" if near else name for name, near in found.items())
    return f"tasks not found: {each}. `harness-ext tasks` lists ours, `lm_eval ls groups` all."


def _missing_package(error: ModuleNotFoundError) -> str | None:
    """Only for packages that are optional: a module that is missing by mistake keeps its traceback."""
    package = (error.name or "").partition(".")[0]
    if not package:  # lm-eval's own check
        package = next((name for name in ("aiohttp", "tiktoken", "anthropic", "litellm") if name in str(error)), "")
    if package not in _EXTRAS:
        return None
    return f"this backend needs {package}, which is not installed: pip install '{_EXTRAS[package]}'."


def _unknown_model(error: OSError) -> str:
    """transformers found no such model: its first line says why, the rest where its documentation is."""
    name = (frame_of(error, "cached_files") or {}).get("path_or_repo_id")
    why = str(error).splitlines()[0].rstrip(".")
    return (
        f"the model {name!r} cannot be loaded: {why}. Give --model_args pretrained= a folder, or the name of a model "
        "on the Hub that is in its cache or may be downloaded (HF_HUB_OFFLINE is not set, private ones need HF_TOKEN)."
    )
