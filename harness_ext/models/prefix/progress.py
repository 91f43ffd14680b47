"""A progress bar that counts documents, tokens that went through the model, and tokens that did not have to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from tqdm import tqdm


class Progress:
    """Progress of some requests.

    Args:
        documents: for each request, what it belongs to; a document is done with the last of its requests.
        label: what is being done.
        disabled: show nothing.
    """

    def __init__(self, documents: Sequence[Hashable], label: str, *, disabled: bool) -> None:
        self._documents = documents
        self._missing = Counter(documents)
        self._bar: Any = tqdm(total=len(self._missing), desc=label, unit="doc", disable=disabled)

    def finish(self, request: int) -> None:
        """Count a request as answered."""
        document = self._documents[request]
        self._missing[document] -= 1
        if not self._missing[document]:
            self._bar.update(1)

    def show(self, forwarded: int, plain: int) -> None:
        """Show tokens that were forwarded, and how many fewer than the ``plain`` number this is."""
        if not self._bar.disable:
            saved = max(0, plain - forwarded)
            self._bar.set_postfix_str(f"tokens={in_short(forwarded)}, saved={in_short(saved)}", refresh=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.refresh()
        self._bar.close()


def in_short(count: int) -> str:
    """A count in at most five characters.

    >>> in_short(999), in_short(12_345), in_short(4_200_000)
    ('999', '12.3k', '4.2M')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
