"""What a checkpoint is: which ones hold a masked language model, and how long a text they take."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from harness_ext.errors import InputError

NO_LIMIT = 512
"""Positions of a model that has no limit of its own (relative positions), unless the user sets ``max_length``."""
_FAR_TOO_LONG = 10**9
"""``transformers`` writes 10**30 for a tokenizer without a limit."""


def is_encoder(config: Any) -> bool:
    """Whether a ``transformers`` configuration describes an encoder that predicts masked tokens.

    >>> is_encoder(transformers.BertConfig()), is_encoder(transformers.BertConfig(is_decoder=True))
    (True, False)
    >>> is_encoder(transformers.GPT2Config()), is_encoder(transformers.BartConfig())
    (False, False)
    """
    if any(getattr(config, name, False) for name in ("is_decoder", "is_encoder_decoder", "causal")):
        return False
    if type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        return True
    classes = getattr(config, "auto_map", None) or {}  # of a checkpoint that brings its own code
    return "AutoModelForMaskedLM" in classes and "AutoModelForCausalLM" not in classes


def refuse_encoder(config: Any) -> None:
    """Stop an encoder from being read as if it were a decoder.

    ``transformers`` loads many encoders (BERT, RoBERTa, ELECTRA, ...) as causal models without a word. They attend to
    later tokens, so what comes out is no likelihood of anything.

    Raises:
        InputError: the configuration is an encoder's.
    """
    if is_encoder(config):
        raise InputError(
            f"{_name(config)} is a masked language model ({config.model_type}), which sees the tokens it would have to "
            "predict: use --model hf-mlm (docs/backends.md)"
        )


def require_encoder(config: Any) -> None:
    """Refuse what ``hf-mlm`` cannot score.

    Raises:
        InputError: the configuration is not an encoder's.
    """
    if not is_encoder(config):
        raise InputError(
            f"{_name(config)} is no masked language model but of type {config.model_type}: use --model hf-prefix or hf"
        )


class MaskedLMLoader:
    """``AutoModelForMaskedLM``, but a checkpoint without the weights that predict tokens is refused.

    ``transformers`` fills such a model with random numbers and warns; its scores would be random, too.
    """

    @staticmethod
    def from_pretrained(name: str, *arguments: Any, **options: Any) -> Any:
        """Load a model.

        Raises:
            InputError: weights are missing.
        """
        model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
            name, *arguments, output_loading_info=True, **options
        )
        missing = sorted(loading["missing_keys"])
        if missing:
            raise InputError(
                f"{name}: {len(missing)} weights of {type(model).__name__} are missing ({missing[0]}, ...), so its "
                "predictions would be random: take a checkpoint that was saved with its masked-language-model head"
            )
        return model


def positions(model: Any, tokenizer: Any) -> int:
    """The largest number of tokens, special ones included, that a model and its tokenizer take.

    RoBERTa and its relatives count positions from ``padding_idx + 1``: of their 514, 512 can be used.
    """
    limit = getattr(model.config, "max_position_embeddings", None) or 0
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, torch.nn.Embedding) and "position" in last and module.padding_idx is not None:
            limit -= module.padding_idx + 1
            break
    limits = [limit if limit > 0 else NO_LIMIT]
    if tokenizer.model_max_length < _FAR_TOO_LONG:
        limits.append(tokenizer.model_max_length)
    return min(limits)


def _name(config: Any) -> str:
    return getattr(config, "_name_or_path", "") or "the model"
