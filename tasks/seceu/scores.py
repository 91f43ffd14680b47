"""From an answer to the values that are aggregated over docs, called by lm-eval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness_ext.scoring.answers import of_answer
from harness_ext.scoring.seceu import DocItem, distance, parse_points


@of_answer
def points(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float | DocItem]:
    """Distance of the four points to people's; an unreadable answer is left out of it and counted."""
    answer = parse_points(results[0], doc["options"])
    away = math.nan if answer is None else distance(answer.values, doc["standard"])
    item = (away, doc["template"])
    return {
        "eq": item,
        "seceu": item,
        "pattern_r": item,
        "parse_failure": float(answer is None),
        "renormalised": float(answer is not None and answer.renormalised),
    }
