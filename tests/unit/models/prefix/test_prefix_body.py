"""A model multiplies in 16 bits, and its head does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness_ext.errors import InputError
from harness_ext.models.prefix.lm import PrefixLM

SETTINGS: dict[str, Any] = {"device": "cpu", "dtype": "float32", "batch_size": 4}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_less_is_lost_than_in_sixteen_bits_throughout(architecture: str, checkpoint: Any, requests: Any) -> None:
    folder = checkpoint(architecture)
    exact = [value for value, _ in PrefixLM(folder, **SETTINGS).loglikelihood(requests.choices, disable_tqdm=True)]

    def error(**settings: Any) -> float:
        found = PrefixLM(folder, **{**SETTINGS, **settings}).loglikelihood(requests.choices, disable_tqdm=True)
        return float(torch.tensor([abs(one - other[0]) for one, other in zip(exact, found, strict=True)]).mean())

    mixed, all_of_it = error(body_dtype="bfloat16"), error(dtype="bfloat16")
    assert 0 < mixed < all_of_it


def test_the_head_stays_in_single_precision_and_the_layers_do_not(checkpoint: Any, requests: Any) -> None:
    lm = PrefixLM(checkpoint("llama"), body_dtype="bfloat16", **SETTINGS)
    seen: dict[str, Any] = {}
    lm.model.lm_head.register_forward_hook(lambda _, given, output: seen.update(head=(given[0].dtype, output.dtype)))
    layer = lm.model.model.layers[0].mlp.up_proj
    layer.register_forward_pre_hook(lambda _, given: seen.update(layer=given[0].dtype))
    assert all(isinstance(text, str) for text in lm.generate_until(requests.prompts, disable_tqdm=True))
    assert seen == {"head": (torch.float32, torch.float32), "layer": torch.bfloat16}
    assert layer.weight.dtype == torch.bfloat16


def test_stored_answers_of_another_precision_are_not_taken(checkpoint: Any) -> None:
    folder = checkpoint("llama")
    plain, mixed = PrefixLM(folder, **SETTINGS), PrefixLM(folder, body_dtype="bfloat16", **SETTINGS)
    assert "body_dtype" not in plain.identity()  # what is stored stays valid
    assert mixed.identity()["body_dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("architecture", "settings", "why"),
    [
        ("llama", {"body_dtype": "int3"}, "not one of bfloat16"),
        ("llama", {"body_dtype": "bfloat16", "dtype": "bfloat16"}, "give dtype=float32"),
        ("t5", {"body_dtype": "bfloat16"}, "causal model"),
    ],
)
def test_what_cannot_be_cast_is_refused(architecture: str, settings: Any, why: str, checkpoint: Any) -> None:
    with pytest.raises(InputError, match=why):
        PrefixLM(checkpoint(architecture), **{**SETTINGS, **settings})
