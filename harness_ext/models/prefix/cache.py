"""Key-value caches of transformers, treated as values: branched, looked at, cut into rows and joined.

A cache here always belongs to one sequence (batch of one) and is never changed once it is made; what a forward pass
needs is derived from it. For plain and sliding-window attention that costs no copy: their layers replace their tensors
and do not write into them. Other caches (linear attention, shared layers) are copied, and cannot be cut or joined. What
the caches of a model allow is found out by running it on a few tokens: `probe`.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

TOKENS, SHARED = 12, 7
ROOM = 64
"""Tokens of a batch for which room is made at a time: the more, the less is copied and the more stands empty."""
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Largest deviation in standard deviations of the logits; a wrong cache is off by about one."""
COARSE_TOLERANCE = 0.1
"""The same for 16-bit and quantised models."""


@dataclass(frozen=True)
class Traits:
    """What a model's caches allow, found by `traits`."""

    plain: bool
    """All layers are full or sliding-window attention: caches can be cut into rows without copying."""
    joinable: bool
    """Caches of different lengths can stand in one batch, padded on the left."""
    records: bool
    """Sliding-window layers can keep all tokens of a padded batch until it is cut into rows."""
    bytes_per_token: tuple[tuple[float, int | None], ...]
    """For each layer the bytes of one token's keys and values, and the window they are kept for."""

    def size(self, tokens: int) -> float:
        """Bytes of the cache of so many tokens."""
        return sum(size * min(tokens, window or tokens) for size, window in self.bytes_per_token)

    def largest_layer(self, tokens: int) -> float:
        """Bytes of the largest layer of such a cache."""
        return max((size * min(tokens, window or tokens) for size, window in self.bytes_per_token), default=0.0)


def fresh(config: Any) -> Cache:
    """An empty cache for a model with this configuration."""
    return DynamicCache(config=config)


def traits(cache: Cache, tokens: int, config: Any) -> Traits:
    """Describe the caches of a model from one that holds so many tokens."""
    layers = list(cache.layers)
    plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    sliding = [layer for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)]
    # Attention in fixed chunks looks at absolute positions, which padding on the left would shift.
    kinds = set(getattr(config.get_text_config(decoder=True), "layer_types", None) or ())
    return Traits(
        plain=plain,
        joinable=plain and kinds <= {"full_attention", "sliding_attention"},
        records=all(hasattr(layer, "activate_past_recording") for layer in sliding),
        bytes_per_token=tuple((_tensor_bytes(layer) / tokens, _window(layer)) for layer in layers),
    )


def branch(cache: Cache, rows: int = 1) -> Cache:
    """A cache of ``rows`` equal sequences that a forward pass may change; ``cache`` stays as it is."""
    if not _is_plain(cache):
        copied = copy.deepcopy(cache)
        if rows > 1:
            # Linear-attention layers have no batch_repeat_interleave; every kind has this.
            copied.reorder_cache(torch.zeros(rows, dtype=torch.long))
        return copied
    return _with_layers(cache, [_expanded(layer, rows) for layer in cache.layers])


def glance(cache: Cache, rows: int = 1) -> Cache:
    """Like `branch`, for a last forward pass: new keys and values are used by their layer and not kept.

    So ``rows`` sequences need memory for ``rows`` times one layer, not for ``rows`` times the whole cache.
    """
    if not _is_plain(cache):
        return branch(cache, rows)
    return _with_layers(cache, [_Glance(layer, rows) for layer in cache.layers])


def recording(cache: Cache) -> Cache:
    """``cache`` itself, keeping every token in sliding-window layers until `row` cuts it."""
    for layer in cache.layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            layer.activate_past_recording()
    return cache


def row(cache: Cache, index: int, *, length: int, surplus: int) -> Cache:
    """One sequence of a batch as a cache of its own.

    Args:
        cache: plain cache of the batch, `recording` if rows have a ``surplus``.
        index: which row.
        length: its tokens without padding.
        surplus: tokens of padding on its right.
    """
    layers = []
    for layer in cache.layers:
        cut = copy.copy(layer)
        width = layer.keys.shape[-2]
        keep = min(length, (_window(layer) or length))
        stop = width - surplus
        if layer.keys.shape[0] > 1 or surplus or keep < width:  # a view would keep the whole batch alive
            cut.keys = layer.keys[index : index + 1, :, stop - keep : stop].clone()
            cut.values = layer.values[index : index + 1, :, stop - keep : stop].clone()
        if isinstance(layer, DynamicSlidingWindowLayer):
            cut.cumulative_length = length
            cut.record_past = False
        layers.append(cut)
    return _with_layers(cache, layers)


def join(caches: Sequence[Cache]) -> tuple[Cache, list[int]]:
    """Joinable caches as one batch, padded on the left, and each row's padding."""
    lengths = [cache.get_seq_length() for cache in caches]
    longest = max(lengths)
    layers = []
    for parts in zip(*(cache.layers for cache in caches), strict=True):
        joined = copy.copy(parts[lengths.index(longest)])
        width = max(part.keys.shape[-2] for part in parts)
        joined.keys = torch.cat([_padded(part.keys, width) for part in parts])
        joined.values = torch.cat([_padded(part.values, width) for part in parts])
        layers.append(joined)
    return _with_layers(caches[0], layers), [longest - length for length in lengths]


def gathered(sources: Sequence[tuple[Cache, int, int]]) -> Cache:
    """Sequences as one batch to be decoded, padded on the left, with room for what comes.

    Args:
        sources: for each row a plain cache or one made here, the row in it, and its length without padding.
    """
    longest = max(length for _, _, length in sources)
    layers = [
        _Roomy([(cache.layers[place], row, length) for cache, row, length in sources], longest)
        for place in range(len(sources[0][0].layers))
    ]
    return _with_layers(sources[0][0], layers)


def nbytes(cache: Cache) -> int:
    """Bytes of all tensors of a cache."""
    return sum(_tensor_bytes(layer) for layer in cache.layers)


class _Glance(CacheLayerMixin):  # type: ignore[misc]
    """A layer that shows its past to a forward pass and forgets what it is given."""

    def __init__(self, layer: Any, rows: int) -> None:
        super().__init__()
        self._layer = layer
        self.is_sliding = layer.is_sliding
        self.is_initialized = True
        self.keys = layer.keys.expand(rows, -1, -1, -1)
        self.values = layer.values.expand(rows, -1, -1, -1)

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Nothing to do: the past is there from the start."""

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """The past followed by the new states."""
        return torch.cat([self.keys, key_states], dim=-2), torch.cat([self.values, value_states], dim=-2)

    def get_mask_sizes(self, query_length: int) -> Any:
        """As the layer itself says."""
        return self._layer.get_mask_sizes(query_length)

    def get_seq_length(self) -> Any:
        """As the layer itself says."""
        return self._layer.get_seq_length()

    def get_max_length(self) -> Any:
        """As the layer itself says."""
        return self._layer.get_max_length()

    get_max_cache_shape = get_max_length  # its name before transformers 5.20


class _Roomy(CacheLayerMixin):  # type: ignore[misc]
    """A layer of a batch that is decoded: what is new is written behind what is there, without copying it each time.

    A sliding window moves along; what it has left behind goes when new room is made.
    """

    def __init__(self, parts: Sequence[tuple[Any, int, int]], longest: int) -> None:
        super().__init__()
        first = parts[0][0]
        self.is_sliding, self._window = first.is_sliding, _window(first)
        self.is_initialized = True
        self._length = longest
        shape = (len(parts), first.keys.shape[1], self._kept(), first.keys.shape[-1])
        self.keys, self.values = (
            first.keys.new_zeros(shape),
            first.values.new_zeros((*shape[:3], first.values.shape[-1])),
        )
        self._make_room()
        for line, (layer, row, length) in enumerate(parts):
            kept = min(length, self._window or length)
            self.keys[line, :, -kept:] = layer.keys[row, :, -kept:]
            self.values[line, :, -kept:] = layer.values[row, :, -kept:]

    def _kept(self) -> int:
        return min(self._length, self._window or self._length)

    def _make_room(self) -> None:
        """Move what is kept into a larger tensor, of which ``keys`` and ``values`` show the part that is used."""
        self._rooms = [torch.nn.functional.pad(states, (0, 0, 0, ROOM)) for states in (self.keys, self.values)]
        self._first, self._stop = 0, self.keys.shape[-2]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (room[:, :, self._first : self._stop] for room in self._rooms)

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Nothing to do: the past is there from the start."""

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """The past followed by the new states, which are kept."""
        count = key_states.shape[-2]
        if self._stop + count > self._rooms[0].shape[-2]:
            self._make_room()
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, self._stop : self._stop + count] = states
        self._stop += count
        self._show()
        seen = self.keys, self.values
        self._length += count
        self._first = self._stop - self._kept()
        self._show()
        return seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys a query sees, and the position of the first."""
        return self._kept() + query_length, self._length - self._kept()

    def get_seq_length(self) -> int:
        """Tokens so far, padding included."""
        return self._length

    def get_max_length(self) -> int:
        """There is no end."""
        return -1

    get_max_cache_shape = get_max_length  # its name before transformers 5.20


def _is_plain(cache: Cache) -> bool:
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)


def _with_layers(cache: Cache, layers: list[Any]) -> Cache:
    derived = copy.copy(cache)
    derived.layers = layers
    return derived


def _expanded(layer: Any, rows: int) -> Any:
    expanded = copy.copy(layer)
    if rows > 1:
        expanded.keys = layer.keys.expand(rows, -1, -1, -1)
        expanded.values = layer.values.expand(rows, -1, -1, -1)
    return expanded


def _window(layer: Any) -> int | None:
    """Number of past tokens that a sliding-window layer keeps; None: all."""
    if isinstance(layer, _Roomy):
        return layer._window
    return layer.sliding_window - 1 if isinstance(layer, DynamicSlidingWindowLayer) else None


def _padded(states: Any, width: int) -> Any:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))


def _tensor_bytes(layer: Any) -> int:
    tensors: list[Any] = []
    for name, value in vars(layer).items():
        if name in ("keys", "values") and isinstance(layer, _Roomy):
            continue  # they show parts of its rooms
        tensors += [value] if torch.is_tensor(value) else value if isinstance(value, (list, tuple)) else []
        if isinstance(value, dict):
            tensors += value.values()
    return sum(tensor.nbytes for tensor in tensors if torch.is_tensor(tensor))


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
    tolerance = max(TOLERANCE.get(dtype, COARSE_TOLERANCE) for dtype in {one.dtype for one in model.parameters()})

    def deviation(logits: Any, first: int) -> float:
        expected = whole[0, first : first + logits.shape[0]]
        # The median over positions: one position may be off in a mixture of experts without anything being wrong.
        return float((logits.float() - expected).square().mean(-1).sqrt().median() / expected.std())

    def cache_of(length: int) -> Any:
        cache = fresh(model.config)
        model(input_ids=tokens[:, :length], past_key_values=cache, use_cache=True)
        return cache

    cache = cache_of(SHARED)
    if cache.get_seq_length() != SHARED:
        raise Unsuitable("its cache does not hold what it was given")
    found = traits(cache, SHARED, model.config)
    rest = tokens[:, SHARED:].expand(2, -1)
    for derive in (glance, branch, glance):  # thrice: the original is untouched
        branched = model(input_ids=rest, past_key_values=derive(cache, 2), use_cache=True).logits
        if max(deviation(row, SHARED) for row in branched) > tolerance:
            raise Unsuitable("it gives other results from a cache than without one")
    if found.joinable:
        joined, pads = join([cache, cache_of(SHARED - 3)])
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
