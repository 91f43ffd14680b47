"""The records that a benchmark bundles: enough of them, and each in the form of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_ext.checks.findings import Found, check
from harness_ext.files import FileError, parse_json, text_lines

_AT_LEAST = 16
_Form = dict[str, str]


@dataclass(frozen=True)
class SampleFile:
    """A file ``sample*.jsonl`` of a benchmark's folder."""

    path: Path

    def records(self) -> Iterator[tuple[int, Any]]:
        """Line number and record of each line that is not blank; the error where it is no JSON."""
        for number, line in enumerate(text_lines(self.path), start=1):
            if line.strip():
                try:
                    yield number, parse_json(line)
                except FileError as error:
                    yield number, error


@check(
    "sample",
    why="checks and tests see too few docs to notice a mistake.",
    mend="Write more records of your own.",
    house=True,
)
def sample_size(sample: SampleFile) -> Iterator[Found]:
    """A sample has sixteen records or more."""
    count = sum(1 for _ in sample.records())
    if count < _AT_LEAST:
        yield Found(f"{count} records, at least {_AT_LEAST} are needed", file=sample.path)


@check(
    "sample",
    why="the loader fails on it, or a task silently runs on fewer or other docs than the real data would give.",
    mend="Give the record the keys and types of its neighbours.",
    house=True,
)
def sample_schema(sample: SampleFile) -> Iterator[Found]:
    """Every record of a sample has the keys and types of another one."""
    forms: list[tuple[int, _Form]] = []
    for number, record in sample.records():
        if not isinstance(record, dict):
            what = f"not JSON ({record})" if isinstance(record, ValueError) else "not a JSON object"
            yield Found(what, file=sample.path, line=number)
        else:
            forms.append((number, {key: _type(value) for key, value in record.items()}))
    seen = Counter(tuple(sorted(form.items())) for _, form in forms)
    for number, form in forms:
        if seen[tuple(sorted(form.items()))] > 1:
            continue
        others = [other for place, other in forms if place != number]
        nearest = min((_differences(form, other) for other in others), key=len, default=[])
        if nearest:
            yield Found(f"unlike every other record: {'; '.join(nearest)}", file=sample.path, line=number)


def _type(value: object) -> str:
    """What a value is, as far as neighbours share it; empty lists and null fit everything."""
    if value is None or value == [] or value == {}:
        return "anything"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        kinds = {_type(one) for one in value} - {"anything"}
        return f"a list of {' and '.join(sorted(kinds))}" if kinds else "anything"
    return "an object" if isinstance(value, dict) else "a text"


def _differences(form: _Form, other: _Form) -> list[str]:
    found = [f"it has no {key!r}" for key in other.keys() - form.keys()]
    found += [f"only it has {key!r}" for key in form.keys() - other.keys()]
    for key in form.keys() & other.keys():
        if form[key] != other[key] and "anything" not in (form[key], other[key]):
            found.append(f"{key!r} is {form[key]}, elsewhere {other[key]}")
    return sorted(found)
