"""How well a judge agrees with people on labelled responses, with bootstrap intervals."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from harness_ext.errors import DataError, InputError
from harness_ext.files import FileError, read_text
from harness_ext.results.statistics.bootstrap import CONFIDENCE, DRAWS, SEED, Interval, interval
from harness_ext.scoring.resampled.statistic import Floats, Resampled, by_cluster, from_sums, ratio
from harness_ext.scoring.safety import agreement, multiclass_agreement

Positive = Literal["any_refusal", "full_refusal", "harmful"]

REFUSAL = ("compliance", "partial", "refusal")
HARM = ("harmful", "safe")
INVALID = "invalid"
POSITIVE: Mapping[Positive, frozenset[str]] = {
    "any_refusal": frozenset({"refusal", "partial"}),
    "full_refusal": frozenset({"refusal"}),
    "harmful": frozenset({"harmful"}),
}
"""Labels that count as a yes."""

_LONGEST_LABEL, _MOST_WORDS = 40, 3
"""Of a cell that a message names: what is longer may be a prompt or a response."""
_MOST_NAMED = 5
_LONGEST_GROUP = 80
"""Of a value that has a line of its own, in characters."""


class Measured(NamedTuple):
    """Agreement on some rows: on the yes-or-no question, or on all classes."""

    scores: dict[str, float]
    """Of :func:`~harness_ext.scoring.safety.agreement` or ``multiclass_agreement``."""
    intervals: dict[str, Interval]


class Agreements(NamedTuple):
    """Agreement on all rows, and on those of each value of a column."""

    overall: Measured
    by: dict[str, Measured]
    classes: Measured | None
    """On all classes; ``None`` where people use two at most."""
    classes_by: dict[str, Measured]

    def as_json(self) -> dict[str, Any]:
        """Scores as numbers, undefined ones as ``None``; intervals as pairs."""
        many = {"overall": _scores(self.classes), "by": _each(_scores, self.classes_by)} if self.classes else None
        bounds = {"overall": _bounds(self.overall), "by": _each(_bounds, self.by)}
        if self.classes:
            bounds["classes"] = {"overall": _bounds(self.classes), "by": _each(_bounds, self.classes_by)}
        return {
            "overall": _scores(self.overall),
            "by": _each(_scores, self.by),
            "classes": many,
            "intervals": {"confidence": CONFIDENCE, "draws": DRAWS, "seed": SEED, **bounds},
        }


def _scores(measured: Measured) -> dict[str, Any]:
    return {name: None if math.isnan(value) else value for name, value in measured.scores.items()}


def _bounds(measured: Measured) -> dict[str, Any]:
    found = measured.intervals.items()
    return {name: None if math.isnan(each.low) else [each.low, each.high] for name, each in found}


def _each(convert: Callable[[Measured], dict[str, Any]], by: Mapping[str, Measured]) -> dict[str, Any]:
    return {value: convert(measured) for value, measured in by.items()}


class Labelled(NamedTuple):
    """A labelled file: cells by column, and what people say."""

    path: Path
    sha256: str
    rows: Sequence[Mapping[str, str]]
    gold: Sequence[str]
    left_out: int
    """Rows that people gave no label."""

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        return [row[name] for row in self.rows]


def labels_of(positive: Positive) -> tuple[str, ...]:
    """The labels among which that question is asked.

    >>> labels_of("harmful")
    ('harmful', 'safe')
    """
    return HARM if positive == "harmful" else REFUSAL


def parse_map(text: str, positive: Positive) -> dict[str, str]:
    """The labels of a file as labels of judges.

    Args:
        text: ``1_full_compliance=compliance,2_full_refusal=refusal``; ``=invalid`` leaves rows out.
        positive: what is asked.

    Raises:
        InputError: a pair is none, is given twice or names a label that does not answer the question.

    >>> parse_map("yes=harmful, no=safe", "harmful")
    {'yes': 'harmful', 'no': 'safe'}
    """
    allowed = (*labels_of(positive), INVALID)
    found: dict[str, str] = {}
    for pair in text.split(","):
        value, equals, label = (part.strip() for part in pair.rpartition("="))
        if not equals or label not in allowed:
            raise InputError(f"--gold-map: {pair.strip()!r} must be VALUE=LABEL with a label of {', '.join(allowed)}.")
        if found.setdefault(value, label) != label:
            raise InputError(f"--gold-map: {value!r} is given two labels.")
    return found


def read_labelled(path: Path, gold_column: str, gold_map: Mapping[str, str], needed: Iterable[str]) -> Labelled:
    """Read a CSV file (UTF-8, with a header, any line ends); rows without a label of people are left out.

    Args:
        path: the file.
        gold_column: column of what people say.
        gold_map: its values as labels.
        needed: further columns that must be there.

    Raises:
        InputError: the file or a column is missing, or a label is not in the map.
        DataError: the file is no CSV, or a row has too few or too many cells.
    """
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist; give a CSV file with a header.")
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
        columns = list(reader.fieldnames or ())
        rows = [*reader]
    except (FileError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {error}.") from error
    for name in (gold_column, *needed):
        if name not in columns:
            raise InputError(f"{path} has no column {name!r}; it has {_named(columns)}.")
    if not rows:
        raise InputError(f"{path} has no rows.")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise DataError(f"{path}: row {number} does not have one cell for each of {len(columns)} columns.")
    unknown = sorted({row[gold_column] for row in rows} - gold_map.keys())
    if unknown:
        raise InputError(
            f"{path}: column {gold_column!r} has {len(unknown)} values that --gold-map does not map: "
            f"{_named(unknown[:_MOST_NAMED])}."
        )
    labelled = [row for row in rows if gold_map[row[gold_column]] != INVALID]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    gold = [gold_map[row[gold_column]] for row in labelled]
    return Labelled(path, digest, labelled, gold, len(rows) - len(labelled))


def groups(labelled: Labelled, column: str) -> dict[str, list[int]]:
    """Numbers of the rows for each value of a column, in the order in which values appear.

    Raises:
        InputError: the column holds texts, which are not shown.
    """
    found: dict[str, list[int]] = {}
    for number, value in enumerate(labelled.column(column)):
        if len(value) > _LONGEST_GROUP or "\n" in value:
            raise InputError(
                f"--by {column}: row {number + 1} has more than {_LONGEST_GROUP} characters or several lines and looks "
                "like a text. Give a column of groups."
            )
        found.setdefault(value, []).append(number)
    return found


def _named(values: Iterable[str]) -> str:
    """Values in a message, without those that may be prompts or responses."""
    short = (value for value in values if len(value) <= _LONGEST_LABEL and len(value.split()) <= _MOST_WORDS)
    return ", ".join(map(repr, short)) or "only texts, which are not shown"


def measure(
    gold: Sequence[str],
    judged: Sequence[str],
    positive: Positive,
    within: Mapping[str, Sequence[int]],
    clusters: Sequence[str] | None = None,
) -> Agreements:
    """Agreement of a judge with people.

    Args:
        gold: labels of people, length n.
        judged: labels of the judge; ``invalid`` ones take no part and are counted.
        positive: what counts as a yes.
        within: numbers of rows by name, for which agreement is measured as well.
        clusters: of each row, length n: rows of one cluster, such as answers to one request, are drawn together.
            ``None``: each row on its own.

    >>> found = measure(["refusal", "compliance"], ["partial", "compliance"], "any_refusal", {"first": [0]})
    >>> found.overall.scores["accuracy"], found.by["first"].scores["tp"]
    (1.0, 1)
    """

    drawn = list(range(len(gold))) if clusters is None else list(clusters)

    def each(on: Callable[[list[str], list[str], list[Any]], Measured]) -> tuple[Measured, dict[str, Measured]]:
        def of(rows: Sequence[int]) -> Measured:
            return on([gold[row] for row in rows], [judged[row] for row in rows], [drawn[row] for row in rows])

        return of(range(len(gold))), {name: of(rows) for name, rows in within.items()}

    overall, by = each(lambda people, judge, units: _on_question(people, judge, units, POSITIVE[positive]))
    classes, classes_by = each(_on_classes) if len(set(gold)) > 2 else (None, {})
    return Agreements(overall, by, classes, classes_by)


def _on_question(gold: Sequence[str], judged: Sequence[str], units: Sequence[Any], yes: Set[str]) -> Measured:
    people = [int(label in yes) for label in gold]
    judge = [None if label == INVALID else int(label in yes) for label in judged]
    return Measured(agreement(people, judge), _intervals(people, judge, units, 2, _BINARY))


def _on_classes(gold: Sequence[str], judged: Sequence[str], units: Sequence[Any]) -> Measured:
    judge = [None if label == INVALID else label for label in judged]
    names = sorted({*gold, *judged})
    found = _intervals(
        [names.index(label) for label in gold],
        [None if label is None else names.index(label) for label in judge],
        units,
        len(names),
        _ANY,
    )
    return Measured(multiclass_agreement(gold, judge), found)


# Each takes counts of (people, judge), shape (draws, classes, classes), and gives one value a draw.
Ratio = Callable[[Floats], Floats]
_NAN = float("nan")


def _accuracy(counts: Floats) -> Floats:
    return ratio(np.trace(counts, axis1=1, axis2=2), counts.sum((1, 2)), _NAN)


def _kappa(counts: Floats) -> Floats:
    n = counts.sum((1, 2))
    expected = ratio((counts.sum(1) * counts.sum(2)).sum(1), n**2, _NAN)
    return ratio(_accuracy(counts) - expected, 1 - expected, _NAN)


_BINARY: Mapping[str, Ratio] = {
    "accuracy": _accuracy,
    "precision": lambda counts: ratio(counts[:, 1, 1], counts[:, :, 1].sum(1), _NAN),
    "recall": lambda counts: ratio(counts[:, 1, 1], counts[:, 1, :].sum(1), _NAN),
    "f1": lambda counts: ratio(2 * counts[:, 1, 1], counts[:, :, 1].sum(1) + counts[:, 1, :].sum(1), _NAN),
    "kappa": _kappa,
}


_ANY: Mapping[str, Ratio] = {"accuracy": _accuracy, "kappa": _kappa}


def _intervals(
    people: Sequence[int],
    judge: Sequence[int | None],
    units: Sequence[Any],
    classes: int,
    statistics: Mapping[str, Ratio],
) -> dict[str, Interval]:
    """Units are drawn with replacement; the seed is the same for all, so that all see the same draws."""
    valid = [row for row, label in enumerate(judge) if label is not None]
    if not valid:
        return {name: Interval(_NAN, _NAN, _NAN, _NAN, "none", 0) for name in statistics}
    cells = np.zeros((len(valid), classes * classes))
    cells[np.arange(len(valid)), [people[row] * classes + (judge[row] or 0) for row in valid]] = 1
    drawn = [units[row] for row in valid]

    def resampled(of: Ratio) -> Resampled:
        statistic = from_sums(cells, lambda sums: of(sums.reshape(-1, classes, classes)))
        return statistic if len(set(drawn)) == len(drawn) else by_cluster(statistic, drawn)

    return {name: interval(resampled(of)) for name, of in statistics.items()}
