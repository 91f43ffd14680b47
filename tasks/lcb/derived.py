"""The benchmark's own averages, and how far they depend on the detector of languages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping


def averages(cells: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Averages of the leaves of one setting: ``all`` stands for sources, for languages, or for both.

    The overall average is the mean over languages of each language's mean over sources; blank cells are left out.

    Args:
        cells: values by source and language, NaN for a blank one.

    >>> found = averages({("okapi", "ar"): 0.2, ("aya", "ar"): 0.4, ("okapi", "de"): 0.9})
    >>> {place: round(value, 3) for place, value in found.items()}
    {('okapi', 'all'): 0.55, ('aya', 'all'): 0.4, ('all', 'ar'): 0.3, ('all', 'de'): 0.9, ('all', 'all'): 0.6}
    """
    known = {place: value for place, value in cells.items() if not math.isnan(value)}

    def mean(values: list[float]) -> float:
        return statistics.fmean(values) if values else math.nan

    sources, languages = (dict.fromkeys(place[axis] for place in cells) for axis in (0, 1))
    found = {(name, "all"): mean([value for (source, _), value in known.items() if source == name]) for name in sources}
    each = {
        ("all", name): mean([value for (_, language), value in known.items() if language == name]) for name in languages
    }
    return found | each | {("all", "all"): mean([value for value in each.values() if not math.isnan(value)])}
