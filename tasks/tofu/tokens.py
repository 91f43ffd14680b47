"""How many tokens of an answer a model is scored on: lm-eval gives sums of log-likelihoods, and no count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from harness_ext.errors import InputError


@dataclass(frozen=True)
class Scored:
    """How answers are given to a model, and what is counted of them."""

    end: str
    """The end token as text, which every answer is scored with."""
    count: Callable[[str, str], int]
    """Tokens of a continuation behind a context."""
    chat: Callable[[str, str | None], str] | None = None
    """What a chat model reads: the user's turn behind a system prompt, up to where the answer begins."""


WORDS = Scored("", lambda _, continuation: len(continuation.split()))
"""For the bundled sample where no tokenizer is known: words for tokens, and no end token."""


def scored_by(name: object, revision: object = None) -> Scored | None:
    """How a Hugging Face tokenizer cuts answers; None where there is no name, as for an API or stored answers.

    Raises:
        InputError: there is no such tokenizer.

    >>> scored_by(None) is None
    True
    """
    return _load(name, str(revision or "main")) if isinstance(name, str) and name else None


@lru_cache(maxsize=4)
def _load(name: str, revision: str) -> Scored:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except Exception as error:  # whatever transformers raises for a name that is no tokenizer
        raise InputError(
            f"tofu counts tokens, and {name!r} has no tokenizer ({' '.join(str(error).split())[:120]}). "
            'Give one: --metadata \'{"tokenizer": "folder or name on the Hub"}\'.'
        ) from error
    return Scored(
        tokenizer.eos_token or "",
        lambda context, continuation: _count(tokenizer, context, continuation),
        (lambda user, system: _turns(tokenizer, user, system)) if tokenizer.chat_template else None,
    )


def _turns(tokenizer: Any, user: str, system: str | None) -> str:
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": user})
    return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def _count(tokenizer: Any, context: str, continuation: str) -> int:
    """Tokens of the continuation as ``hf`` scores them: those of both together behind those of the context."""
    alone = tokenizer.encode(context, add_special_tokens=False)
    both = tokenizer.encode(context + continuation, add_special_tokens=False)
    if both[: len(alone)] != alone:
        raise InputError(
            f"tofu: this tokenizer joins the end of the prompt with the beginning of the answer "
            f"{continuation.strip()[:60]!r}, so that its tokens cannot be counted. Take another tokenizer."
        )
    return len(both) - len(alone)
