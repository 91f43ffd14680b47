"""The tables of the probes: one a block, what people judged and what scorers found in columns of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness_ext.leaderboards import generic
from harness_ext.leaderboards.table import Entry, Table, kinds
from harness_ext.results.reading.frame import Row
from harness_ext.tasks.gpt4v_probes.bench import BLOCKS, block_of

_TITLES = {
    "visual": "seeing", "refusal": "refusing to speak of people", "zh_ocr": "Chinese in pictures",
    "language": "language, beside a white picture", "puzzle": "puzzles", "modality": "other modalities",
}  # fmt: skip


def build(rows: Sequence[Row], *, partial: bool = False) -> list[Table]:
    """One table a block; the totals of published counts stand beside the measured share that is right."""
    del partial  # a share is over the tasks that ran, and its n says over how many docs
    tables = []
    for kind, part in kinds(rows):
        for block in BLOCKS:
            own = [row for row in part if block_of(row.task) == block]
            whole = [row.model_copy(update={"level": "task"}) for row in own if row.level == "group"]
            tasks = [row for row in own if row.level != "group"]
            if own:
                shown = [*whole, *_totals(own, block), *tasks]
                tables.append(generic.table(shown, f"GPT-4V probes: {_TITLES[block]}", kind))
    return tables


def _totals(rows: Sequence[Row], block: str) -> Iterator[Row]:
    """What people counted as right in all of a block that a paper asked in one way."""
    counted: dict[tuple[Entry, float], list[Row]] = {}
    for row in rows:
        if row.origin == "published" and row.unit == "count" and row.metric == "correct" and row.n == row.n:
            counted.setdefault((Entry.of(row), row.num_fewshot), []).append(row)
    for (_, shots), own in counted.items():
        if len(own) > 1:
            about = {"task": f"gpt4v_probes_{block}", "part": f"all, {shots:.0f} shots" if shots else "all", "note": ""}
            yield own[0].model_copy(
                update={**about, **{key: sum(getattr(row, key) for row in own) for key in ("value", "n")}}
            )
