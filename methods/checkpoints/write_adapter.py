"""Writes an edited copy of a LoRA adapter: complete, or not there at all."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.adapters import ADAPTER, WEIGHTS
from harness_ext.methods.checkpoints.record import RECORD, Change, Record, write_record
from harness_ext.methods.checkpoints.shards import write_whole


def check_adapter_out(out: str | Path) -> None:
    """Refuse an output folder that holds something.

    Raises:
        InputError: it is not empty, or is a file.
    """
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is there already. Give another out, or delete it.")


def write_adapter(
    source: Path,
    out: str | Path,
    replaced: Mapping[str, torch.Tensor],
    facts: Mapping[str, dict[str, Any]],
    record: Record,
) -> Path:
    """Copy the adapter in ``source`` to the new folder ``out`` with some tensors replaced.

    Args:
        source: folder of an adapter.
        out: folder that does not exist yet, or is empty.
        replaced: name in the adapter → new values, which are rounded once to the stored type.
        facts: name in the adapter → what to note about it.
        record: goes to ``method.json``.

    Raises:
        InputError: ``out`` is taken, the disk is full, or a new value is NaN or Inf.
    """
    began = time.monotonic()
    target = Path(out)
    check_adapter_out(target)
    changes: dict[str, Change] = {}
    tensors: dict[str, torch.Tensor] = {}
    with safe_open(source / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        for name in file.keys():  # noqa: SIM118 (the file is no mapping)
            old = file.get_tensor(name)
            new = tensors[name] = replaced[name].to(old.dtype).contiguous() if name in replaced else old
            if not bool(torch.isfinite(new).all()):
                raise InputError(f"{name}: the new values hold NaN or Inf in {old.dtype}. Nothing was written.")
            changed = int((new != old).sum())
            norm = float((new.double() - old.double()).norm()) if changed else 0.0
            changes[name] = Change(changed, math.prod(old.shape), norm, facts.get(name, {}))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.unfinished-", dir=target.parent))
        try:
            write_whole(folder / WEIGHTS, tensors, metadata)
            write_record(folder, record, changes, wall_seconds=time.monotonic() - began)
            for path in sorted(source.iterdir(), key=lambda path: path.name == ADAPTER):  # without it nothing loads
                if path.is_file() and path.name not in (WEIGHTS, RECORD):
                    shutil.copyfile(path, folder / path.name)
            folder.chmod(0o755)
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{error.filename or target} cannot be written ({error.strerror}). Free some space or give another out."
        ) from error
    return target
