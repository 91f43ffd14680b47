"""Whether an answer is in the language of its instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.fidelity import fidelity_of


@of_answer
def response(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The three numbers of one answer."""
    return fidelity_of(results[0], doc["language"], doc["lid"])._asdict()
