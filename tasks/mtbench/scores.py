"""The language of each answer of a dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from harness_ext.scoring.answers import MARKERS, answer_of
from harness_ext.scoring.fidelity import fidelity_of


def dialogue(doc: Mapping[str, Any], results: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Each turn alone; an unfinished trace is no answer, so its language cannot be told.

    Over a corpus ``fidelity`` and ``off_target_en`` are shares of all decided turns: their items are counts.
    """
    answers = [answer_of(text, doc.get(MARKERS)) for text in results[0]]
    found = [fidelity_of(answer.text, doc["language"], doc["lid"]) for answer in answers]
    decided = [one for one in found if not isnan(one.fidelity)]
    return {
        "fidelity": (sum(one.fidelity for one in decided), float(len(decided))),
        **{f"fidelity_t{turn}": one.fidelity for turn, one in enumerate(found, start=1)},
        "off_target_en": (sum(one.off_target_en for one in decided), float(len(decided))),
        "undecided": sum(one.undecided for one in found) / len(found),
        "reasoning_cut": float(any(answer.reasoned for answer in answers)),
    }
