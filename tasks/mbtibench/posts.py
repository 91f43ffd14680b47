"""From the posts of an author to the one text all prompts contain: skip, clean, cut, join.

Source: MBTIBench (arXiv 2412.12510), upstream ``mbtibench/executer.py`` and ``mbtibench/prompt.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from harness_ext.errors import InputError

Cuts = Mapping[int, int]
"""Used post (from 1) -> number of characters that are kept; posts that are not listed are whole."""

_MODES = "o200k80, tokens:<tokenizer>:<N>, words:<N> or none"


def used_posts(posts: Sequence[str]) -> list[str]:
    """The posts a prompt shows: those of more than ten characters, without curly brackets.

    >>> used_posts(["0123456789", "a {b} c d e f g"])
    ['a b c d e f g']
    """
    return [post.replace("{", "").replace("}", "") for post in posts if len(post) > 10]


def join_posts(posts: Sequence[str], cuts: Mapping[int, int] | Mapping[str, int] | None = None) -> str:
    """One author's posts as a prompt shows them: ``"Post 1: …; Post 2: …; "``.

    Args:
        posts: all posts of the author, in order.
        cuts: characters kept of each used post, by its number from 1 (an ``int``, or its decimal text as JSON keys
            are); posts that are not listed are kept whole.

    >>> join_posts(["too short", "Rain all day today.", "Still raining, still reading."], {2: 13})
    'Post 1: Rain all day today.; Post 2: Still raining; '
    """
    kept = {int(number): length for number, length in (cuts or {}).items()}
    return "".join(
        f"Post {number}: {text[: kept.get(number)]}; " for number, text in enumerate(used_posts(posts), start=1)
    )


def truncation(mode: str) -> Callable[[int, Sequence[str]], Cuts]:
    """How long posts are cut: a function of a record's id and posts.

    Args:
        mode: ``o200k80``: the first 80 tokens of GPT-4o's tokenizer (the paper's setting for it), from a table of
            character counts, real data only; ``tokens:<tokenizer>:<N>``: the first N tokens of a Hugging Face
            tokenizer (the paper's setting for Llama and Qwen is 80); ``words:<N>``: the first N words (67 is about
            80 tokens); ``none``.

    Raises:
        InputError: there is no such mode.

    >>> truncation("words:3")(1, ["one two  three four", "five six seven"])
    {1: 14}
    """
    kind, _, rest = mode.partition(":")
    name, _, size = rest.rpartition(":")
    if mode == "none":
        return lambda record_id, posts: {}
    if mode == "o200k80":
        return _from_table
    if size.isdecimal() and int(size) > 0:
        if kind == "words" and not name:
            return lambda record_id, posts: _longer_than(posts, _word_cutter(int(size)))
        if kind == "tokens" and name:
            cut = _token_cutter(name, int(size))
            return lambda record_id, posts: _longer_than(posts, cut)
    raise InputError(f"truncate_posts is {mode!r}; give {_MODES}.")


def _longer_than(posts: Sequence[str], cut: Callable[[str], int]) -> dict[int, int]:
    lengths = {number: (len(text), cut(text)) for number, text in enumerate(used_posts(posts), start=1)}
    return {number: kept for number, (length, kept) in lengths.items() if kept < length}


def _word_cutter(size: int) -> Callable[[str], int]:
    words = re.compile(rf"(?:\s*\S+){{0,{size}}}")
    return lambda text: len(text) if len(text.split()) <= size else _end(words, text)


def _end(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match else 0


def _token_cutter(name: str, size: int) -> Callable[[str], int]:
    tokenizer = _tokenizer(name)

    def cut(text: str) -> int:
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return len(text) if len(offsets) <= size else int(offsets[size - 1][1])

    return cut


@lru_cache(maxsize=4)
def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer  # heavy, and only one of the modes needs it

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"truncate_posts: tokenizer {name!r} cannot be loaded ({_first_line(error)}).") from error
    if not tokenizer.is_fast:
        raise InputError(f"truncate_posts: tokenizer {name!r} does not know where its tokens begin; give a fast one.")
    return tokenizer


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _from_table(record_id: int, posts: Sequence[str]) -> Cuts:
    return _table().get(record_id, {})


@lru_cache(maxsize=1)
def _table() -> dict[int, dict[int, int]]:
    text = (resources.files("harness_ext.tasks.mbtibench") / "truncation_o200k80.json").read_text(encoding="utf-8")
    return {
        int(record_id): {int(number): length for number, length in cuts.items()}
        for record_id, cuts in json.loads(text)["cuts"].items()
    }
