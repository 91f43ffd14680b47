"""A decoder run one layer at a time over stored hidden states, whatever its architecture does around its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.work_folder import mapped

Batch = Mapping[str, torch.Tensor]


class States(Protocol):
    """Hidden states of calibration batches: a list of tensors, or rows of a file."""

    def __getitem__(self, batch: int, /) -> torch.Tensor:
        """The states of a batch, (rows, tokens, hidden)."""

    def __setitem__(self, batch: int, states: torch.Tensor, /) -> None:
        """Store them."""


class StoredStates:
    """Hidden states of all calibration sequences in a file that is mapped: the system may drop it from memory.

    Args:
        file: see `mapped`.
        shape: (sequences, tokens, hidden).
        batch_size: sequences of a batch.
        device: of the tensors that are handed out.
    """

    def __init__(self, file: Path, shape: tuple[int, int, int], batch_size: int, device: torch.device) -> None:
        self._map = mapped(file, shape)
        self._batch_size, self._device = batch_size, device

    def __getitem__(self, batch: int, /) -> torch.Tensor:
        """A copy of a batch's states."""
        return torch.from_numpy(np.array(self._map[self._rows(batch)])).to(self._device)

    def __setitem__(self, batch: int, states: torch.Tensor, /) -> None:
        """Store a batch's states."""
        self._map[self._rows(batch)] = states.float().cpu().numpy()

    def flush(self) -> None:
        """Have the system write everything."""
        self._map.flush()

    def _rows(self, batch: int) -> slice:
        return slice(batch * self._batch_size, (batch + 1) * self._batch_size)


class _StopForwardError(Exception):
    """Ends a forward pass once the wanted layer has run; carries what it returned or was given."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


class DecoderLayers:
    """The layers of a causal language model, each of which can be run alone.

    Masks and position embeddings are the model's own: its forward pass is started as usual, the layers before the
    wanted one hand on what they get, and it ends behind the wanted one. Only the embeddings and that layer need to
    have weights; all others may be on the meta device.

    Args:
        model: a Hugging Face causal language model in evaluation mode.
        full_rows_see_ahead: rows without padding are attended to in both directions (a quirk of the released code of
            IRR); needs ``attn_implementation="eager"``.

    Raises:
        InputError: the model has no list of ``num_hidden_layers`` layers.
    """

    def __init__(self, model: Any, *, full_rows_see_ahead: bool = False) -> None:
        count = model.config.get_text_config().num_hidden_layers
        lists = [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == count
        ]
        if not lists:
            raise InputError(f"{type(model).__name__} has no list of its {count} decoder layers")
        self.model = model
        self.prefix, self.modules = lists[0]
        self._full_rows_see_ahead = full_rows_see_ahead
        self._in_a_tuple = False

    def __len__(self) -> int:
        """Number of layers."""
        return len(self.modules)

    def linears(self, index: int, parts: Sequence[str] | None = None) -> dict[str, torch.nn.Linear]:
        """The linear modules of a layer, under the names of their weights: all, or those whose last name part is in
        ``parts``.
        """
        return {
            f"{self.prefix}.{index}.{name}.weight": module
            for name, module in self.modules[index].named_modules()
            if isinstance(module, torch.nn.Linear) and (parts is None or name.rpartition(".")[2] in parts)
        }

    def weights(self, index: int | None) -> list[str]:
        """Names of the weights of a layer; of ``None``: those that `embed` needs (not the output's)."""
        if index is not None:
            return [name for name in self.model.state_dict() if name.startswith(f"{self.prefix}.{index}.")]
        output = self.model.get_output_embeddings()
        of_output = tuple(f"{name}." for name, module in self.model.named_modules() if module is output)
        return [name for name in self.weights_outside() if not name.startswith(of_output)]

    def weights_outside(self) -> list[str]:
        """Names of all weights that are in no layer."""
        return [name for name in self.model.state_dict() if not name.startswith(f"{self.prefix}.")]

    def embed(self, batch: Batch) -> torch.Tensor:
        """The hidden states that enter the first layer, (rows, tokens, hidden)."""

        def stop(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _StopForwardError(args[0] if args else kwargs["hidden_states"])

        return self._forward_until(batch, 0, [self.modules[0].register_forward_pre_hook(stop, with_kwargs=True)])

    def run(self, index: int, batch: Batch, states: torch.Tensor, *, gradients: bool = False) -> torch.Tensor:
        """The hidden states behind a layer, given those before it, both (rows, tokens, hidden).

        Args:
            index: of the layer.
            batch: ``input_ids`` and ``attention_mask``.
            states: before the layer.
            gradients: record what a backward pass needs.
        """
        layer = self.modules[index]

        def put_in(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if self._full_rows_see_ahead:
                kwargs = {**kwargs, "attention_mask": _open_full_rows(kwargs.get("attention_mask"), batch)}
            return _given(states, args, kwargs)

        def stop(_: Any, __: Any, output: Any) -> None:
            self._in_a_tuple = isinstance(output, tuple)
            raise _StopForwardError(output[0] if isinstance(output, tuple) else output)

        hooks = [layer.register_forward_pre_hook(put_in, with_kwargs=True), layer.register_forward_hook(stop)]
        return self._forward_until(batch, index, hooks, gradients)

    def loss(self, batch: Batch, states: torch.Tensor) -> torch.Tensor:
        """The model's loss of a batch with ``labels``, given the states behind the last layer, which must have run.

        A backward pass can follow.
        """
        hook = self.modules[0].register_forward_pre_hook(lambda _, *given: _given(states, *given), with_kwargs=True)
        try:
            with torch.enable_grad(), _handing_on(self.modules, self._in_a_tuple):
                loss: torch.Tensor = self.model(**batch, use_cache=False).loss
        finally:
            hook.remove()
        return loss

    def hessians(
        self, index: int, batches: Sequence[Batch], states: States, parts: Sequence[str], *, include_padding: bool
    ) -> dict[str, torch.Tensor]:
        """`irr.hessian` of the inputs of every target linear of a layer, from one pass over all batches.

        Linears that get the very same input share one tensor.

        Args:
            index: of the layer.
            batches: ``input_ids`` and ``attention_mask``.
            states: hidden states before the layer.
            parts: last name parts of the targets.
            include_padding: also count the positions that the attention mask hides.

        Returns:
            weight name → (columns, columns), float32 or, for a float64 model, float64.
        """
        hessians: dict[str, torch.Tensor] = {}
        seen: list[tuple[torch.Tensor, str]] = []  # of one batch; holding the inputs keeps their identity unique
        kept: torch.Tensor | None = None
        first_of: dict[str, str] = {}

        def collector(name: str) -> Callable[[Any, tuple[Any, ...]], None]:
            def collect(_: Any, args: tuple[Any, ...]) -> None:
                x = args[0]
                owner = next((owner for other, owner in seen if other is x), name)
                first_of[name] = owner
                if owner == name:
                    seen.append((x, name))
                    x = x[kept] if kept is not None else x.flatten(0, -2)
                    x = x if x.dtype == torch.float64 else x.float()
                    if name in hessians:
                        hessians[name].addmm_(x.T, x)
                    else:
                        hessians[name] = x.T @ x

            return collect

        with ExitStack() as hooks:
            for name, module in self.linears(index, parts).items():
                hooks.callback(module.register_forward_pre_hook(collector(name)).remove)
            for number, batch in enumerate(batches):
                seen.clear()
                kept = None if include_padding else batch["attention_mask"].bool()
                self.run(index, batch, states[number])
        sequences = sum(len(batch["input_ids"]) for batch in batches)
        for total in hessians.values():
            total.mul_(2 / sequences)
        return {name: hessians[owner] for name, owner in first_of.items()}

    def _forward_until(self, batch: Batch, index: int, hooks: list[Any], gradients: bool = False) -> torch.Tensor:
        try:
            with torch.set_grad_enabled(gradients), _handing_on(self.modules[:index], self._in_a_tuple):
                self.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
        except _StopForwardError as stopped:
            return stopped.states
        finally:
            for hook in hooks:
                hook.remove()
        raise InputError(f"{type(self.model).__name__} does not call its layers in order")


def _given(
    states: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a layer, with these states instead of its own."""
    return (states, *args[1:]), {key: value for key, value in kwargs.items() if key != "hidden_states"}


@contextmanager
def _handing_on(layers: Any, in_a_tuple: bool) -> Iterator[None]:
    """Let the layers return what they are given, in the form that their model expects."""

    def hand_on(hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states,) if in_a_tuple else hidden_states

    for layer in layers:
        layer.forward = hand_on
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _open_full_rows(mask: Any, batch: Batch) -> torch.Tensor:
    if not isinstance(mask, torch.Tensor) or mask.ndim != 4 or not mask.is_floating_point():
        raise InputError('this compat needs additive attention masks: load the model with attn_implementation="eager"')
    opened = mask.expand(len(batch["input_ids"]), *mask.shape[1:]).clone()
    opened[batch["attention_mask"].bool().all(dim=1)] = 0
    return opened
