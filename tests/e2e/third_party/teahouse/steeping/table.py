"""Its figure; the generic table serves."""

from collections.abc import Sequence

from harness_ext.leaderboards.table import Entry, Groups
from harness_ext.results.reading.frame import Row

_ASPECTS = {"Green tea": "Delicate", "Black tea": "Robust"}


def groups(rows: Sequence[Row]) -> Groups:
    """One value for each aspect."""
    leaves = [row for row in rows if row.level == "task" and row.origin == "measured"]
    return Groups("By delicacy", {(_ASPECTS[row.part], Entry.of(row)): row.value for row in leaves})
