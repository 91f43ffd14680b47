"""Models with all of their weights, or with those of one layer only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness_ext.errors import InputError
from harness_ext.methods.checkpoints.read import Checkpoint


def best_device() -> torch.device:
    """The accelerator if there is one, otherwise the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def load_model(folder: str) -> Any:
    """A causal, encoder-decoder or masked language model, as its config says, in float32 and in evaluation mode.

    Raises:
        InputError: transformers cannot load it.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kind = transformers.AutoModelForCausalLM
        if config.is_encoder_decoder:
            kind = transformers.AutoModelForSeq2SeqLM
        elif any(name.endswith("ForMaskedLM") for name in config.architectures or ()):
            kind = transformers.AutoModelForMaskedLM
        with _bar_on_a_terminal_only():
            model = kind.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True)
    except Exception as error:  # whatever transformers makes of settings of a wrong type
        raise InputError(_cannot_load(folder, error)) from None
    model.config.use_cache = False  # keys and values of earlier tokens are of no use where nothing is generated
    return model.eval()


def empty_model(folder: str, device: torch.device) -> Any:
    """The same model without weights (`load_weights` gives it some), with eager attention and buffers on ``device``.

    Eager attention is what the authors of IRR used; padding positions have other states with other kinds.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with init_empty_weights(include_buffers=False):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    except Exception as error:
        raise InputError(_cannot_load(folder, error)) from None
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))
    return model.eval()


def load_weights(model: Any, checkpoint: Checkpoint, names: Iterable[str], device: torch.device) -> None:
    """Give the parameters ``names`` of a model their values, as float32 copies.

    Raises:
        InputError: the checkpoint lacks one of them, or has it in another shape.
    """
    stored, places = set(checkpoint.names), model.state_dict()
    values = {}
    for name in names:
        if name not in stored:
            raise InputError(f"{checkpoint.path}: there is no tensor {name}, which {type(model).__name__} has.")
        if checkpoint.shape(name) != tuple(places[name].shape):
            raise InputError(
                f"{checkpoint.path}: {name} has shape {checkpoint.shape(name)}, but by config.json it is "
                f"{tuple(places[name].shape)}."
            )
        kept = torch.float32 if places[name].is_floating_point() else places[name].dtype
        stored_values = checkpoint.tensor(name).to(device)  # in the stored type: less to move
        values[name] = stored_values.to(kept, copy=device.type == "cpu")
    model.load_state_dict(values, strict=False, assign=True)


def drop_weights(model: Any, names: Iterable[str]) -> None:
    """Take the values of the parameters ``names`` away again."""
    places = model.state_dict()
    model.load_state_dict(
        {name: torch.empty_like(places[name], device="meta") for name in names}, strict=False, assign=True
    )


@contextmanager
def _bar_on_a_terminal_only() -> Iterator[None]:
    """The bar of transformers is for people, as all others here are."""
    from transformers.utils import logging

    in_the_way = logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if in_the_way:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if in_the_way:
            logging.enable_progress_bar()


def _cannot_load(folder: str, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{folder}: the model cannot be loaded ({first_line})"
