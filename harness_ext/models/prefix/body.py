"""The matrix products of a model in 16 bits, all but that of its head.

What is added up from layer to layer, norms, attention, logits, softmax and sums of log-probabilities stay in single
precision, so that less is lost than with a model that is in 16 bits throughout (docs/backends.md has it in nats).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from harness_ext.errors import InputError

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def cast_body(model: Any, name: str) -> None:
    """Let the layers of a causal model in single precision, but not its head, multiply in 16 bits.

    Raises:
        InputError: the precision is unknown, or the model has no head in single precision.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
    if name not in DTYPES:
        raise InputError(f"body_dtype={name}: not one of {', '.join(DTYPES)}")
    if head is None or base.config.is_encoder_decoder or head.weight.dtype != torch.float32:
        raise InputError("body_dtype needs a causal model with a head in single precision; give dtype=float32")
    dtype = DTYPES[name]
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head:
            module.to(dtype)
            module.register_forward_pre_hook(lambda _, given: (given[0].to(dtype), *given[1:]))
            module.register_forward_hook(lambda _, __, output: output.float())
