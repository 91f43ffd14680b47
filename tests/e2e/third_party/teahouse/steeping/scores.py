"""Errors of answers; nothing here is a mean over docs."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def error(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Distance between the answered number and the right one; NaN where there is no number."""
    try:
        answered = float(results[0])
    except ValueError:
        return {"median_error": math.nan, "parse_failure": 1.0}
    return {"median_error": abs(answered - doc["answer"]), "parse_failure": 0.0}


def agg_median_error(items: Sequence[float]) -> float:
    """The median over docs that have an answer."""
    known = [item for item in items if not math.isnan(item)]
    return statistics.median(known) if known else math.nan
