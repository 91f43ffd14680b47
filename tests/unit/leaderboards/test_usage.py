"""What runs took, below the tables."""

from __future__ import annotations

from typing import Any

import pytest

from harness_ext.leaderboards import build
from harness_ext.leaderboards.usage import noted
from harness_ext.results.reading.frame import Row, to_frame

BLOCK = {"requests": 12, "seconds": 61.4, "input": 3400, "output": 56, "unit": "tokens", "counted_by": "server"}


def notes_of(block: Any, benches: tuple[str, ...] = ("b",)) -> list[str]:
    frame = to_frame(
        Row(origin="measured", run="r.json", model="m", bench=bench, task="t", metric="acc", value=0.5)
        for bench in benches
    )
    tables = noted(build.tables(frame), frame, {"r.json": block})
    return [note for table in tables for note in table.notes if note.startswith("m: ")]


def test_a_run_is_told_once_below_each_benchmark() -> None:
    words = "m: 12 requests in 61 s, 3,400 tokens read and 56 written (as the server counts), in the whole run."
    assert notes_of(BLOCK, ("a", "b")) == [words, words]


def test_cost_processes_and_characters_are_said() -> None:
    (note,) = notes_of(BLOCK | {"cost": 0.0421, "one_of_processes": 2})
    assert "12 requests by one of 2 processes" in note
    assert "cost 0.0421" in note
    (note,) = notes_of(BLOCK | {"unit": "characters", "counted_by": "characters"})
    assert "3,400 characters read and 56 written, in" in note


def test_answers_that_were_cut_are_said_below_the_tables_of_their_benchmark() -> None:
    own = {"t": {"answers": 6, "cut": 2}, "of_another_benchmark": {"answers": 6, "cut": 6}}
    assert notes_of(BLOCK | {"cut": own})[1:] == ["m: answers cut at max_gen_toks: t 2 of 6."]
    assert notes_of(BLOCK | {"cut": {"t": {"answers": 6, "cut": 0}}})[1:] == []


@pytest.mark.parametrize("block", [None, 3, {}, BLOCK | {"input": "many"}, BLOCK | {"seconds": float("nan")}])
def test_what_is_no_such_block_is_passed_over(block: Any) -> None:
    assert notes_of(block) == []
