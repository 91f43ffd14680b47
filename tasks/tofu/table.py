"""Tables of TOFU: numbers of another ``ds_size`` or another truth ratio never share a column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness_ext.leaderboards import generic
from harness_ext.leaderboards.table import Table, kinds
from harness_ext.results.reading.frame import Row

_OPTION = re.compile(r"(?:^|, )((?:ds_size|truth_ratio|compat|question_key) [^,]+)")
_NOTE = (
    "Truth ratios of different definitions carry one name; forget quality depends on the number of questions, so rows "
    "of other options stand in tables of their own."
)


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """One table for each way in which truth ratios were computed, and one for each paper, which computed its own."""
    del partial
    found = []
    for kind, part in kinds(rows):
        ways: dict[str, list[Row]] = {}
        for row in part:
            ways.setdefault(_way(row), []).append(row)
        for way, own in ways.items():
            table = generic.table(own, f"tofu: {way}", kind)
            found.append(replace(table, notes=(*table.notes, _NOTE)) if len(ways) > 1 else table)
    return found


def _way(row: Row) -> str:
    """How a number was computed, as the title of its table says it.

    >>> row = Row(origin="measured", model="m", bench="tofu", task="tofu_forget10", metric="prob", value=0.5)
    >>> _way(row), _way(row.model_copy(update={"setting": "ds_size 300, chat template"}))
    ('geometric truth ratio, all rows', 'geometric truth ratio, ds_size 300')
    """
    if row.origin == "published":
        return f"published in {row.citation}"
    told = dict(option.split(" ", 1) for option in _OPTION.findall(row.setting))
    words = [f"{told.get('truth_ratio', 'geometric')} truth ratio"]
    words.append(f"ds_size {told['ds_size']}" if "ds_size" in told else "all rows")
    words += [f"{name} {told[name]}" for name in ("compat", "question_key") if name in told]
    return ", ".join(words)
