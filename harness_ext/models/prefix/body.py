"""Everything of a model but its head in 16 bits: most of the gain, and less of the error, than all of it.

Logits, softmax and sums of log-probabilities stay in single precision. What remains of the error is that of the hidden
states (docs/backends.md has it in nats).
"""

from __future__ import annotations

from typing import Any

import torch

from harness_ext.errors import InputError

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def cast_body(model: Any, name: str) -> None:
    """Cast a causal model in single precision, but for its head.

    Raises:
        InputError: the precision is unknown, or the model has no head that can be kept.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
    if name not in DTYPES:
        raise InputError(f"body_dtype={name}: not one of {', '.join(DTYPES)}")
    if head is None or base.config.is_encoder_decoder or head.weight.dtype != torch.float32:
        raise InputError("body_dtype needs a causal model with a head in single precision; give dtype=float32")
    dtype = DTYPES[name]
    for parameter in model.parameters():
        if parameter is not head.weight and parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(dtype)
    embeddings = base.get_input_embeddings()
    if embeddings.weight is head.weight:  # they look tokens up in single precision
        embeddings.register_forward_hook(lambda _, __, output: output.to(dtype))
    head.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))
