"""What runs took, as notes below the tables that show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness_ext.leaderboards.table import Entry, Table
from harness_ext.results.reading.frame import to_rows

_MOST_NAMED = 20


class Written(BaseModel):
    """The answers to a task's requests, and how many of them were as long as ``max_gen_toks`` allows."""

    model_config = ConfigDict(frozen=True)

    answers: int = Field(ge=0)
    cut: int = Field(ge=0)


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
    cut: Mapping[str, Written] = {}
    """By task; nothing where the backend's tokenizer could not count."""

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

    def cuts(self, tasks: Collection[str]) -> str:
        """Which of these tasks' answers reached ``max_gen_toks``, in one phrase; empty where none did.

        >>> block = {"requests": 3, "seconds": 1, "input": 9, "output": 6, "unit": "tokens", "counted_by": "tokenizer"}
        >>> cut = {"a": {"answers": 3, "cut": 2}, "b": {"answers": 3, "cut": 0}}
        >>> Usage.model_validate(block | {"cut": cut}).cuts(["a", "b"])
        'answers cut at max_gen_toks: a 2 of 3'
        """
        told = [f"{task} {own.cut} of {own.answers}" for task, own in self.cut.items() if own.cut and task in tasks]
        return f"answers cut at max_gen_toks: {', '.join(told)}" if told else ""


def noted(tables: Sequence[Table], frame: pd.DataFrame, blocks: Mapping[str, object]) -> list[Table]:
    """The tables with notes for each run in them that recorded what it took: on that, and on answers that were cut.

    Args:
        tables: those of the frame.
        frame: columns of :data:`harness_ext.results.reading.frame.COLUMNS`.
        blocks: what results files say of their usage, by file; what is no such block is passed over.
    """
    used: dict[str, Usage] = {}
    for run, block in blocks.items():
        try:
            used[run] = Usage.model_validate(block)
        except ValidationError:
            continue
    told = frame[frame.run.isin(used.keys())]
    first = told.drop_duplicates(["run", "bench", "data"])
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for row in to_rows(first):
        kind = "benchmark" if row.data == "real" else "sample"
        name, own = Entry.of(row).name, notes.setdefault((row.bench, kind), {})
        own[f"{name}: {used[row.run].words}, in the whole run."] = None
        if cuts := used[row.run].cuts(set(told[(told.run == row.run) & (told.bench == row.bench)].task)):
            own[f"{name}: {cuts}."] = None
    last = {(table.bench, table.kind): at for at, table in enumerate(tables)}
    found = list(tables)
    for place, own in notes.items():
        if place in last:
            more = [f"… and {len(own) - _MOST_NAMED} more runs."] if len(own) > _MOST_NAMED else []
            at = last[place]
            found[at] = replace(found[at], notes=(*found[at].notes, *list(own)[:_MOST_NAMED], *more))
    return found
