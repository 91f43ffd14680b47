"""What the columns of a table hold: which kind of task it is, and which column is the text, the answer, the votes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from harness_ext.data.rows import cell, cells
from harness_ext.errors import InputError

Row = Mapping[str, Any]
Kind = Literal["classification", "soft-label", "generation", "multiple-choice", "multi-turn", "image"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LETTERS = "ABCDEFGHIJ"

_MOST_CLASSES = 50
_FEW = 12
"""Different answers up to which they are classes, where the column is not called so."""
_AT_LEAST = 16
"""Rows: as many as a sample has."""

_TURNS = ("turns", "messages", "conversation", "conversations", "dialogue", "dialog")
_CHOICES = ("choices", "options", "candidates")
_LABEL = ("label", "class", "category", "emotion", "sentiment", "mood", "stance", "topic", "intent")
_ANSWER = (
    "answer",
    "answers",
    "target",
    "targets",
    "gold",
    "output",
    "response",
    "reference",
    "references",
    "completion",
)
_TEXT = (
    *(
        "text",
        "question",
        "prompt",
        "input",
        "instruction",
        "sentence",
        "document",
        "post",
        "tweet",
        "comment",
        "content",
    ),
    *("body", "premise", "utterance", "title"),
)
_PICTURE = ("file_name", "image", "picture", "path")
_ANNOTATOR = re.compile(r"(?i)(annotator|annotation|rater|rating|coder|judge|worker|vote|labell?er|label|a|r)[ _-]?\d+")
_ONE_CHOICE = re.compile(r"(?i)(?:(?:choice|option|opt)[ _-]?)?([A-J])|(?:choice|option|opt|ending)[ _-]?(\d+)")

Form = Literal["text", "letter", "from 0", "from 1"]
"""How a column says which choice is right."""


@dataclass(frozen=True)
class Columns:
    """A kind of task, and the columns that it is made of; empty is not used."""

    kind: Kind
    text: str = ""
    """The text, the question, the list of user messages, or what is asked about a picture."""
    answer: str = ""
    choices: Sequence[str] = ()
    """One column of lists, or a column a choice."""
    votes: Sequence[str] = ()
    """A column an annotator."""
    picture: str = ""
    """Path of each picture, from the folder."""
    id: str = ""
    labels: Sequence[str] = ()
    """The classes."""
    form: Form = "text"


@dataclass(frozen=True)
class Wanted:
    """What the user said of the columns; empty is to be found out."""

    kind: Kind | None = None
    text: str = ""
    answer: str = ""
    choices: Sequence[str] = ()
    votes: Sequence[str] = ()


class UnknownColumnError(InputError):
    """A column cannot be found out; ``option`` names it."""

    def __init__(
        self, option: Literal["text", "answer", "votes", "choices"], what: str, names: Collection[str]
    ) -> None:
        super().__init__(f"which column is {what}? Say --{option} COLUMN; there are {_listed(names)}.")
        self.option, self.what = option, what


def find_columns(rows: Sequence[Row], wanted: Wanted, *, pictures: bool = False) -> Columns:
    """Find out what kind of task the rows are, and check that every row can be a doc of it.

    Args:
        rows: of the file.
        wanted: what the user said.
        pictures: the rows belong to a folder of pictures.

    Raises:
        UnknownColumnError: a column has to be named.
        InputError: there are too few rows, a named column does not exist, or a row lacks what it needs.

    >>> rows = [{"text": f"Text {n}.", "a1": "joy", "a2": "fear"} for n in range(16)]
    >>> found = find_columns(rows, Wanted())
    >>> found.kind, found.votes, found.labels
    ('soft-label', ('a1', 'a2'), ('fear', 'joy'))
    """
    if len(rows) < _AT_LEAST:
        raise InputError(f"there are {len(rows)} rows; a task needs {_AT_LEAST} or more.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    named = [wanted.text, wanted.answer, *wanted.choices, *wanted.votes]
    if missing := [name for name in named if name and name not in names]:
        raise InputError(f"there is no column {missing[0]!r}; there are {_listed(names)}.")
    kind = wanted.kind or _kind(rows, names, wanted, pictures)
    found = _Finder(rows, names, wanted).columns(kind)
    _require_unique(rows, found)
    return found


def _kind(rows: Sequence[Row], names: Sequence[str], wanted: Wanted, pictures: bool) -> Kind:
    finder = _Finder(rows, names, wanted)
    if pictures:
        return "image"
    if wanted.votes or len(finder.votes()) > 1:
        return "soft-label"
    if wanted.choices or finder.choices():
        return "multiple-choice"
    if _first(names, _TURNS):
        return "multi-turn"
    answer = wanted.answer or _first(names, _LABEL) or _first(names, _ANSWER)
    if not answer:
        raise UnknownColumnError("answer", "the right answer", names)
    few = len({cell(row, answer) for row in rows})
    named_so = not wanted.answer and answer.lower() in _LABEL
    return "classification" if 1 < few <= (_MOST_CLASSES if named_so else min(_FEW, len(rows) // 4)) else "generation"


class _Finder:
    """Looks for columns by what they are called, then by what they hold."""

    def __init__(self, rows: Sequence[Row], names: Sequence[str], wanted: Wanted) -> None:
        self._rows, self._names, self._wanted = rows, names, wanted

    def columns(self, kind: Kind) -> Columns:
        """The columns of a kind."""
        found = Columns(kind, id=next((name for name in self._names if name.lower() in ("id", "uid", "doc_id")), ""))
        if kind == "soft-label":
            found = self._soft_label(found)
        elif kind == "multi-turn":
            found = replace(found, text=self._turns(), answer=self._answer(_ANSWER))
        elif kind == "image":
            picture = _first(self._names, _PICTURE)
            answer = self._answer((*_LABEL, *_ANSWER))
            text = self._wanted.text or _first(self._names, _TEXT)
            found = replace(found, picture=picture, answer=answer, text=text)
        else:
            found = replace(found, answer=self._answer((*_LABEL, *_ANSWER) if kind == "classification" else _ANSWER))
            if kind == "classification":
                found = replace(found, labels=self._labels([found.answer]))
            elif kind == "multiple-choice":
                choices = tuple(self._wanted.choices) or self.choices()
                if not choices:
                    raise UnknownColumnError("choices", "the choices", self._names)
                found = replace(found, choices=choices)
                found = replace(found, form=self._form(found))
            used = {found.id, found.answer, *found.choices}
            found = replace(found, text=self._text(used))
        self._require_filled(found)
        return found

    def _soft_label(self, found: Columns) -> Columns:
        votes = tuple(self._wanted.votes) or self.votes()
        if len(votes) < 2:
            raise UnknownColumnError("votes", "each annotator's vote (at least two)", self._names)
        labels = self._labels(votes)
        for number, row in enumerate(self._rows, start=1):
            if not any(cell(row, name) for name in votes):
                raise InputError(f"row {number}: nobody voted. Drop the row.")
        return replace(found, votes=votes, labels=labels, text=self._text({found.id, *votes}))

    def votes(self) -> tuple[str, ...]:
        """Columns that are called like annotators and hold the values of one scale."""
        called = tuple(name for name in self._names if _ANNOTATOR.fullmatch(name))
        if len(called) > 1 and len(self._values(called)) <= _MOST_CLASSES:
            return called
        return ()

    def choices(self) -> tuple[str, ...]:
        """A column of lists, or columns called A, B, C or option_1, option_2."""
        if (one := _first(self._names, _CHOICES)) and isinstance(self._rows[0].get(one), list):
            return (one,)
        many = tuple(name for name in self._names if _ONE_CHOICE.fullmatch(name))
        return many if len(many) > 1 else ()

    def _turns(self) -> str:
        return self._wanted.text or _first(self._names, _TURNS) or self._refuse("text", "the user's messages")

    def _answer(self, called: Iterable[str]) -> str:
        return self._wanted.answer or _first(self._names, called) or self._refuse("answer", "the right answer")

    def _text(self, used: Collection[str]) -> str:
        if self._wanted.text:
            return self._wanted.text
        free = [name for name in self._names if name not in used]
        if found := _first(free, _TEXT) or (free[0] if len(free) == 1 else ""):
            return found
        return self._refuse("text", "the text")

    def _refuse(self, option: Literal["text", "answer"], what: str) -> str:
        raise UnknownColumnError(option, what, self._names)

    def _values(self, columns: Iterable[str]) -> set[str]:
        return {cell(row, name) for name in columns for row in self._rows} - {""}

    def _labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        found = tuple(sorted(self._values(columns)))
        if not 2 <= len(found) <= _MOST_CLASSES:
            raise InputError(
                f"{_listed(columns)} holds {len(found)} different values; classes are 2 to {_MOST_CLASSES}. "
                "Name other columns, or another --kind."
            )
        return found

    def _form(self, found: Columns) -> Form:
        """How the answers of a multiple-choice file name the right choice."""
        pairs = [(cell(row, found.answer), choices_of(row, found.choices)) for row in self._rows]
        for number, (_, choices) in enumerate(pairs, start=1):
            if len(choices) < 2 or len(set(choices)) < len(choices):
                raise InputError(f"row {number}: a question needs two choices or more, all different.")
        if all(answer in choices for answer, choices in pairs):
            return "text"
        if all(answer.upper() in LETTERS[: len(choices)] and len(answer) == 1 for answer, choices in pairs):
            return "letter"
        numbers = [(int(answer) if re.fullmatch(r"\d{1,3}", answer) else -1, len(own)) for answer, own in pairs]
        zero = all(0 <= number < count for number, count in numbers)
        one = all(1 <= number <= count for number, count in numbers)
        if zero != one:
            return "from 0" if zero else "from 1"
        how = "counts choices from 0 or from 1, nobody can tell" if zero else "is none of the choices in some row"
        raise InputError(f"the column {found.answer!r} {how}. Write the letter or the text of the right choice there.")

    def _require_filled(self, found: Columns) -> None:
        needed = [found.answer] if found.kind in ("classification", "multiple-choice") else []
        for number, row in enumerate(self._rows, start=1):
            for name in [*needed, *filter(None, (found.text, found.picture))]:
                if not cells(row, name):
                    raise InputError(f"row {number}: the column {name!r} is empty. Fill it in, or drop the row.")
            if found.kind in ("generation", "multi-turn", "image") and not cells(row, found.answer):
                raise InputError(f"row {number}: the column {found.answer!r} is empty. Fill it in, or drop the row.")


def choices_of(row: Row, columns: Sequence[str]) -> list[str]:
    """The choices of a row: the texts of a column of lists, or of a column a choice without the empty ones.

    >>> choices_of({"A": "plum", "B": "brick", "C": ""}, ["A", "B", "C"])
    ['plum', 'brick']
    """
    return [text for name in columns for text in cells(row, name)]


def _require_unique(rows: Sequence[Row], found: Columns) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1) if found.id else ():
        key = cell(row, found.id)
        if not key or key in seen:
            what = f"and row {seen[key]} have the same" if key else "has no"
            raise InputError(f"row {number} {what} {found.id!r}{f' {key!r}' if key else ''}. Give each row its own.")
        seen[key] = number


def _first(names: Iterable[str], called: Iterable[str]) -> str:
    """The first of some names that a column has, whatever its case."""
    by_name = {name.lower(): name for name in reversed(list(names))}
    return next((by_name[name] for name in called if name in by_name), "")


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(map(repr, list(names)[:20]))
    return shown + (" and more" if len(names) > 20 else "")
