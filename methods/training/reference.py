"""What a frozen model says of rows: computed once before a training, or with the adapter switched off meanwhile.

The frozen model is always the one that is about to be trained, so no second model is ever in memory. Likelihoods and
vectors of rows are small and kept; logits are in a file that is mapped, as large as answer tokens times vocabulary, or
are not stored at all where only an adapter is trained.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from harness_ext.methods.checkpoints.work_folder import mapped
from harness_ext.methods.training.objective import Batch, answer_logits, answer_tokens
from harness_ext.methods.training.rows import pad

Says = Callable[[Any, Batch], torch.Tensor]
"""Model and padded batch → one value or vector a row, such as `objective.answer_nll`."""
Reference = Callable[[Batch], torch.Tensor]
"""Batch of a training, whose rows have their ``number`` → what the frozen model says of them, without a gradient."""


@contextmanager
def still(model: Any) -> Iterator[Any]:
    """The model as it is now, in evaluation mode and without gradients."""
    inner = getattr(model, "module", model)  # of a wrapper over processes
    was_training = inner.training
    inner.eval()
    try:
        with torch.no_grad():
            yield inner
    finally:
        inner.train(was_training)


@contextmanager
def frozen(model: Any) -> Iterator[Any]:
    """The model before its training: in evaluation mode, without gradients, an adapter of peft switched off."""
    with still(model) as inner:
        if hasattr(inner, "disable_adapter"):
            with inner.disable_adapter():
                yield inner
        else:
            yield inner


def of_rows(
    model: Any, rows: Sequence[Mapping[str, Any]], says: Says, *, batch_size: int, title: str = "Reference"
) -> torch.Tensor:
    """What the frozen model says of each row, shape (rows, …), in memory of the CPU.

    >>> rows = [{"input_ids": [5]}, {"input_ids": [7]}]
    >>> of_rows(torch.nn.Identity(), rows, lambda model, batch: batch["input_ids"][:, 0], batch_size=1)
    tensor([5, 7])
    """
    with frozen(model) as before:
        return torch.cat([says(before, batch).cpu() for batch in _batches(before, rows, batch_size, title)])


def looked_up(values: torch.Tensor) -> Reference:
    """A reference of stored values.

    >>> looked_up(torch.tensor([5.0, 7.0, 9.0]))({"number": torch.tensor([2, 0])})
    tensor([9., 5.])
    """
    return lambda batch: values[batch["number"].cpu()].to(batch["number"].device)


def adapter_off(model: Any, says: Says) -> Reference:
    """A reference that is computed when it is asked for, by the model that is trained, without its adapter."""

    def reference(batch: Batch) -> torch.Tensor:
        with frozen(model) as before:
            return says(before, batch)

    return reference


class StoredTokens:
    """A vector for each scored token of all rows in a mapped file, such as its logits: a reference.

    Args:
        file: see `mapped`; its size is announced.
        rows: all rows of a role.
        width: of each vector: the vocabulary for logits.
        says: the vectors of a batch, row after row, such as `objective.answer_logits`.
    """

    def __init__(self, file: Path, rows: Sequence[Mapping[str, Any]], width: int, says: Says = answer_logits) -> None:
        self._rows, self._says = rows, says
        self._ends = np.cumsum([0, *(answer_tokens(pad([row])) for row in rows)])
        shape = (int(self._ends[-1]), width)
        self.bytes = 4 * math.prod(shape)
        if not file.exists():
            print(f"{file}: {shape[0]:,} answer tokens, {self.bytes / 1e6:,.1f} MB", file=sys.stderr)
        self._map = mapped(file, shape)

    def fill(self, model: Any, batch_size: int, state: Callable[[Any], Any] = frozen) -> None:
        """Compute and store all; ``state=still`` asks the model as it is now, its adapter included."""
        done = 0
        with state(model) as inner:
            for batch in _batches(inner, self._rows, batch_size, "Reference"):
                said = self._says(inner, batch).float().cpu().numpy()
                self._map[done : done + len(said)] = said
                done += len(said)
                self._release()
        self._map.flush()

    def __call__(self, batch: Batch) -> torch.Tensor:
        """The vectors, row after row, shape (scored tokens, width)."""
        parts = [self._map[self._ends[number] : self._ends[number + 1]] for number in batch["number"].tolist()]
        vectors = torch.from_numpy(np.concatenate(parts)).to(batch["number"].device)
        self._release()
        return vectors

    def _release(self) -> None:
        """Give the mapped pages back: they would count as memory of this process, though the system may drop them."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # of a file: nothing is lost


def _batches(model: Any, rows: Sequence[Mapping[str, Any]], batch_size: int, title: str) -> Iterator[Batch]:
    from accelerate.utils import send_to_device

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    numbered = [{**row, "number": number} for number, row in enumerate(rows)]
    for start in tqdm(range(0, len(rows), batch_size), desc=title, unit="batch", disable=None):
        yield send_to_device(pad(numbered[start : start + batch_size]), device)
