"""Finds out, by running a model on a few tokens, whether and how its caches can be shared."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import torch

from harness_ext.models.prefix import cache as prefix_cache
from harness_ext.models.prefix.cache import Traits

TOKENS, SHARED = 12, 7
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Largest deviation in standard deviations of the logits; a wrong cache is off by about one."""
COARSE_TOLERANCE = 0.1
"""The same for 16-bit and quantised models."""


class Unsuitable(Exception):  # noqa: N818 - an answer rather than an error
    """Why a model's caches cannot be shared."""


def probe(model: Any, device: Any) -> Traits:
    """What the caches of a causal model allow.

    Raises:
        Unsuitable: prefixes cannot be shared, with the reason.
    """
    _require_caches(model)
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    tokens = torch.tensor([[(11 + 7919 * step) % vocabulary for step in range(TOKENS)]], device=device)
    try:
        with torch.no_grad():
            return _compared(model, tokens)
    except Unsuitable:
        raise
    except Exception as error:
        raise Unsuitable(f"its caches cannot be branched ({type(error).__name__}: {error})") from error


def _require_caches(model: Any) -> None:
    adapters = getattr(model, "peft_config", None) or {}
    if isinstance(adapters, dict) and any(getattr(one, "is_prompt_learning", False) for one in adapters.values()):
        raise Unsuitable("its adapter puts virtual tokens before every prompt")
    if getattr(model, "prompt_dependent_weights", False):
        raise Unsuitable("its weights depend on the whole prompt")
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "past_key_values" not in inspect.signature(base.forward).parameters:
        raise Unsuitable("it takes no key-value cache")
    supports = getattr(base, "_supports_default_dynamic_cache", None)
    if supports is not None and not supports():
        raise Unsuitable("it needs a cache class of its own")


def _compared(model: Any, tokens: Any) -> Traits:
    whole = model(input_ids=tokens, use_cache=False).logits.float()
    tolerance = TOLERANCE.get(model.dtype, COARSE_TOLERANCE)

    def deviation(logits: Any, first: int) -> float:
        expected = whole[0, first : first + logits.shape[0]]
        # The median over positions: one position may be off in a mixture of experts without anything being wrong.
        return float((logits.float() - expected).square().mean(-1).sqrt().median() / expected.std())

    def cache_of(length: int) -> Any:
        cache = prefix_cache.fresh(model.config)
        model(input_ids=tokens[:, :length], past_key_values=cache, use_cache=True)
        return cache

    cache = cache_of(SHARED)
    if cache.get_seq_length() != SHARED:
        raise Unsuitable("its cache does not hold what it was given")
    found = prefix_cache.traits(cache, SHARED, model.config)
    rest = tokens[:, SHARED:].expand(2, -1)
    for derive in (prefix_cache.glance, prefix_cache.branch, prefix_cache.glance):  # thrice: the original is untouched
        branched = model(input_ids=rest, past_key_values=derive(cache, 2), use_cache=True).logits
        if max(deviation(row, SHARED) for row in branched) > tolerance:
            raise Unsuitable("it gives other results from a cache than without one")
    if found.joinable:
        joined, pads = prefix_cache.join([cache, cache_of(SHARED - 3)])
        starts = torch.tensor([SHARED - pad for pad in pads], device=tokens.device)[:, None]
        steps = torch.arange(3, device=tokens.device)
        mask = torch.ones((2, SHARED + 3), dtype=torch.long, device=tokens.device)
        mask[1, : pads[1]] = 0
        logits = model(
            input_ids=torch.cat([tokens[:, SHARED : SHARED + 3], tokens[:, SHARED - 3 : SHARED]]),
            past_key_values=joined,
            attention_mask=mask,
            position_ids=starts + steps,
            use_cache=True,
        ).logits
        if max(deviation(logits[0], SHARED), deviation(logits[1], SHARED - 3)) > tolerance:
            found = dataclasses.replace(found, joinable=False)
    return found
