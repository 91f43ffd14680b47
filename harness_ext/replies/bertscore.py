"""BERTScore with an encoder from a local folder (extra ``bertscore``): nothing is ever downloaded."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness_ext.errors import InputError


class BertScore(NamedTuple):
    """BERTScore of replies against one reference each."""

    metric: str
    """``bertscore_<encoder>``: the folder's name, because scores of different encoders do not compare."""
    layer: int
    """The layer whose vectors are compared, counted from 1."""
    f1: list[float]
    """F1 of each reply, at most 100; 0 for an empty reply or reference. No idf weights, no rescaling."""

    @property
    def mean(self) -> float:
        """Mean F1 over the replies."""
        return math.fsum(self.f1) / len(self.f1)


def bertscore(
    encoder: Path, replies: Sequence[str], references: Sequence[str], *, layer: int | None = None, batch_size: int = 32
) -> BertScore:
    """F1 between the contextual word vectors of each reply and its reference, greedily matched by cosine.

    Texts longer than the encoder's context are cut.

    Args:
        encoder: folder of a transformers encoder with its tokenizer.
        replies: the replies.
        references: the reference of each.
        layer: layer whose vectors are compared; by default the one that the authors of BERTScore chose for an encoder
            of the folder's name, else the last.
        batch_size: pairs encoded together; does not change the scores beyond rounding.

    Raises:
        InputError: there is no model in the folder, it has no such layer, or the extra is not installed.
        ValueError: there are no replies, or the lengths differ.

    Source: Zhang et al., BERTScore (ICLR 2020, arXiv 1904.09675), through its package ``bert-score``.
    """
    if not replies or len(replies) != len(references):
        raise ValueError(f"{len(replies)} replies and {len(references)} references: one of each is needed")
    if not (encoder / "config.json").is_file():
        raise InputError(f"{encoder} is no folder of a transformers model (no config.json); BERTScore downloads none.")
    try:
        from bert_score import BERTScorer
        from bert_score.utils import model2layers
        from transformers import AutoConfig
    except ImportError as error:
        raise InputError(
            f"BERTScore needs the extra bertscore ({error.name} is missing): pip install 'harness-ext[bertscore]'."
        ) from error
    config = AutoConfig.from_pretrained(encoder, local_files_only=True)
    layers = int(config.num_hidden_layers)
    name = os.path.basename(os.path.abspath(encoder))  # noqa: PTH100, PTH119 - the name as given, links not followed
    chosen = layer if layer is not None else min(model2layers.get(name, layers), layers)
    if not 1 <= chosen <= layers:
        raise InputError(f"{encoder} has layers 1 to {layers}, not {chosen}.")
    scorer = BERTScorer(model_type=str(encoder), num_layers=chosen, batch_size=batch_size, device="cpu")
    tokenizer = scorer._tokenizer
    # a folder without the tokenizer's limit would let texts run past the position vectors; RoBERTa keeps two back
    limit = getattr(config, "max_position_embeddings", None)
    if limit and limit > 8:
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit - 2)
    kept = [i for i, pair in enumerate(zip(replies, references, strict=True)) if all(map(str.strip, pair))]
    f1 = [0.0] * len(replies)
    if kept:
        *_, found = scorer.score([replies[i] for i in kept], [references[i] for i in kept])
        for i, score in zip(kept, found.tolist(), strict=True):
            f1[i] = 100.0 * score
    return BertScore(f"bertscore_{name}", chosen, f1)
