"""Whether a model's tokenizer writes each score from 1 to 9 as one token."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

log = logging.getLogger(__name__)

_PREFIX = ":[["


def digits_single_token(model_args: Mapping[str, Any]) -> bool | None:
    """Whether "1" to "9" are nine different single tokens after ``[[``.

    lm-eval gives a task no tokenizer, but hands it the model's arguments; so the answer is ``None`` (unknown) for
    models that are not named by a Hugging Face tokenizer (``pretrained`` or ``tokenizer``), such as APIs and GGUF
    files. Where it is ``False`` the likelihoods of scores are sums over several tokens: usable, but flagged.

    >>> digits_single_token({}) is None
    True
    """
    name = model_args.get("tokenizer") or model_args.get("pretrained")
    if not isinstance(name, str) or model_args.get("gguf_file"):
        return None
    single = _check(name, model_args.get("revision"))
    if single is False:
        log.warning("%s: a score from 1 to 9 is not one token after '[['; its likelihood is a sum over tokens.", name)
    return single


@lru_cache(maxsize=8)
def _check(name: str, revision: str | None) -> bool | None:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main")
    except Exception as error:  # whatever is wrong with it, the backend reports it better when it loads the model
        log.debug("digits_single_token is unknown: %s", error)
        return None
    prefix = tokenizer.encode(_PREFIX, add_special_tokens=False)
    whole = [tokenizer.encode(_PREFIX + digit, add_special_tokens=False) for digit in "123456789"]
    return all(tokens[:-1] == prefix for tokens in whole) and len({tokens[-1] for tokens in whole}) == len(whole)
