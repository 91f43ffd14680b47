"""What a table says of the judges behind its numbers: name and version, agreement with people, doubtful rankings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness_ext.leaderboards.table import Entry
from harness_ext.results.derived import rank_changes
from harness_ext.results.reading.frame import Row
from harness_ext.results.reading.judges import JUDGED_METRICS, UNMEASURED, in_short

_MOST_PAIRS = 6
_AND = " + "
_VERSION = 8  # digits of a version in a cell; notes have all


class _Judge(NamedTuple):
    name: str
    version: str
    agreement: str


def name(row: Row) -> str:
    """Judge and version; of a mean over languages those of every language.

    >>> row = Row(origin="measured", model="m", bench="b", task="t", metric="over_refusal", value=1, judge="xstest")
    >>> name(row.model_copy(update={"judge_version": "c9267467fe0b"}))
    'xstest (c9267467)'
    """
    return _AND.join(
        f"{judge.name} ({judge.version[:_VERSION]}{judge.version[12:]})" if judge.version else judge.name
        for judge in _judges(row)
    )


def agreement(row: Row) -> str:
    """Accuracy and kappa of the judge, or that they are unmeasured."""
    judges = _judges(row)
    if len(judges) == 1:
        return in_short(judges[0].agreement)
    return "; ".join(f"{judge.name}: {in_short(judge.agreement)}" for judge in judges)


def _judges(row: Row) -> list[_Judge]:
    names, versions = (text.split(_AND) for text in (row.judge, row.judge_version))
    told = row.judge_agreement.split("; ")
    if not len(names) == len(versions) == len(told) or len(names) == 1:
        return [_Judge(row.judge, row.judge_version, row.judge_agreement or UNMEASURED)]
    return [
        _Judge(own, version, about.removeprefix(f"{own}: "))
        for own, version, about in zip(names, versions, told, strict=True)
    ]


def notes(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each judge with its agreement in full, and one if the ranking of the runs depends on the judge."""
    judged = [row for row in rows if row.judge_agreement]
    judges = list(dict.fromkeys(judge for row in judged for judge in _judges(row)))
    for judge in judges:
        versioned = f"{judge.name}, version {judge.version}" if judge.version else judge.name
        yield f"Judge {versioned}: agreement with people: {judge.agreement}."
    for own in dict.fromkeys(judge.name for judge in judges):
        if len(versions := [judge.version for judge in judges if judge.name == own]) > 1:
            yield f"{own} judged in different versions ({', '.join(versions)}): those numbers do not compare."
    yield from _changes(judged)


def _changes(rows: Sequence[Row]) -> Iterator[str]:
    values: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in rows:
        if row.metric in JUDGED_METRICS:
            entry = Entry.of(row)._replace(filter="", judge="", judge_version="")
            values.setdefault((row.metric, row.task), {}).setdefault(name(row), {})[entry.label] = row.value
    found = []
    for (metric, task), by_judge in values.items():
        for change in rank_changes(by_judge):
            found.append(
                f"{metric} of {task}: {change.first} is below {change.second} by {', '.join(change.below)}, above it "
                f"by {', '.join(change.above)}"
            )
    if found:
        more = f"; and {len(found) - _MOST_PAIRS} more pairs" if len(found) > _MOST_PAIRS else ""
        yield f"The ranking changes with the judge. {'; '.join(found[:_MOST_PAIRS])}{more}."
