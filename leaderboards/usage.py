"""What runs took, as notes below the tables that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness_ext.leaderboards.table import Entry, Table
from harness_ext.results.reading.frame import to_rows

_MOST_NAMED = 20


class Usage(BaseModel):
    """The block ``usage`` of a results file, written by :mod:`harness_ext.models.runs.usage`."""

    model_config = ConfigDict(frozen=True)

    requests: int = Field(ge=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    input: int = Field(ge=0)
    output: int = Field(ge=0)
    unit: str
    counted_by: str
    one_of_processes: int = 1
    cost: float | None = Field(None, ge=0, allow_inf_nan=False)

    @property
    def words(self) -> str:
        """The block in one phrase.

        >>> Usage(requests=3, seconds=1.25, input=1200, output=6, unit="tokens", counted_by="tokenizer").words
        '3 requests in 1 s, 1,200 tokens read and 6 written (as the tokenizer counts)'
        """
        by = "" if self.unit == "characters" else f" (as the {self.counted_by} counts)"
        share = f" by one of {self.one_of_processes} processes" if self.one_of_processes > 1 else ""
        price = "" if self.cost is None else f", cost {self.cost:,.4g}"
        return (
            f"{self.requests:,} requests{share} in {self.seconds:,.0f} s, {self.input:,} {self.unit} read and "
            f"{self.output:,} written{by}{price}"
        )


def noted(tables: Sequence[Table], frame: pd.DataFrame, blocks: Mapping[str, object]) -> list[Table]:
    """The tables with a note for each run in them that recorded what it took.

    Args:
        tables: those of the frame.
        frame: columns of :data:`harness_ext.results.reading.frame.COLUMNS`.
        blocks: what results files say of their usage, by file; what is no such block is passed over.
    """
    used: dict[str, str] = {}
    for run, block in blocks.items():
        try:
            used[run] = Usage.model_validate(block).words
        except ValidationError:
            continue
    first = frame[frame.run.isin(used.keys())].drop_duplicates(["run", "bench", "data"])
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for row in to_rows(first):
        kind = "benchmark" if row.data == "real" else "sample"
        notes.setdefault((row.bench, kind), {})[f"{Entry.of(row).name}: {used[row.run]}, in the whole run."] = None
    last = {(table.bench, table.kind): at for at, table in enumerate(tables)}
    found = list(tables)
    for place, own in notes.items():
        if place in last:
            more = [f"… and {len(own) - _MOST_NAMED} more runs."] if len(own) > _MOST_NAMED else []
            at = last[place]
            found[at] = replace(found[at], notes=(*found[at].notes, *list(own)[:_MOST_NAMED], *more))
    return found
