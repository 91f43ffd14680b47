"""Refuses a key of ``--metadata`` that no task of a run reads: it would be recorded as a setting and change nothing.

A task whose loader of docs says what it reads (its attribute ``switches``; see :func:`harness_ext.data.choices.reads`)
is known; lm-eval's own tasks, and any other whose loader does not say so, may read every key.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lm_eval.api.registry import get_model
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.utils import simple_parse_args_string

from harness_ext.errors import InputError


def check(given: Mapping[str, Any]) -> None:
    """Look at the arguments of ``simple_evaluate`` before anything is loaded.

    Raises:
        InputError: there is a key of ``metadata`` that no task reads, or the backend keeps no scores of single tokens,
            which are asked for: an API would leave the argument unread.
    """
    manager = given.get("task_manager")
    model_args = given.get("model_args") or {}
    if isinstance(model_args, str):
        model_args = simple_parse_args_string(model_args)
    backend = given.get("model")
    if model_args.get("token_scores") and isinstance(backend, str) and not _takes(backend, "token_scores"):
        raise InputError(
            f"{backend} keeps no scores of single tokens; take --model hf-prefix, or leave out token_scores."
        )
    asked = (getattr(manager, "metadata", None) or {}) | (given.get("metadata") or {})
    refuse_unread(asked.keys() - model_args.keys(), list(loaders(given.get("tasks"), _index(manager))))


def refuse_unread(asked: Collection[str], loaders: Collection[Any]) -> None:
    """Refuse keys that none of these loaders reads, unless one of them does not say what it reads.

    >>> def load(**settings): ...
    >>> load.switches = ("data", "cap")
    >>> refuse_unread(["data"], [load])
    >>> refuse_unread(["anything"], [load, None])
    >>> refuse_unread(["colour"], [load])
    Traceback (most recent call last):
    harness_ext.errors.InputError: no task of this run reads 'colour' of --metadata; they read 'cap', 'data'.
    """
    if not all(hasattr(load, "switches") for load in loaders):
        return
    known = {switch for load in loaders for switch in load.switches}
    for key in sorted(set(asked) - known):
        near = difflib.get_close_matches(key.lower(), known, n=1)
        way_out = f"did you mean {near[0]!r}?" if near else f"they read {', '.join(map(repr, sorted(known)))}."
        raise InputError(f"no task of this run reads {key!r} of --metadata; {way_out}")


def _takes(backend: str, argument: str) -> bool:
    return argument in inspect.signature(get_model(backend).__init__).parameters


def _index(manager: Any) -> Mapping[str, Any]:
    if manager is None:
        from lm_eval.tasks import TaskManager

        manager = TaskManager()
    index: Mapping[str, Any] = manager.task_index
    return index


def loaders(tasks: Any, index: Mapping[str, Any]) -> Iterator[Any]:
    """The loader of docs of every task that is named, by itself or by a group or tag; None where there is none."""
    for task in tasks if isinstance(tasks, list | tuple) else [tasks]:
        name = task.get("group", task.get("task")) if isinstance(task, dict) else task
        entry = index.get(name) if isinstance(name, str) else None
        if isinstance(task, dict) and isinstance(task.get("task"), list):
            yield from loaders(task["task"], index)
        elif entry is not None and entry.yaml_path is None:
            yield from loaders(sorted(entry.tags), index)
        elif entry is not None or (isinstance(name, str) and Path(name).is_file()):
            config = load_yaml(entry.yaml_path if entry is not None else name)
            members = config.get("task")
            yield from loaders(members, index) if isinstance(members, list) else [config.get("custom_dataset")]
        else:
            yield getattr(getattr(task, "config", None), "custom_dataset", None)
