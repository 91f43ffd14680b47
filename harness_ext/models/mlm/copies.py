"""From a text to the masked copies of it that pseudo-log-likelihoods are read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

Variant = Literal["original", "within_word_l2r"]
VARIANTS: tuple[str, ...] = get_args(Variant)


class Passage(NamedTuple):
    """What the model sees at once, without special tokens."""

    tokens: Sequence[int]
    words: Sequence[int | None]
    """For each token the word it belongs to; ``None`` is a word of its own."""
    first: int
    """Index of the first token to score; those before it are context and never masked."""


class Copy(NamedTuple):
    """A sequence with masks in it, and the token to predict at one of them."""

    tokens: list[int]
    position: int
    target: int


def masked_copy(
    passage: Passage, place: int, *, variant: Variant, mask: int, before: Sequence[int], after: Sequence[int]
) -> Copy:
    """The passage with its token at ``place`` masked.

    Args:
        passage: the text.
        place: index of the token to predict, at least ``passage.first``.
        variant: ``"original"`` masks this token alone; ``"within_word_l2r"`` masks with it all later tokens of its
            word, so that a long word's first token is not guessed from its last.
        mask: id of the mask token.
        before: ids of the special tokens in front.
        after: ids of the special tokens behind.

    Source: Salazar et al. 2020 (arXiv 1910.14659), section 2; Kauf and Ivanova 2023 (arXiv 2305.10588), section 3.

    >>> passage = Passage([7, 8, 9], words=[0, 1, 1], first=1)
    >>> masked_copy(passage, 1, variant="original", mask=0, before=[101], after=[102])
    Copy(tokens=[101, 7, 0, 9, 102], position=2, target=8)
    >>> masked_copy(passage, 1, variant="within_word_l2r", mask=0, before=[101], after=[102])
    Copy(tokens=[101, 7, 0, 0, 102], position=2, target=8)
    """
    tokens, words, _ = passage
    end = place + 1
    if variant == "within_word_l2r" and words[place] is not None:
        while end < len(tokens) and words[end] == words[place]:
            end += 1
    masked = [*before, *tokens[:place], *[mask] * (end - place), *tokens[end:], *after]
    return Copy(masked, len(before) + place, tokens[place])
