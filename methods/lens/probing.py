"""What a model's hidden states are in each language: prompts as tokens, one vector a text, and their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from tqdm import tqdm

from harness_ext.errors import InputError
from harness_ext.methods.lens.space import LanguageSpace, from_means
from harness_ext.methods.training.reference import still
from harness_ext.methods.training.rows import pad

Pooling = Literal["last_token", "last_position", "mean"]
LAST = -1


def prompt_tokens(tokenizer: Any, text: str, system: str, most: int, *, compat: bool = False) -> list[int]:
    """The tokens of a text as the user's turn, ready for the answer; of a text alone where there is no chat template.

    The *text* loses its end where it has more than ``most`` tokens, and the turn stays whole. ``compat`` cuts the whole
    prompt, and begins with two begin tokens, as Lens's authors do.

    Raises:
        InputError: the chat template refuses the turns.
    """
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        return list(tokenizer(text)["input_ids"][:most])
    if not compat:
        cut = tokenizer(text, add_special_tokens=False)["input_ids"]
        text = text if len(cut) <= most else tokenizer.decode(cut[:most])
    turns = [{"role": "system", "content": system}] if system else []
    try:
        whole = tokenizer.apply_chat_template(
            [*turns, {"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
    except TemplateError as error:
        raise InputError(
            f"the tokenizer's chat template refuses the prompt ({error}); many know no system prompt: leave it empty"
        ) from None
    return list(tokenizer(whole, add_special_tokens=compat)["input_ids"][: most if compat else None])


def hidden_states(model: Any, batch: Mapping[str, torch.Tensor], layer: int) -> torch.Tensor:
    """States behind a layer, of -1 those after the final norm, shape (rows, tokens, hidden).

    Raises:
        InputError: the model does not give them in transformers' way.
    """
    body = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
    if layer == LAST:
        states: torch.Tensor = body(**given).last_hidden_state
        return states
    found = body(**given, output_hidden_states=True).hidden_states
    if not found or not -len(found) <= layer < len(found):
        raise InputError(f"layer is {layer}, and {type(model).__name__} gives the states of {len(found or ())} layers.")
    chosen: torch.Tensor = found[layer]
    return chosen


def last_states(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state of each row's last token, shape (rows, hidden); rows are padded on the right.

    >>> last_states(torch.tensor([[[1.0], [2.0]], [[3.0], [0.0]]]), torch.tensor([[1, 1], [1, 0]])).tolist()
    [[2.0], [3.0]]
    """
    return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]


def mean_states(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of each row's states over its tokens, shape (rows, hidden).

    >>> mean_states(torch.tensor([[[1.0], [2.0]], [[3.0], [9.0]]]), torch.tensor([[1, 1], [1, 0]])).tolist()
    [[1.5], [3.0]]
    """
    weights = mask.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1)


def pooled(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector a row, shape (rows, hidden): ``last_position`` reads at the padding, as Lens's authors do."""
    if pooling == "last_position":
        return states[:, -1]
    return (last_states if pooling == "last_token" else mean_states)(states, mask)


def probe(
    model: Any,
    rows: Mapping[str, Sequence[Sequence[int]]],
    *,
    layer: int,
    pooling: Pooling,
    rank: int | None,
    batch_size: int,
    about: Mapping[str, Any],
) -> LanguageSpace:
    """The language space of a model.

    Args:
        model: of transformers; it stays in the mode that it is in.
        rows: language → the tokens of each of its texts, the central language first.
        layer: whose states are read; -1 is the output after the final norm.
        pooling: how a text becomes one vector.
        rank: of the specific subspace; languages less one by default.
        batch_size: texts that are computed together; it changes nothing but ``last_position``.
        about: what the space is of, kept with it.
    """
    means = {}
    device = next(model.parameters()).device
    with still(model) as before:
        for language, own in rows.items():
            total = torch.zeros(())
            batches = range(0, len(own), batch_size)
            for start in tqdm(batches, desc=f"Probing {language}", unit="batch", disable=None):
                batch = pad([{"input_ids": list(tokens)} for tokens in own[start : start + batch_size]])
                batch = {name: tensor.to(device) for name, tensor in batch.items()}
                states = hidden_states(before, batch, layer).double().cpu()
                total = total + pooled(states, batch["attention_mask"].cpu(), pooling).sum(0)
            means[language] = total / len(own)
    return from_means(means, rank, {**about, "layer": layer, "pooling": pooling})
