"""Text from models and files, made safe to look at: invisible characters and those that move others are spelled out."""

from __future__ import annotations

import re

# Overrides, embeddings and isolates of writing direction, and the line ends that only some programs know.
_MOVING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF)

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: "␡"}
_SPELLED = {code: f"⟨U+{code:04X}⟩" for code in (*range(0x80, 0xA0), *_MOVING)}
_VISIBLE = str.maketrans(_PICTURES | _SPELLED)

# Halves of a character (which no file can hold) and code points that are none.
_IMPOSSIBLE = re.compile("[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")

_TO_SHOW = re.compile(f"[{''.join(map(chr, _PICTURES | _SPELLED))}\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""All of them, looked for at once: most texts have none."""


def visible(text: str) -> str:
    r"""The text with every control character shown as a sign; line ends become ``\n``, tabs stay.

    >>> visible("a\x00b\r\nc\u202ed")
    'a␀b\nc⟨U+202E⟩d'
    """
    if (text.isprintable() and text.isascii()) or not _TO_SHOW.search(text):
        return text
    plain = text.replace("\r\n", "\n").translate(_VISIBLE)
    return _IMPOSSIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", plain)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and end with a note of how much is left out between them.

    Args:
        text: any text; only what is kept is looked at, so that 5 MB cost nothing.
        most: characters to keep; three quarters of them are from the beginning.

    >>> shortened("abcdefgh", 4)
    'abc\\n⋯ 4 of 8 characters left out ⋯\\nh'
    """
    left_out = len(text) - most
    if left_out <= 0:
        return text
    end = most // 4
    note = f"\n⋯ {left_out:,} of {len(text):,} characters left out ⋯\n"
    return text[: most - end] + note + text[len(text) - end :]
