"""Tied weights: an output layer that is the embeddings, and a base in which tied weights are stored apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness_ext.methods.checkpoints.read import CONFIG, Checkpoint, View, read_json

_MOST_LAYERS = 10_000
"""A file may say any number, and each would be made."""


def skeleton(folder: Path) -> Any:
    """The model of a config.json without its weights, of the class that the file names; ``None`` without such a class.

    Only classes of transformers itself are asked.
    """
    import transformers

    file = folder / CONFIG
    if not file.is_file() or not (architectures := read_json(file).get("architectures")):
        return None
    made: Any = getattr(transformers, str(architectures[0]), None)
    known = isinstance(made, type) and issubclass(made, transformers.PreTrainedModel)
    if not known:
        return None
    try:
        config = made.config_class.from_pretrained(str(folder))
        if getattr(config, "num_hidden_layers", 0) > _MOST_LAYERS:
            return None
        with torch.device("meta"):
            return made(config)
    except Exception:  # whatever transformers makes of settings of a wrong type
        return None


def tied_weights(checkpoint: Checkpoint) -> dict[str, str]:
    """Weights that transformers makes the same as others when it loads a checkpoint: name → name of the other one.

    Weights that are stored with other values than those that they should be tied to are not tied.
    """
    ties: dict[str, str] = getattr(skeleton(checkpoint.path), "all_tied_weights_keys", {})
    stored = {_as_stored(checkpoint, name): _as_stored(checkpoint, other) for name, other in ties.items()}
    return {name: other for name, other in stored.items() if not _differ(checkpoint, name, other)}


def _as_stored(checkpoint: Checkpoint, name: str) -> str:
    """A checkpoint may store its tensors without the prefix of the model's class."""
    return next((own for own in checkpoint.names if name == own or name.endswith(f".{own}")), name)


def _differ(checkpoint: Checkpoint, name: str, other: str) -> bool:
    stored = {name, other} <= set(checkpoint.names)
    return stored and not torch.equal(checkpoint.tensor(name), checkpoint.tensor(other))


class Untied(View):
    """A base whose tied output layer is a tensor of its own, with the values of the embeddings to begin with.

    So are all other tied weights, such as the bias of a masked model's decoder or the embeddings of an encoder and its
    decoder: the one setting unties them all, and what is not stored would be drawn at random.
    """

    config_changes: Mapping[str, Any] = {"tie_word_embeddings": False}
    """What config.json has to say about it."""

    def __init__(self, base: Checkpoint, head: str, embeddings: str) -> None:
        self.head, self.embeddings = head, embeddings
        stored = {name: (base, name) for name in base.names}
        for name, other in tied_weights(base).items():
            values = stored[other] if other in stored else stored[name]
            stored = {name: values, other: values} | stored
        super().__init__(base, stored)
